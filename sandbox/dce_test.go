package sandbox_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

const (
	monitorResource = "https://monitor.azure.com"
	logsPath        = "/dataCollectionRules/" + sandbox.DemoRuleID + "/streams/" + sandbox.DemoStream + "?api-version=2023-01-01"
	writePath       = "/dataCollectionRules/" + sandbox.DemoMetricsRuleID + "/streams/" + sandbox.MetricsStream + "/api/v1/write?api-version=2023-04-24"
)

// send posts a body with the headers of name and value.
func (c *cloud) send(t *testing.T, address, body string, header ...string) answer {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return c.do(t, r)
}

// logs sends rows to the stream of the demo as the virtual machine; header comes last.
func (c *cloud) logs(t *testing.T, body string, header ...string) answer {
	t.Helper()
	return c.logsTo(t, logsPath, body, header...)
}

func (c *cloud) logsTo(t *testing.T, path, body string, header ...string) answer {
	t.Helper()
	all := append([]string{"Authorization", "Bearer " + c.identityToken(t, monitorResource), "Content-Type", "application/json"}, header...)
	return c.send(t, c.dce+path, body, all...)
}

// good makes 200 of the 204 of a receiver.
func good(a answer) answer {
	if a.status == http.StatusNoContent && a.body == "" {
		a.status = http.StatusOK
	}
	return a
}

type monitorError struct {
	Error struct{ Code, Message string }
}

func wantMonitorError(t *testing.T, a answer, status int, code string) {
	t.Helper()
	if e := decode[monitorError](t, a); a.status != status || e.Error.Code != code || e.Error.Message == "" {
		t.Errorf("got %d %s, want %d %s", a.status, a.body, status, code)
	}
}

func zipped(t *testing.T, parts ...string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	for _, part := range parts {
		if _, err := io.WriteString(w, part); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// rulesWorld is the demo with other rules for logs than its own.
func rulesWorld(change func(r *sandbox.DCR)) sandbox.World {
	w := sandbox.Demo()
	for i := range w.Tenants[0].Rules {
		change(&w.Tenants[0].Rules[i])
	}
	return w
}

func TestRowsArriveAsTheirColumnsAreTyped(t *testing.T) {
	everyWay(t, func(t *testing.T, c *cloud) {
		t.Helper()
		at := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339Nano)
		row := `{"TimeGenerated":"` + at + `","Message":"ä","Level":7,"Count":9007199254740993,"Seconds":1.5e3,"Ok":true,` +
			`"Details":{"a":[9007199254740993,null]},"Undeclared":"x","Type":"x","id":"x"}`
		for _, send := range []func() answer{
			func() answer { return c.logs(t, "["+row+"]") },
			func() answer { return c.logs(t, zipped(t, "\n[ "+row, " ]"), "Content-Encoding", "gzip") },
			func() answer { return c.logs(t, "["+row+"]", "Content-Type", "application/JSON; charset=utf-8") },
			func() answer {
				return c.logsTo(t, strings.Replace(strings.ToUpper(logsPath[:60]), "DATACOLLECTIONRULES", "datacollectionrules", 1)+logsPath[60:], "["+row+"]")
			},
		} {
			if a := send(); a.status != http.StatusNoContent || a.body != "" {
				t.Fatalf("%d %s", a.status, a.body)
			}
		}
		want := map[string]any{
			"TimeGenerated": at, "Message": "ä", "Level": "7", "Count": int64(9007199254740993), "Seconds": 1500.0, "Ok": true,
			"Details": map[string]any{"a": []any{json.Number("9007199254740993"), nil}},
		}
		rows := c.Rows(sandbox.DemoStream)
		if len(rows) != 4 || c.RowCount(sandbox.DemoStream) != 4 || len(c.Rows("Custom-Other_CL")) != 0 {
			t.Fatalf("%d rows, %d counted", len(rows), c.RowCount(sandbox.DemoStream))
		}
		for _, got := range rows {
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		}
	})
}

func TestAnEmptyArrayIsTakenAndIsNoRow(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	if a := c.logs(t, "[]"); a.status != 204 || c.RowCount(sandbox.DemoStream) != 0 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestAValueThatDoesNotFitItsColumnIsNull(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	if a := c.logs(t, `[{"Message":null,"Count":1.5,"Seconds":"1","Ok":1,"Details":null},{"Count":9223372036854775808,"Seconds":1e999}]`); a.status != 204 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	for _, row := range c.Rows(sandbox.DemoStream) {
		for column, value := range row {
			if column != "TimeGenerated" && value != nil {
				t.Errorf("%s: %v", column, value)
			}
		}
	}
}

func TestWhatIsNoArrayOfRowsIsRefused(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	for name, body := range map[string]string{
		"empty": "", "an object": `{"Message":"x"}`, "two arrays": "[][]", "a number": "[1]", "an array": "[[]]", "null": "null", "a null row": "[null]",
		"cut off": `[{"Message":"x"}`, "not UTF-8": "[{\"Message\":\"\xff\"}]", "lines": "{}\n{}", "the second row": `[{"Message":"x"},2]`,
	} {
		t.Run(name, func(t *testing.T) {
			wantMonitorError(t, c.logs(t, body), 400, "ContentDeserializationError")
		})
	}
	wantMonitorError(t, c.logs(t, "[]", "Content-Encoding", "gzip"), 400, "ContentDeserializationError")
	wantMonitorError(t, c.logs(t, zipped(t, "[{}]")[:12], "Content-Encoding", "gzip"), 400, "ContentDeserializationError")
	wantMonitorError(t, c.logs(t, "[]", "Content-Encoding", "deflate"), 415, "UnsupportedMediaType")
	wantMonitorError(t, c.logs(t, "[]", "Content-Type", "text/plain"), 415, "UnsupportedMediaType")
	if n := c.RowCount(sandbox.DemoStream); n != 0 {
		t.Errorf("%d rows of refused requests", n)
	}
}

// message is a body of exactly that many bytes with one row.
func message(size int) string {
	const before, after = `[{"Message":"`, `"}]`
	return before + strings.Repeat("x", size-len(before)-len(after)) + after
}

func TestTheWireTakesAMebibyteAndNotAByteMore(t *testing.T) {
	everyWay(t, func(t *testing.T, c *cloud) {
		t.Helper()
		if a := c.logs(t, message(1<<20)); a.status != 204 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		a := c.logs(t, message(1<<20+1))
		wantMonitorError(t, a, 413, "ContentLengthLimitExceeded")
		if !strings.Contains(a.body, "1048576 bytes (1 MB). Provided content length: 1048577 bytes") {
			t.Error(a.body)
		}
		if n := c.RowCount(sandbox.DemoStream); n != 1 {
			t.Errorf("%d rows", n)
		}
	})
}

func TestABombStopsAtFiftyMebibytes(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	fill := slices.Repeat([]string{strings.Repeat("x", 1<<20)}, 50)
	// At the limit it is read, and seen to be no JSON.
	wantMonitorError(t, c.logs(t, zipped(t, fill...), "Content-Encoding", "gzip"), 400, "ContentDeserializationError")
	wantMonitorError(t, c.logs(t, zipped(t, append(fill, "x")...), "Content-Encoding", "gzip"), 413, "PayloadSizeLimitExceeded")
}

func TestALongFieldIsCutOffBetweenCharacters(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	const limit = 64 << 10
	for text, want := range map[string]int{strings.Repeat("x", limit): limit, strings.Repeat("x", limit+1): limit, strings.Repeat("x", limit-1) + "ä": limit - 1} {
		if a := c.logs(t, `[{"Message":"`+text+`"}]`); a.status != 204 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		rows := c.Rows(sandbox.DemoStream)
		if got, _ := rows[len(rows)-1]["Message"].(string); len(got) != want || !strings.HasPrefix(text, got) {
			t.Errorf("%d bytes of %d, want %d", len(got), len(text), want)
		}
	}
}

func TestALongDynamicValueIsCutOffToo(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	list := func(size int) string { return `["` + strings.Repeat("x", size-4) + `"]` }
	if a := c.logs(t, `[{"Details":`+list(64<<10)+`},{"Details":`+list(64<<10+1)+`}]`); a.status != 204 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	rows := c.Rows(sandbox.DemoStream)
	if _, whole := rows[0]["Details"].([]any); !whole {
		t.Errorf("at the limit: %T", rows[0]["Details"])
	}
	if cut, _ := rows[1]["Details"].(string); len(cut) != 64<<10 {
		t.Errorf("over it: %T, %d bytes", rows[1]["Details"], len(cut))
	}
}

// endless is a body of unknown length, which breaks off in the end if it is told to.
type endless struct {
	left   int
	broken bool
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 && e.broken {
		return 0, io.ErrUnexpectedEOF
	}
	if e.left == 0 {
		return 0, io.EOF
	}
	n := copy(p, strings.Repeat(" ", min(e.left, len(p))))
	e.left -= n
	return n, nil
}

func TestABodyOfUnknownLengthHasTheSameLimit(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	for _, row := range []struct {
		body   *endless
		status int
		code   string
	}{
		{&endless{left: 1 << 20}, 400, "ContentDeserializationError"}, // nothing but spaces
		{&endless{left: 1<<20 + 1}, 413, "ContentLengthLimitExceeded"},
		{&endless{left: 10, broken: true}, 400, "ReadyBody_ClientConnectionAbort"},
	} {
		for _, x := range receivers() {
			body := *row.body
			r, err := http.NewRequest(http.MethodPost, x.base(c)+x.path, &body)
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i < len(x.kind); i += 2 {
				r.Header.Set(x.kind[i], x.kind[i+1])
			}
			r.Header.Set("Authorization", "Bearer "+c.identityToken(t, monitorResource))
			wantMonitorError(t, c.do(t, r), row.status, row.code)
		}
	}
}

func TestATimeOutOfRangeBecomesThatOfReceipt(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{Now: func() time.Time { return now }}))
	const receipt = "2026-11-21T12:00:00Z"
	for written, want := range map[string]string{
		`"2026-11-19T12:00:00Z"`:         "2026-11-19T12:00:00Z",
		`"2026-11-19T11:59:59Z"`:         receipt,
		`"2026-11-22T12:00:00Z"`:         "2026-11-22T12:00:00Z",
		`"2026-11-22T12:00:01Z"`:         receipt,
		`"2026-11-21T10:00:00.1234567Z"`: "2026-11-21T10:00:00.1234567Z",
		`"2026-11-21T12:00:00+02:00"`:    "2026-11-21T10:00:00Z",
		`"2026-11-21 10:00:00"`:          "2026-11-21T10:00:00Z",
		`"2026-11-21T10:00:00"`:          "2026-11-21T10:00:00Z",
		`1795255200.5`:                   receipt,
		`"yesterday"`:                    receipt,
		`null`:                           receipt,
	} {
		if a := c.logs(t, `[{"TimeGenerated":`+written+`}]`); a.status != 204 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		rows := c.Rows(sandbox.DemoStream)
		if got := rows[len(rows)-1]["TimeGenerated"]; got != want {
			t.Errorf("%s: got %v, want %s", written, got, want)
		}
	}
}

func TestAnAuxiliaryTableTakesHalfAnHourAndNothingNested(t *testing.T) {
	w := rulesWorld(func(r *sandbox.DCR) {
		r.Streams["Custom-Aux_CL"] = sandbox.LogStream{Auxiliary: true, Columns: map[string]string{"TimeGenerated": "datetime", "Message": "string", "Details": "dynamic"}}
	})
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	c := inProcess(newSandbox(t, w, sandbox.Options{Now: func() time.Time { return now }}))
	aux := strings.Replace(logsPath, sandbox.DemoStream, "Custom-Aux_CL", 1)
	const halfAnHour = `[{"TimeGenerated":"2026-11-21T11:30:00Z"},{"TimeGenerated":"2026-11-21T11:00:00Z","Details":{"a":[]}}]`
	longer := strings.Replace(halfAnHour, "11:30:00", "11:30:01", 1)
	const nested = `[{"Message":{}}]`
	for _, a := range []answer{c.logsTo(t, aux, halfAnHour), c.logs(t, longer), c.logs(t, nested)} {
		if a.status != 204 {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	wantMonitorError(t, c.logsTo(t, aux, longer), 400, "RecordsTimeRangeIsMoreThan30Minutes")
	wantMonitorError(t, c.logsTo(t, aux, nested), 400, "ContentDeserializationError")
	if n := c.RowCount("Custom-Aux_CL"); n != 2 {
		t.Errorf("%d rows", n)
	}
}

func TestARuleTakesSoMuchAMinute(t *testing.T) {
	for name, change := range map[string]func(r *sandbox.DCR){
		"requests": func(r *sandbox.DCR) { r.RequestsPerMinute = 2 },
		"bytes":    func(r *sandbox.DCR) { r.BytesPerMinute = 5 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := inProcess(newSandbox(t, rulesWorld(change), sandbox.Options{}))
				for range 3 {
					for range 2 {
						if a := c.logs(t, "[]"); a.status != 204 {
							t.Fatalf("%d %s", a.status, a.body)
						}
					}
					time.Sleep(20*time.Second + 1) // the bubble's time
					a := c.logs(t, "[]")
					wantMonitorError(t, a, 429, "TooManyRequests")
					if got := a.header.Get("Retry-After"); got != "40" {
						t.Fatalf("Retry-After %q", got)
					}
					time.Sleep(40 * time.Second)
				}
			})
		})
	}
}

func TestTheLedgerCountsAllRowsAndKeepsTheLatest(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	const request = 60_000
	for n := range 2 {
		body := "[" + strings.TrimSuffix(strings.Repeat(`{"Count":`+strconv.Itoa(n)+`},`, request), ",") + "]"
		if a := c.logs(t, body); a.status != 204 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	rows := c.Rows(sandbox.DemoStream)
	if n := c.RowCount(sandbox.DemoStream); n != 2*request || len(rows) >= 100_000 || len(rows) < 10_000 || rows[len(rows)-1]["Count"] != int64(1) {
		t.Errorf("%d counted, %d kept", n, len(rows))
	}
}

func TestTheLedgersAreReadByHTTP(t *testing.T) {
	everyWay(t, func(t *testing.T, c *cloud) {
		t.Helper()
		if a := c.get(t, c.dce+"/sandbox/rows/"+sandbox.DemoStream); a.status != 200 || strings.TrimSpace(a.body) != "[]" {
			t.Errorf("%d %s", a.status, a.body)
		}
		if a := c.logs(t, `[{"Message":"one","Count":1}]`); a.status != 204 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		if a := c.writeMonitor(t, packed(series(1, "up", 1000, 0.5))); a.status != 204 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		for _, hop := range []sandbox.Hop{sandbox.DCE, sandbox.Workspace, sandbox.AMP} {
			c.SetFault(hop, sandbox.Fault{Reset: true})
		}
		for _, at := range []string{c.dce, c.workspace, c.amp} { // whatever the fault, and at each of them
			rows := decode[[]map[string]any](t, c.get(t, at+"/sandbox/rows/"+sandbox.DemoStream))
			if len(rows) != 1 || rows[0]["Message"] != "one" || rows[0]["Count"] != 1.0 {
				t.Errorf("%v", rows)
			}
			a := c.get(t, at+"/sandbox/series/up")
			const want = `[{"labels":{"__name__":"up"},"samples":[[1000,"0.5"]],"count":1,"duplicates":0,"out_of_order":0,"histograms":0,"exemplars":0}]`
			if strings.TrimSpace(a.body) != want {
				t.Errorf("got  %s\nwant %s", a.body, want)
			}
			if a := c.get(t, at+"/sandbox/nothing"); a.status != 404 {
				t.Errorf("%d %s", a.status, a.body)
			}
			if a := c.send(t, at+"/sandbox/rows/"+sandbox.DemoStream, "[]"); a.status != 405 {
				t.Errorf("%d %s", a.status, a.body)
			}
		}
		if a := c.get(t, c.sts+"/sandbox/rows/"+sandbox.DemoStream); a.status == 200 {
			t.Errorf("STS shows rows: %s", a.body)
		}
		if n := c.Requests(sandbox.DCE); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}
