package sandbox_test

import (
	"encoding/base64"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/golang/snappy"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/keyless-id/keyless/sandbox"
)

var (
	snappyV1 = []string{"Content-Type", "application/x-protobuf", "Content-Encoding", "snappy", "X-Prometheus-Remote-Write-Version", "0.1.0"}
	snappyV2 = []string{"Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request", "Content-Encoding", "snappy", "X-Prometheus-Remote-Write-Version", "2.0.0"}
)

// What Prometheus v0.315.0 of the Go module (prompb, writev2 and snappy) makes of two
// series: "up" of "ä:1" with the samples 1.5 and -2 and an exemplar, and "latency" with a
// native histogram; and of metadata.
const (
	prompbV1 = "ugGgCmkKDgoIX19uYW1lX18SAnVwChAKCGluc3RhbmNlEgTDpDoxEhAJAAABAiz4PxCAoPHCsTQSEAkBEHgAAADAEJiV8sKxNBohCg8KCHRyYWNlX2lkEgNhYmMRASAUAAAIQBiABTUQCj4KEwoZazQHbGF0ZW5jeSInCAUZZgUBXDJAIAIp/Knx0k1iUD8wAloCEAJiAgICeAlAOBoNCAISAnVwIgVpcyBpdA=="
	prompbV2 = "ugHwXiIAIghfX25hbWVfXyICdXAiCGluc3RhbmNlIgTDpDoxIgdsYXRlbmN5Igh0cmFjZV9pZCIDYWJjIgVpcyBpdCpICgQBAgMEEhIJAAAAAAAA+D8QgKDxwrE0GAESEAkACRU4wBCYlfLCsTQiFAoCBgcRCRVoCEAYgKDxwrE0KgQIAhgIKi8KAgEFGicIBRlmBQF8MkAgAin8qfHSTWJQPzACWgIQAmICAgJ4gKDxwrE0KgA="
)

func packed(message string) string { return string(snappy.Encode(nil, []byte(message))) }

// part is a field that has a length.
func part(number protowire.Number, content string) string {
	return string(protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), content))
}

func number(field protowire.Number, value uint64) string {
	return string(protowire.AppendVarint(protowire.AppendTag(nil, field, protowire.VarintType), value))
}

func sample(at int64, value float64) string {
	text := protowire.AppendTag(nil, 1, protowire.Fixed64Type)
	return string(protowire.AppendFixed64(text, math.Float64bits(value))) + number(2, uint64(at))
}

func pair(name, value string) string { return part(1, part(1, name)+part(2, value)) }

// series is field number of a write: a series by its name, with times and values.
func series(field protowire.Number, name string, samples ...float64) string {
	text := pair("__name__", name)
	for i := 0; i < len(samples); i += 2 {
		text += part(2, sample(int64(samples[i]), samples[i+1]))
	}
	return part(field, text)
}

func (c *cloud) writeMonitor(t *testing.T, body string, header ...string) answer {
	t.Helper()
	all := append([]string{"Authorization", "Bearer " + c.identityToken(t, monitorResource)}, snappyV1...)
	return c.send(t, c.workspace+writePath, body, append(all, header...)...)
}

// ways is a write to each of the two receivers.
func (c *cloud) ways(t *testing.T) map[sandbox.Hop]func(body string, header ...string) answer {
	t.Helper()
	s := c.ampSigner(c.session(t))
	return map[sandbox.Hop]func(body string, header ...string) answer{
		sandbox.Workspace: func(body string, header ...string) answer { return good(c.writeMonitor(t, body, header...)) },
		sandbox.AMP:       func(body string, header ...string) answer { return c.writeAMP(t, s, body, header...) },
	}
}

func TestEachReceiverReadsWhatPrometheusWrites(t *testing.T) {
	everyWay(t, func(t *testing.T, c *cloud) {
		t.Helper()
		for version, header := range map[string][]string{prompbV1: snappyV1, prompbV2: snappyV2} {
			body, err := base64.StdEncoding.DecodeString(version)
			if err != nil {
				t.Fatal(err)
			}
			for hop, write := range c.ways(t) {
				before := c.Series("")
				a := write(string(body), header...)
				if a.status != http.StatusOK {
					t.Fatalf("%s: %d %s", hop, a.status, a.body)
				}
				isV2 := header[1] == snappyV2[1]
				for name, count := range map[string]string{"Samples": "2", "Histograms": "1", "Exemplars": "1"} {
					if got := a.header.Get("X-Prometheus-Remote-Write-" + name + "-Written"); (got == count) != isV2 || got != "" && !isV2 {
						t.Errorf("%s: %s: %q", hop, name, got)
					}
				}
				if len(before) > 0 && c.Series("up")[0].Duplicates != before[1].Duplicates+2 {
					t.Errorf("%s: the series is another one", hop)
				}
			}
		}
		want := sandbox.Series{
			Labels: map[string]string{"__name__": "up", "instance": "ä:1"}, Count: 2, Duplicates: 6, Exemplars: 4,
			Points: []sandbox.Point{{Time: 1800000000000, Value: 1.5}, {Time: 1800000015000, Value: -2}},
		}
		if got := c.Series("up"); len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if got := c.Series("latency"); len(got) != 1 || got[0].Histograms != 4 || got[0].Count != 0 {
			t.Errorf("%+v", got)
		}
		if c.Samples("up") != 2 || c.Samples("") != 2 || c.Samples("nothing") != 0 {
			t.Error(c.Samples("up"), c.Samples(""), c.Samples("nothing"))
		}
	})
}

func TestTheLedgerSeesWhatCameTwiceAndWhatCameLate(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	for _, samples := range [][]float64{{1000, 1, 3000, 3}, {2000, 2}, {3000, 3, 4000, 4}, {-1, 0}} {
		if a := c.writeMonitor(t, packed(series(1, "up", samples...)+series(1, "down", samples...))); a.status != 204 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	for _, got := range c.Series("") {
		got.Labels = nil
		want := sandbox.Series{Points: []sandbox.Point{{Time: 1000, Value: 1}, {Time: 3000, Value: 3}, {Time: 2000, Value: 2}, {Time: 4000, Value: 4}, {Time: -1}}, Count: 5, Duplicates: 1, OutOfOrder: 2}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if n := c.Samples(""); n != 10 {
		t.Errorf("%d samples", n)
	}
}

func TestAWriteThatIsNotWhatItSaysIsRefused(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	one := part(2, sample(1, 1))
	name := pair("__name__", "up")
	symbols := part(4, "") + part(4, "__name__") + part(4, "up")
	refs := part(1, "\x01\x02")
	long := func(n int) string { return strings.Repeat("x", n) }
	many := name
	for i := range 150 {
		many += pair("a"+strconv.Itoa(1000+i), "x")
	}
	for title, row := range map[string]struct{ body, message string }{
		"not snappy":             {"x\xff\xff", "snappy"},
		"no length":              {"", "snappy"},
		"another length":         {"\x05\x00x", "snappy"},
		"S2's repetition":        {"\x09\x00x\x01\x01\x01\x00", "snappy"},
		"a length of 4 GiB":      {"\xff\xff\xff\xff\x0f\x00x", "more than"},
		"a length over 32 MiB":   {"\x81\x80\x80\x10\x00x", "more than"},
		"no protobuf":            {packed("\xff"), "protobuf"},
		"cut off":                {packed(series(1, "up", 1, 1)[:9]), "protobuf"},
		"a number for a series":  {packed(number(1, 7)), "protobuf"},
		"a number for a label":   {packed(part(1, name+number(1, 7)+one)), "protobuf"},
		"a number for a name":    {packed(part(1, part(1, number(1, 7))+one)), "protobuf"},
		"a number for a sample":  {packed(part(1, name+number(2, 7))), "protobuf"},
		"a varint for a value":   {packed(part(1, name+part(2, number(1, 7)))), "protobuf"},
		"a string for a time":    {packed(part(1, name+part(2, part(2, "x")))), "protobuf"},
		"a number for exemplars": {packed(part(1, name+one+number(3, 7))), "protobuf"},
		"a number for histogram": {packed(part(1, name+one+number(4, 7))), "protobuf"},
		"no labels":              {packed(part(1, one)), "no name"},
		"no name":                {packed(part(1, pair("job", "x")+one)), "no name"},
		"not sorted":             {packed(part(1, pair("b", "x")+name+one)), "sorted"},
		"twice":                  {packed(part(1, name+name+one)), "twice"},
		"an empty name":          {packed(part(1, pair("", "x")+name+one)), "empty"},
		"an empty value":         {packed(part(1, name+pair("a", "")+one)), "no value"},
		"not UTF-8":              {packed(part(1, name+pair("a", "\xff")+one)), "UTF-8"},
		"a long name":            {packed(part(1, name+pair(long(1025), "x")+one)), "too long"},
		"a long value":           {packed(part(1, name+pair("a", long(2049))+one)), "too long"},
		"151 labels":             {packed(part(1, many+one)), "more than 150"},

		"2: version 1.0":          {packed(series(1, "up", 1, 1)), "version 1.0"},
		"2: first symbol":         {packed(part(4, "x") + symbols + part(5, refs+one)), "must be empty"},
		"2: a number for symbol":  {packed(number(4, 7)), "protobuf"},
		"2: a number for series":  {packed(symbols + number(5, 7)), "protobuf"},
		"2: out of the symbols":   {packed(symbols + part(5, part(1, "\x01\x03")+one)), "to no symbol"},
		"2: far out of them":      {packed(symbols + part(5, part(1, "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")+one)), "to no symbol"},
		"2: no symbols":           {packed(part(5, refs+one)), "to no symbol"},
		"2: odd references":       {packed(symbols + part(5, part(1, "\x01\x02\x01")+one)), "not pairs"},
		"2: cut-off references":   {packed(symbols + part(5, part(1, "\x01\xff")+one)), "protobuf"},
		"2: 151 labels":           {packed(symbols + part(5, part(1, strings.Repeat("\x01\x02", 151))+one)), "more than 150"},
		"2: no labels":            {packed(symbols + part(5, one)), "no name"},
		"2: neither":              {packed(symbols + part(5, refs)), "either samples or"},
		"2: both":                 {packed(symbols + part(5, refs+one+part(3, ""))), "either samples or"},
		"2: exemplar's label":     {packed(symbols + part(5, refs+one+part(4, part(1, "\x03\x01")))), "to no symbol"},
		"2: exemplar's odd label": {packed(symbols + part(5, refs+one+part(4, part(1, "\x01")))), "not pairs"},
		"2: a number for help":    {packed(symbols + part(5, refs+one+number(5, 7))), "protobuf"},
		"2: a text for labels":    {packed(symbols + part(5, string(protowire.AppendFixed32(protowire.AppendTag(nil, 1, protowire.Fixed32Type), 1))+one)), "protobuf"},
		"2: help":                 {packed(symbols + part(5, refs+one+part(5, number(3, 3)))), "to no symbol"},
		"2: unit":                 {packed(symbols + part(5, refs+one+part(5, number(4, 3)))), "to no symbol"},
		"2: a string for help":    {packed(symbols + part(5, refs+one+part(5, part(3, "x")))), "protobuf"},
	} {
		t.Run(title, func(t *testing.T) {
			var header []string
			if strings.HasPrefix(title, "2: ") {
				header = snappyV2
			}
			a := c.writeMonitor(t, row.body, header...)
			if wantMonitorError(t, a, 400, "ContentDeserializationError"); !strings.Contains(a.body, row.message) {
				t.Errorf("%s does not say %q", a.body, row.message)
			}
			if got := a.header.Get("X-Prometheus-Remote-Write-Samples-Written"); header != nil && got != "0" || header == nil && got != "" {
				t.Errorf("written: %q", got)
			}
		})
	}
	if n := len(c.Series("")); n != 0 {
		t.Errorf("%d series of refused writes", n)
	}
	for _, body := range []string{ // what is at the limits, or new to us
		part(1, name+pair(long(1024), long(2048))+one), part(1, strings.TrimSuffix(many, pair("a1149", "x"))+one),
		"", part(3, "metadata"), part(9, "of the future") + part(1, name+part(9, "x")+part(2, "")),
		part(1, part(1, part(1, "__name__")+part(2, "up")+part(9, "x"))+one),
	} {
		if a := c.writeMonitor(t, packed(body)); a.status != 204 {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	for _, body := range []string{part(5, refs+one) + symbols, symbols + part(5, number(1, 1)+number(1, 2)+part(3, "")), symbols + part(5, refs+one+part(5, number(3, 2)))} {
		if a := c.writeMonitor(t, packed(body), snappyV2...); a.status != 204 {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
}

func TestTheContentTypeSaysWhichVersionItIs(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	v1 := packed(series(1, "up", 1, 1))
	for hop, write := range c.ways(t) {
		for _, kind := range []string{"application/x-protobuf", "application/x-protobuf;proto=prometheus.WriteRequest", "Application/X-Protobuf; proto=prometheus.WriteRequest"} {
			if a := write(v1, "Content-Type", kind); a.status != 200 {
				t.Errorf("%s: %s: %d %s", hop, kind, a.status, a.body)
			}
		}
		for _, header := range [][]string{
			{"Content-Type", ""},
			{"Content-Type", "application/json"},
			{"Content-Type", "application/x-protobuf;proto=io.prometheus.write.v3.Request"},
			{"Content-Type", "application/x-protobuf;proto"},
			{"Content-Encoding", ""},
			{"Content-Encoding", "gzip"},
			{"Content-Encoding", "zstd"},
		} {
			if a := write(v1, header...); a.status != 415 {
				t.Errorf("%s: %s: %d %s", hop, header, a.status, a.body)
			}
		}
	}
}

func TestTheLedgerOfSeriesHasAnEnd(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	write := func(from, to int) answer {
		var b strings.Builder
		for i := from; i < to; i++ {
			b.WriteString(series(1, "m"+strconv.Itoa(i), 1, 1))
		}
		return c.writeMonitor(t, packed(b.String()))
	}
	for from := 0; from < 100_000; from += 25_000 {
		if a := write(from, from+25_000); a.status != 204 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	wantMonitorError(t, write(99_999, 100_001), 429, "TooManyRequests")
	if a := write(99_999, 100_000); a.status != 204 { // a known one
		t.Errorf("%d %s", a.status, a.body)
	}
	if n := len(c.Series("")); n != 100_000 {
		t.Errorf("%d series", n)
	}
}

func TestTheLedgerOfSamplesForgetsTheOldest(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	one := part(2, sample(0, 1))
	at, total := 0, 0
	for total < 600_000 {
		var b strings.Builder
		b.WriteString(pair("__name__", "up"))
		for range 40_000 {
			at++
			b.WriteString(part(2, sample(int64(at), 1)))
		}
		if a := c.writeMonitor(t, packed(part(1, b.String()))); a.status != 204 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		total += 40_000
	}
	got := c.Series("up")[0]
	if n := len(got.Points); got.Count != total || n > 500_000 || n < 100_000 || got.Points[n-1].Time != int64(at) || got.OutOfOrder+got.Duplicates != 0 {
		t.Errorf("%d of %d kept, %d", n, got.Count, got.OutOfOrder)
	}
	wantMonitorError(t, c.writeMonitor(t, packed(part(1, pair("__name__", "up")+strings.Repeat(one, 500_001)))), 400, "ContentDeserializationError")
}

// prometheus stands for a real one: it keeps requests, and answers as it is told.
type prometheus struct {
	*httptest.Server
	got    []*http.Request
	bodies []string
	status int
	header map[string]string
}

func newPrometheus(t *testing.T) *prometheus {
	t.Helper()
	p := &prometheus{status: http.StatusNoContent}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		p.got, p.bodies = append(p.got, r), append(p.bodies, string(body))
		for name, value := range p.header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(p.status)
		_, _ = io.WriteString(w, "out of order sample")
	}))
	t.Cleanup(p.Close)
	return p
}

func TestAWriteThatIsLetInGoesOnToPrometheus(t *testing.T) {
	p := newPrometheus(t)
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{Forward: p.URL + "/api/v1/write"}))
	body := packed(series(1, "up", 1, 1))
	for hop, write := range c.ways(t) {
		before := len(p.got)
		if a := write(body); a.status != 200 || len(p.got) != before+1 {
			t.Fatalf("%s: %d %s", hop, a.status, a.body)
		}
		got := p.got[before]
		if p.bodies[before] != body || got.URL.Path != "/api/v1/write" || got.Header.Get("Content-Encoding") != "snappy" || got.Header.Get("X-Prometheus-Remote-Write-Version") != "0.1.0" {
			t.Errorf("%s: %s %v", hop, got.URL, got.Header)
		}
		for name := range got.Header {
			if name == "Authorization" || strings.HasPrefix(name, "X-Amz-") {
				t.Errorf("%s: %s was handed on", hop, name)
			}
		}
		if a := write(body, "Authorization", "Bearer x"); hop == sandbox.Workspace && (a.status != 401 || len(p.got) != before+1) {
			t.Errorf("%s: a stranger's write: %d, %d handed on", hop, a.status, len(p.got)-before)
		}
	}
}

func TestWhatPrometheusRefusesIsRefused(t *testing.T) {
	p := newPrometheus(t)
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{Forward: p.URL}))
	body := packed(series(1, "up", 1, 1))
	p.status = http.StatusBadRequest
	if a := c.writeMonitor(t, body); a.status != 400 || !strings.Contains(a.body, "Prometheus: out of order sample") {
		t.Errorf("%d %s", a.status, a.body)
	}
	p.status = http.StatusFound // a login page
	if a := c.writeMonitor(t, body); a.status != 302 {
		t.Errorf("%d %s", a.status, a.body)
	}
	p.status = http.StatusNoContent
	v2 := packed(part(4, "") + part(4, "__name__") + part(4, "up") + part(5, part(1, "\x01\x02")+part(2, sample(1, 1))))
	wantMonitorError(t, c.writeMonitor(t, v2, snappyV2...), 415, "UnsupportedMediaType")
	if n := c.Samples(""); n != 0 {
		t.Errorf("%d samples that Prometheus has not", n)
	}
	p.header = map[string]string{"X-Prometheus-Remote-Write-Samples-Written": "1"}
	if a := c.writeMonitor(t, v2, snappyV2...); a.status != 204 || c.Samples("") != 1 {
		t.Errorf("%d %s", a.status, a.body)
	}
	p.Close()
	wantMonitorError(t, c.writeMonitor(t, body), 503, "ServiceUnavailable")
}

func TestPrometheusIsOnLoopback(t *testing.T) {
	for address, allowed := range map[string]bool{
		"http://127.0.0.1:9090/api/v1/write": true, "http://localhost:9090/": true, "https://[::1]:9090/": true,
		"http://192.0.2.1:9090/": false, "https://prometheus.example/": false, "127.0.0.1:9090": false, "file:///": false,
	} {
		if _, err := sandbox.New(sandbox.Demo(), sandbox.Options{Forward: address}); (err == nil) != allowed {
			t.Errorf("%s: %v", address, err)
		}
	}
}
