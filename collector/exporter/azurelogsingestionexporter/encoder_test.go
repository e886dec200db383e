package azurelogsingestionexporter

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 123456789, time.UTC)

func timestamp(at time.Time) pcommon.Timestamp { return pcommon.NewTimestampFromTime(at) }

// records are logs with one resource, one scope and n records, which fill is called for.
func records(n int, fill func(i int, record plog.LogRecord)) plog.Logs {
	logs := plog.NewLogs()
	in := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty()
	for i := range n {
		record := in.LogRecords().AppendEmpty()
		record.SetTimestamp(pcommon.NewTimestampFromTime(noon))
		fill(i, record)
	}
	return logs
}

func encoded(t *testing.T, change func(c *Config), logs plog.Logs) []string {
	t.Helper()
	config := createDefaultConfig()
	change(config)
	e := newEncoder(newPlan(config))
	var all rows
	e.encode(&all, logs, noon)
	var texts []string
	for _, row := range all.all() {
		texts = append(texts, string(row))
	}
	return texts
}

func asIs(*Config) {}

func jsonBody(c *Config) { c.Body.JSON = true }

func decoded(t *testing.T, row string) map[string]any {
	t.Helper()
	if !json.Valid([]byte(row)) || !utf8.ValidString(row) || strings.Contains(row, "\n") {
		t.Fatalf("no row: %q", row)
	}
	var values map[string]any
	decoder := json.NewDecoder(strings.NewReader(row))
	decoder.UseNumber()
	if err := decoder.Decode(&values); err != nil {
		t.Fatal(err)
	}
	return values
}

func TestARecordBecomesARow(t *testing.T) {
	logs := plog.NewLogs()
	resource := logs.ResourceLogs().AppendEmpty()
	resource.Resource().Attributes().PutStr("service.name", "shop")
	scope := resource.ScopeLogs().AppendEmpty()
	scope.Scope().SetName("lib")
	record := scope.LogRecords().AppendEmpty()
	record.SetTimestamp(pcommon.NewTimestampFromTime(noon))
	record.Body().SetStr("a \"quoted\" line\nand another\x01 ä")
	record.SetSeverityText("WARN")
	record.SetSeverityNumber(plog.SeverityNumberWarn)
	record.SetTraceID([16]byte{1, 2})
	record.SetSpanID([8]byte{3})
	record.SetEventName("sold")
	attributes := record.Attributes()
	attributes.PutInt("big", 9007199254740993)
	attributes.PutDouble("nan", math.NaN())
	attributes.PutDouble("small", 1e-9)
	attributes.PutBool("ok", true)
	attributes.PutEmptyBytes("raw").FromRaw([]byte{0xff})
	attributes.PutEmptyMap("nested").PutEmptySlice("list").AppendEmpty().SetDouble(math.Inf(1))
	attributes.PutEmpty("nothing")
	rows := encoded(t, asIs, logs)
	const want = `{"TimeGenerated":"2026-11-21T12:00:00.1234567Z","RawData":"a \"quoted\" line\nand another\u0001 ä","big":9007199254740993,` +
		`"nan":null,"small":1e-09,"ok":true,"raw":"/w==","nested":{"list":[null]},"nothing":null,"scope_name":"lib","resource_service_name":"shop",` +
		`"SeverityText":"WARN","SeverityNumber":13,"EventName":"sold","TraceId":"01020000000000000000000000000000","SpanId":"0300000000000000"}`
	if len(rows) != 1 || rows[0] != want {
		t.Errorf("got  %s\nwant %s", rows, want)
	}
	decoded(t, rows[0])
}

func TestTheTimeIsTheRecordsOrThatOfWhoSawIt(t *testing.T) {
	for name, row := range map[string]struct {
		set  func(r plog.LogRecord)
		want string
	}{
		"own":      {func(r plog.LogRecord) { r.SetTimestamp(1_500_000_000) }, "1970-01-01T00:00:01.5000000Z"},
		"observed": {func(r plog.LogRecord) { r.SetTimestamp(0); r.SetObservedTimestamp(2_000_000_000) }, "1970-01-01T00:00:02.0000000Z"},
		"none":     {func(r plog.LogRecord) { r.SetTimestamp(0) }, "2026-11-21T12:00:00.1234567Z"},
	} {
		t.Run(name, func(t *testing.T) {
			got := decoded(t, encoded(t, asIs, records(1, func(_ int, r plog.LogRecord) { row.set(r) }))[0])
			if got["TimeGenerated"] != row.want {
				t.Errorf("got %v, want %s", got["TimeGenerated"], row.want)
			}
		})
	}
}

func TestNamesThatNoTableTakesAreMended(t *testing.T) {
	long := strings.Repeat("x", 60)
	for name, want := range map[string]string{
		"ok_1": "ok_1", "a.b-c": "a_b_c", "1st": "c_1st", "_x": "c__x", "": "c_", "Type": "Type_", "type": "type_", "id": "id_", "TenantId": "TenantId_",
		"_ResourceId": "c__ResourceId", "Straße": "Stra__e",
	} {
		if got := columnName(name); got != want || !isColumn(got) {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
	one, other := columnName(long+"1"), columnName(long+"2")
	if one == other || !isColumn(one) || !isColumn(other) {
		t.Errorf("long names become %q and %q", one, other)
	}
}

func TestOfTwoColumnsWithOneNameTheRowsOwnWins(t *testing.T) {
	logs := records(1, func(_ int, r plog.LogRecord) {
		r.Body().SetEmptyMap().PutStr("who", "body")
		r.Body().Map().PutStr("TimeGenerated", "x")
		r.Attributes().PutStr("who", "attribute")
		r.Attributes().PutStr("a.b", "first")
		r.Attributes().PutStr("a-b", "second")
		r.Attributes().PutStr("resource_x", "attribute")
	})
	logs.ResourceLogs().At(0).Resource().Attributes().PutStr("x", "resource")
	const want = `{"TimeGenerated":"2026-11-21T12:00:00.1234567Z","who":"body","a_b":"first","resource_x":"attribute"}`
	if got := encoded(t, asIs, logs)[0]; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestColumnsAreKeptDroppedAndRenamed(t *testing.T) {
	logs := records(2, func(_ int, r plog.LogRecord) {
		r.Body().SetStr("text")
		r.Attributes().PutStr("a", "1")
		r.Attributes().PutStr("b", "2")
	})
	logs.ResourceLogs().At(0).Resource().Attributes().PutStr("r", "3")
	for name, row := range map[string]struct {
		change func(c *ColumnsConfig)
		want   string
	}{
		"keep":        {func(c *ColumnsConfig) { c.Keep = []string{"a", "resource_r"} }, `"a":"1","resource_r":"3"}`},
		"drop":        {func(c *ColumnsConfig) { c.Drop = []string{"a", "RawData"} }, `"b":"2","resource_r":"3"}`},
		"rename":      {func(c *ColumnsConfig) { c.Rename = map[string]string{"a": "A", "RawData": "Text"} }, `"Text":"text","A":"1","b":"2","resource_r":"3"}`},
		"no resource": {func(c *ColumnsConfig) { c.Resource.Enabled = false }, `"RawData":"text","a":"1","b":"2"}`},
		"prefix":      {func(c *ColumnsConfig) { c.Attributes.Prefix, c.Resource.Prefix = "x_", "" }, `"RawData":"text","x_a":"1","x_b":"2","r":"3"}`},
	} {
		t.Run(name, func(t *testing.T) {
			for _, got := range encoded(t, func(c *Config) { row.change(&c.Columns) }, logs) {
				if want := `{"TimeGenerated":"2026-11-21T12:00:00.1234567Z",` + row.want; got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			}
		})
	}
}

func TestATextThatIsAnObjectPassesThrough(t *testing.T) {
	long := strings.Repeat("x", maxField+1)
	cut := strings.Repeat("x", maxField-len(cutMarker)) + cutMarker
	for name, row := range map[string]struct{ body, want string }{
		"as it is":        {`{"a":1,"b":{"c":[ 1.50 ]}}`, `"a":1,"b":{"c":[ 1.50 ]},"attr":"x"}`},
		"space around":    {" \n{ \"a\" : 1 }\t", `"a" : 1,"attr":"x"}`},
		"line breaks":     {"{\"a\":{\n\"b\":1}}", `"a":{ "b":1},"attr":"x"}`},
		"empty":           {`{}`, `"attr":"x"}`},
		"its own time":    {`{"a":1,"TimeGenerated":"2026-11-20T01:02:03Z"}`, `{"a":1,"TimeGenerated":"2026-11-20T01:02:03Z","attr":"x"}`},
		"both at once":    {`{"TimeGenerated":"2026-11-20 01:02:03","a.b":1}`, `"a_b":1,"attr":"x"}`},
		"a bad name":      {`{"a.b":1,"Type":"x"}`, `"a_b":1,"Type_":"x","attr":"x"}`},
		"twice":           {`{"a":1,"a":2}`, `"a":1,"attr":"x"}`},
		"before its own":  {`{"attr":"mine"}`, `"attr":"mine"}`},
		"an escaped name": {`{"\u0061b":"\u0041"}`, `"ab":"\u0041","attr":"x"}`},
		"a big number":    {`{"a":123456789012345678901234567890}`, `"a":123456789012345678901234567890,"attr":"x"}`},
		"a long text":     {`{"a":"` + long + `"}`, `"a":"` + cut + `","attr":"x"}`},
		"no UTF-8":        {"{\"a\":\"\xff\"}", "\"a\":\"\uFFFD\",\"attr\":\"x\"}"},
		"an array":        {`[1]`, `"RawData":"[1]","attr":"x"}`},
		"no JSON":         {`{"a":1`, `"RawData":"{\"a\":1","attr":"x"}`},
		"more than one":   {`{"a":1}{`, `"RawData":"{\"a\":1}{","attr":"x"}`},
	} {
		t.Run(name, func(t *testing.T) {
			logs := records(2, func(_ int, r plog.LogRecord) {
				r.Body().SetStr(row.body)
				r.Attributes().PutStr("attr", "x")
			})
			for _, got := range encoded(t, jsonBody, logs) {
				want := row.want
				if want[0] != '{' {
					want = `{"TimeGenerated":"2026-11-21T12:00:00.1234567Z",` + want
				}
				if got != want {
					t.Errorf("got  %.300s\nwant %.300s", got, want)
				}
				decoded(t, got)
			}
		})
	}
	logs := records(1, func(_ int, r plog.LogRecord) { r.Body().SetStr(`{"a":1}`) })
	if got := encoded(t, asIs, logs)[0]; !strings.Contains(got, `"RawData":"{\"a\":1}"`) {
		t.Errorf("taken apart although nobody wants it: %s", got)
	}
}

func TestLongValuesAreCutBetweenCharactersAndCounted(t *testing.T) {
	config := createDefaultConfig()
	e := newEncoder(newPlan(config))
	logs := records(1, func(_ int, r plog.LogRecord) {
		r.Attributes().PutStr("fits", strings.Repeat("x", maxField))
		r.Attributes().PutStr("text", strings.Repeat("ä", maxField/2+1))
		r.Attributes().PutEmptyBytes("raw").FromRaw(make([]byte, maxField))
		r.Attributes().PutEmptyMap("map").PutStr("key", strings.Repeat("x", maxField))
		r.Attributes().PutStr("garbage", strings.Repeat("\xffa", maxField/2))
	})
	var all rows
	e.encode(&all, logs, noon)
	row := decoded(t, string(all.data))
	for name, value := range row {
		text, _ := value.(string)
		if isCut := strings.HasSuffix(text, cutMarker); len(text) > maxField || isCut == (name == "fits" || name == "TimeGenerated") || strings.ContainsRune(text, utf8.RuneError) != (name == "garbage") {
			t.Errorf("%s: %d bytes, cut: %v", name, len(text), isCut)
		}
	}
	if e.truncated != 4 {
		t.Errorf("%d counted", e.truncated)
	}
}

func TestDeepValuesEndSomewhere(t *testing.T) {
	logs := records(1, func(_ int, r plog.LogRecord) {
		value := r.Attributes().PutEmpty("deep")
		for range 20_000 {
			value = value.SetEmptySlice().AppendEmpty()
		}
	})
	decoded(t, encoded(t, asIs, logs)[0])
}

func TestARowIDIsStableAndOneForEachRow(t *testing.T) {
	withID := func(c *Config) { c.RowIDColumn = "RowId" }
	logs := records(4, func(i int, r plog.LogRecord) {
		r.Body().SetStr("same")
		if i >= 2 {
			r.Attributes().PutStr(filePath, "/var/log/x")
			r.Attributes().PutInt(fileOffset, int64(i))
			r.SetTimestamp(0)
			r.SetObservedTimestamp(pcommon.NewTimestampFromTime(noon))
		}
	})
	first, again := encoded(t, withID, logs), encoded(t, withID, logs)
	if !reflect.DeepEqual(first, again) {
		t.Error("another id the second time")
	}
	ids := map[any]bool{}
	for _, row := range first {
		ids[decoded(t, row)["RowId"]] = true
	}
	if len(ids) != 4 {
		t.Errorf("%d ids for 4 rows", len(ids))
	}
	// A line that is read again is seen at another time, in another request.
	later := records(1, func(_ int, r plog.LogRecord) {
		logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(3).CopyTo(r)
		r.SetObservedTimestamp(pcommon.NewTimestampFromTime(noon.Add(time.Hour)))
	})
	if got := decoded(t, encoded(t, withID, later)[0])["RowId"]; got != decoded(t, first[3])["RowId"] {
		t.Error("another id for the same line of the same file")
	}
	// The same place of a file that was rotated has something else.
	rotated := records(1, func(_ int, r plog.LogRecord) {
		logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(3).CopyTo(r)
		r.Body().SetStr("other")
	})
	if got := decoded(t, encoded(t, withID, rotated)[0])["RowId"]; ids[got] {
		t.Error("the same id for another line")
	}
}

func TestNamesAreForgottenBeforeThereAreTooMany(t *testing.T) {
	e := newEncoder(newPlan(createDefaultConfig()))
	for n := range 3 {
		var all rows
		e.encode(&all, records(maxNames, func(i int, r plog.LogRecord) { r.Attributes().PutInt("n"+strconv.Itoa(n*maxNames+i), 1) }), noon)
	}
	if len(e.ids) > 2*maxNames {
		t.Errorf("%d names", len(e.ids))
	}
}

func TestARecordCostsNoAllocation(t *testing.T) {
	for name, change := range map[string]func(c *Config){"text": asIs, "object": jsonBody, "row id": func(c *Config) { c.RowIDColumn = "RowId" }} {
		t.Run(name, func(t *testing.T) {
			config := createDefaultConfig()
			change(config)
			e := newEncoder(newPlan(config))
			logs := appLogs(1000)
			var all rows
			n := testing.AllocsPerRun(5, func() {
				all = rows{data: all.data[:0], ends: all.ends[:0], at: all.at[:0]}
				e.encode(&all, logs, noon)
			})
			if n > 20 { // for the request, not for its records
				t.Errorf("%.0f allocations for 1000 records", n)
			}
		})
	}
}

// sameValue compares what was put in with what comes out.
func sameValue(in pcommon.Value, out any) bool {
	switch in.Type() {
	case pcommon.ValueTypeStr:
		return out == strings.Map(func(r rune) rune { return r }, in.Str())
	case pcommon.ValueTypeInt:
		number, isNumber := out.(json.Number)
		return isNumber && number.String() == strconv.FormatInt(in.Int(), 10)
	case pcommon.ValueTypeDouble:
		if math.IsNaN(in.Double()) || math.IsInf(in.Double(), 0) {
			return out == nil
		}
		number, _ := out.(json.Number)
		f, err := number.Float64()
		return err == nil && f == in.Double()
	case pcommon.ValueTypeBool:
		return out == in.Bool()
	case pcommon.ValueTypeBytes:
		return out == base64.StdEncoding.EncodeToString(in.Bytes().AsRaw())
	case pcommon.ValueTypeEmpty:
		return out == nil
	}
	return true
}

func FuzzEncoder(f *testing.F) {
	f.Add("body", "key", "value", int64(math.MaxInt64), math.Pi, []byte{1}, uint64(1))
	f.Add(`{"a":1}`, "Type", "\xff\x00\"\\\n", int64(math.MinInt64), math.Inf(-1), []byte{}, uint64(math.MaxUint64))
	f.Fuzz(func(t *testing.T, body, key, text string, n int64, number float64, raw []byte, at uint64) {
		values := map[string]pcommon.Value{}
		logs := records(1, func(_ int, r plog.LogRecord) {
			r.SetTimestamp(pcommon.Timestamp(at))
			r.Body().SetStr(body)
			r.SetSeverityText(text)
			r.Attributes().PutStr("text", text)
			r.Attributes().PutInt("n", n)
			r.Attributes().PutDouble("real", number)
			r.Attributes().PutEmptyBytes("raw").FromRaw(raw)
			r.Attributes().PutEmpty("empty")
			for name, value := range r.Attributes().All() {
				values[name] = value
			}
			nested := r.Attributes().PutEmptyMap(key + ".")
			nested.PutStr(key, text)
			nested.PutEmptySlice(text).AppendEmpty().SetDouble(number)
		})
		row := decoded(t, encoded(t, func(c *Config) { c.RowIDColumn = "RowId" }, logs)[0])
		for name, value := range values {
			if len(text) < maxField && columnName(key+".") != name && !sameValue(value, row[name]) {
				t.Errorf("%s: %v became %v", name, value.AsString(), row[name])
			}
		}
		decoded(t, encoded(t, jsonBody, logs)[0])
	})
}

func FuzzScanObject(f *testing.F) {
	for _, text := range []string{`{}`, `{"a":1}`, ` {"a" : [1,-0.5e+7,true,false,null,{"b":"\u00e9\n"}] } `, `{"a":01}`, `{"a":}`, `{,}`, `{"a":1,}`, `{"a":tru}`, `{"a":"` + "\x01" + `"}`, `{"a":-}`, `{"a":[1,]}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		members, got := scanObject(text, nil)
		var fields map[string]json.RawMessage
		want := json.Unmarshal([]byte(text), &fields) == nil && fields != nil
		if got != want && (got || strings.Count(text, "[")+strings.Count(text, "{") <= maxNesting) {
			t.Fatalf("%q: got %v, want %v", text, got, want)
		}
		if !got || !utf8.ValidString(text) {
			return
		}
		for _, m := range members {
			var key string
			if err := json.Unmarshal([]byte(text[m.key-1:m.keyEnd+1]), &key); err != nil {
				t.Fatal(err)
			}
			if !json.Valid([]byte(text[m.value:m.valueEnd])) || m.escaped != strings.Contains(text[m.key:m.keyEnd], `\`) {
				t.Fatalf("%q: member %q: %q", text, key, text[m.value:m.valueEnd])
			}
			if _, found := fields[key]; !found {
				t.Fatalf("%q has no %q", text, key)
			}
		}
	})
}
