package sandbox

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// engine is Elasticsearch at a time that stands still.
type engine struct {
	*Sandbox
	t   *testing.T
	now time.Time
}

func newEngine(t *testing.T) *engine {
	t.Helper()
	e := &engine{t: t, now: time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)}
	s, err := New(Demo(), Options{Now: func() time.Time { return e.now }})
	if err != nil {
		t.Fatal(err)
	}
	e.Sandbox = s
	return e
}

func (e *engine) ask(method, path, body string) (int, map[string]any) {
	e.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "ApiKey "+base64.StdEncoding.EncodeToString([]byte(DemoSearchAPIKey)))
	return e.serve(r)
}

func (e *engine) serve(r *http.Request) (int, map[string]any) {
	e.t.Helper()
	w := httptest.NewRecorder()
	e.Handler(Elasticsearch).ServeHTTP(w, r)
	var answer map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		e.t.Fatalf("%s: %v", w.Body, err)
	}
	return w.Code, answer
}

// write sends documents in one request, and returns their statuses and kinds of errors.
func (e *engine) write(index string, lines ...string) []string {
	e.t.Helper()
	status, answer := e.ask("POST", "/"+index+"/_bulk?filter_path=errors,items.*.error,items.*.status", strings.Join(lines, "\n")+"\n")
	if status != 200 {
		e.t.Fatalf("%d %v", status, answer)
	}
	var all []string
	for _, item := range answer["items"].([]any) {
		for _, done := range item.(map[string]any) {
			one := done.(map[string]any)
			text := fmt.Sprint(one["status"])
			if failure, failed := one["error"].(map[string]any); failed {
				text += " " + failure["type"].(string)
			}
			all = append(all, text)
		}
	}
	return all
}

func create(id string) string {
	if id == "" {
		return `{"create":{}}`
	}
	return fmt.Sprintf(`{"create":{"_id":%q}}`, id)
}

func point(at time.Time, host string) string {
	return fmt.Sprintf(`{"@timestamp":%q,"host":{"id":%q}}`, at.Format(time.RFC3339), host)
}

func (e *engine) want(got []string, want ...string) {
	e.t.Helper()
	if !slices.Equal(got, want) {
		e.t.Errorf("got %q, want %q", got, want)
	}
}

func TestADataStreamTakesEachIDOnceUntilItRollsOver(t *testing.T) {
	e := newEngine(t)
	const stream = "metrics-demo-default"
	e.want(e.write(stream, create("a"), point(e.now, "1"), create("a"), point(e.now, "1")), "201", "409 version_conflict_engine_exception")
	if status, answer := e.ask("POST", "/"+stream+"/_rollover", ""); status != 200 {
		t.Errorf("%d %v", status, answer)
	}
	e.want(e.write(stream, create("a"), point(e.now, "1")), "201")
	if counts := e.DocumentCounts(stream, func(d Document) string { return d.ID }); counts["a"] != 2 {
		t.Errorf("%v", counts)
	}
	if status, _ := e.ask("POST", "/metrics-other-default/_rollover", ""); status != 404 {
		t.Errorf("rolled over what is not there: %d", status)
	}
}

func TestADataStreamTakesNothingButNewDocumentsWithATime(t *testing.T) {
	e := newEngine(t)
	got := e.write("logs-demo-default", `{"index":{"_id":"a"}}`, point(e.now, "1"), create("b"), `{}`, create("c"), `[]`, create("d"), `{"@timestamp":1}`)
	e.want(got, "400 illegal_argument_exception", "400 document_parsing_exception", "400 document_parsing_exception", "201")
	e.want(e.write("plain", `{"index":{"_id":"a"}}`, `{}`, `{"index":{"_id":"a"}}`, `{}`), "201", "201")
}

const demoSeries = `{"index_patterns":["metrics-tsds-*"],"priority":200,"data_stream":{},"composed_of":["dimensions"],
	"template":{"settings":{"index":{"mode":"time_series","look_back_time":"7d"}}}}`

func (e *engine) define() {
	e.t.Helper()
	for path, body := range map[string]string{"/_ilm/policy/demo": `{"policy":{}}`, "/_component_template/dimensions": `{"template":{"mappings":{"properties":{"host":{"properties":{"id":{"type":"keyword","time_series_dimension":true}}}}}}}`} {
		if status, answer := e.ask("PUT", path, body); status != 200 {
			e.t.Fatalf("%d %v", status, answer)
		}
	}
	if status, answer := e.ask("PUT", "/_index_template/demo", demoSeries); status != 200 {
		e.t.Fatalf("%d %v", status, answer)
	}
}

func TestATimeSeriesTakesEachPointOnceAlsoAfterARollover(t *testing.T) {
	e := newEngine(t)
	e.define()
	const stream = "metrics-tsds-default"
	old, late := e.now.Add(-8*24*time.Hour), e.now.Add(time.Hour)
	e.want(e.write(stream, create(""), point(e.now, "1"), create(""), point(e.now, "2"), create(""), point(e.now, "1")), "201", "201", "409 version_conflict_engine_exception")
	e.want(e.write(stream, create(""), point(old, "1"), create(""), point(late, "1"), create("x"), point(e.now, "3"), create(""), `{"@timestamp":"2026-01-02T03:00:00Z"}`),
		"400 timestamp_error", "400 timestamp_error", "400 illegal_argument_exception", "400 illegal_argument_exception")
	e.ask("POST", "/"+stream+"/_rollover", "")
	e.want(e.write(stream, create(""), point(e.now, "2")), "409 version_conflict_engine_exception")
	if n := len(e.Documents(stream)); n != 2 {
		t.Errorf("%d documents", n)
	}
}

func TestATemplateOfPartsThatAreNotThereIsRefused(t *testing.T) {
	if status, _ := newEngine(t).ask("PUT", "/_index_template/demo", demoSeries); status != 400 {
		t.Errorf("got %d", status)
	}
}

func TestSingleActionsCanFail(t *testing.T) {
	e := newEngine(t)
	e.SetItemFault(ItemFault{Status: 429, Every: 2, Times: 1})
	e.want(e.write("plain", create("a"), `{}`, create("b"), `{}`, create("c"), `{}`, create("d"), `{}`), "201", "429 es_rejected_execution_exception", "201", "201")
	e.want(e.write("plain", create("b"), `{}`), "201")
}

func TestWholeBulkRequestsAreRefused(t *testing.T) {
	e := newEngine(t)
	for body, want := range map[string]int{
		"": 400, `{"create":{}}`: 400, "{\"create\":{}}\n": 400, "{\"delete\":{}}\n{}\n": 400, "\n": 400, strings.Repeat("x", maxRequest+1): 413,
	} {
		if status, answer := e.ask("POST", "/plain/_bulk", body); status != want || answer["status"] != float64(want) {
			t.Errorf("%.40q: got %d %v", body, status, answer)
		}
	}
}

func TestElasticsearchKnowsItsCallers(t *testing.T) {
	e := newEngine(t)
	for _, tt := range []struct {
		user, password, key string
		want                int
	}{
		{user: DemoSearchUser, password: DemoSearchPassword, want: 200},
		{user: DemoSearchUser, password: "wrong", want: 401},
		{key: "ApiKey " + base64.StdEncoding.EncodeToString([]byte(DemoSearchAPIKey)), want: 200},
		{key: "ApiKey " + base64.StdEncoding.EncodeToString([]byte("demo:wrong")), want: 401},
		{key: "Bearer x", want: 401},
		{want: 401},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if tt.user != "" {
			r.SetBasicAuth(tt.user, tt.password)
		} else {
			r.Header.Set("Authorization", tt.key)
		}
		if status, answer := e.serve(r); status != tt.want {
			t.Errorf("%+v: got %d %v", tt, status, answer)
		}
	}
}

func TestAFaultOfElasticsearchHasItsWords(t *testing.T) {
	e := newEngine(t)
	e.SetFault(Elasticsearch, Fault{Status: 429, RetryAfter: time.Second, Times: 1})
	status, answer := e.ask("GET", "/", "")
	if failure, _ := answer["error"].(map[string]any); status != 429 || failure["type"] != "es_rejected_execution_exception" {
		t.Errorf("%d %v", status, answer)
	}
	if status, _ := e.ask("GET", "/", ""); status != 200 {
		t.Errorf("got %d afterwards", status)
	}
}

func FuzzBulk(f *testing.F) {
	f.Add([]byte("{\"create\":{\"_index\":\"a\"}}\n{}\n"), "")
	f.Add([]byte("\n\n{\"index\":{}}\n\n"), "b")
	f.Fuzz(func(t *testing.T, body []byte, index string) {
		actions, refusal := readBulk(body, index)
		if (len(actions) == 0) != (refusal != nil) {
			t.Fatalf("%d actions, %v", len(actions), refusal)
		}
		for _, a := range actions {
			if a.index == "" || a.op != "create" && a.op != "index" {
				t.Fatalf("%+v", a)
			}
		}
	})
}

func TestElasticCloudIsInProcessToo(t *testing.T) {
	e := newEngine(t)
	client := &http.Client{Transport: e.RoundTripper()}
	for host, want := range map[string]bool{
		"demo.es.westeurope.azure.elastic-cloud.com": true,
		"demo.kb.westeurope.azure.elastic-cloud.com": false, // its Kibana
		"es.elastic-cloud.com.example":               false,
	} {
		r, err := http.NewRequest(http.MethodGet, "https://"+host+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(DemoSearchUser, DemoSearchPassword)
		got := false
		answer, err := client.Do(r)
		if err == nil {
			got = answer.Header.Get("X-Elastic-Product") == "Elasticsearch"
			_ = answer.Body.Close()
		}
		if got != want {
			t.Errorf("%s: %v, %v", host, got, err)
		}
	}
}
