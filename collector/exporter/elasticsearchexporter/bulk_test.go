package elasticsearchexporter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/keyless-id/keyless/collector/exporter/elasticsearchexporter/internal/metadata"
	"github.com/keyless-id/keyless/collector/exporter/elasticsearchexporter/internal/metadatatest"
	"github.com/keyless-id/keyless/sandbox"
)

func TestWhatBecomesOfADocumentFollowsFromItsStatus(t *testing.T) {
	late := &document{Late: "late"}
	for _, tt := range []struct {
		item item
		of   *document
		want fate
	}{
		{item{Status: 201}, late, created},
		{item{Status: 409}, late, duplicate},
		{item{Status: 429}, late, retried},
		{item{Status: 500}, late, retried},
		{item{Status: 503}, late, retried},
		{item{Status: 401}, late, held},
		{item{Status: 403}, late, held},
		{item{Status: 404}, late, held},
		{item{Status: 400, Error: &itemError{Type: "timestamp_error"}}, late, moved},
		{item{Status: 400, Error: &itemError{Type: "timestamp_error"}}, &document{}, deadLettered},
		{item{Status: 400, Error: &itemError{Type: "document_parsing_exception"}}, late, deadLettered},
		{item{Status: 400}, late, deadLettered},
	} {
		if got := tt.item.judge(tt.of); got != tt.want {
			t.Errorf("%+v: got %v, want %v", tt.item, got, tt.want)
		}
	}
}

// roundTrip is a far side without a network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// saying answers every request with a text, whatever was asked.
func saying(text string) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
	}
}

// asked is a client of a far side, and documents for it.
func asked(far http.RoundTripper, n int) (*client, []document) {
	config := createDefaultConfig()
	config.ClientConfig.Endpoint = "http://127.0.0.1:1/prefix/"
	docs := make([]document, n)
	for i := range docs {
		docs[i] = document{Stream: "stream", ID: strconv.Itoa(i), Source: json.RawMessage(`{"n":` + strconv.Itoa(i) + `}`)}
	}
	return &client{config: config, http: &http.Client{Transport: far}, agent: "test"}, docs
}

func TestAnAnswerThatDoesNotSpeakOfEachDocumentSaysNothing(t *testing.T) {
	for _, text := range []string{
		"", "{}", "null", "[]", "<html>", `{"items":[]}`, `{"items":[{"create":{"status":201}},{"create":{"status":201}}]}`, `{"items":[{"index":{"status":201}}]}`,
		`{"items":[{"create":{}}]}`, `{"items":[null]}`, `{"items":[{"create":null}]}`, `{"items":[{"create":{"status":201}}`, `{"items":[{"create":{"status":201}}]}x`,
		`{"items":[{"create":{"status":"201"}}]}`,
	} {
		c, docs := asked(saying(text), 1)
		if items, err := c.send(t.Context(), docs); err == nil {
			t.Errorf("%q: %v", text, items)
		}
	}
}

func TestTheWholeRequestIsSentAgainAfterSuchAnAnswer(t *testing.T) {
	for _, items := range []int{0, 1, 3, 100} {
		c, docs := asked(saying(`{"items":[`+strings.TrimSuffix(strings.Repeat(`{"create":{"status":201}},`, items), ",")+`]}`), 2)
		e, err := newBulkExporter(c.config, exportertest.NewNopSettings(metadata.Type))
		if err != nil {
			t.Fatal(err)
		}
		e.client.http = c.http
		r := &request{docs: docs}
		if err := e.push(t.Context(), r); err == nil || len(r.docs) != 2 {
			t.Errorf("%d of 2 items: %v, %d documents are left", items, err, len(r.docs))
		}
	}
}

func TestWhatIsHeldBackIsToldUntilItIsOver(t *testing.T) {
	for _, row := range []struct {
		far  http.RoundTripper
		code string
	}{
		{saying(`{"items":[{"create":{"status":201}},{"create":{"status":403}}]}`), "403"},
		{saying(`{"items":[{"create":{"status":429}},{"create":{"status":201}}]}`), "429"},
		{roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("refused") }), "send"},
	} {
		telemetry := componenttest.NewTelemetry()
		set := metadatatest.NewSettings(telemetry)
		c, docs := asked(row.far, 2)
		e, err := newBulkExporter(c.config, set)
		if err != nil {
			t.Fatal(err)
		}
		e.client.http = c.http
		held := func(seconds float64) {
			t.Helper()
			where := attribute.NewSet(attribute.String("exporter", set.ID.String()), attribute.String("code", row.code))
			metadatatest.AssertEqualExporterElasticsearchHeld(t, telemetry, []metricdata.DataPoint[float64]{{Value: seconds, Attributes: where}}, metricdatatest.IgnoreTimestamp())
		}
		r := &request{docs: docs}
		if err := e.push(t.Context(), r); err == nil {
			t.Fatal("it was taken")
		}
		held(1)
		e.client.http = &http.Client{Transport: &recorded{}}
		if err := e.push(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		held(0)
		if err := telemetry.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestAnErrorMayBeAText(t *testing.T) {
	c, docs := asked(saying(`{"items":[{"create":{"status":400,"error":"text"}},{"create":{"status":429,"error":{"type":"a","reason":"b"}}},{"create":{"status":201}}]}`), 3)
	items, err := c.send(t.Context(), docs)
	if err != nil || items[0].why() != ": text" || items[1].why() != "a: b" || items[1].Status != 429 || items[2].Error != nil {
		t.Errorf("%+v, %v", items, err)
	}
}

// recorded keeps what is sent, and answers that everything is written.
type recorded struct {
	urls   []*url.URL
	bodies [][]byte
}

func (r *recorded) RoundTrip(to *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(to.Body)
	if err != nil {
		return nil, err
	}
	r.urls, r.bodies = append(r.urls, to.URL), append(r.bodies, body)
	items := strings.Repeat(`{"create":{"status":201}},`, bytes.Count(body, []byte("\n"))/2)
	return saying(`{"items":[` + strings.TrimSuffix(items, ",") + `]}`)(to)
}

func TestDocumentsAreOneRequestAndThatEachTime(t *testing.T) {
	for _, n := range []int{1, 2, 64, 65, 5000} {
		far := &recorded{}
		c, docs := asked(far, n)
		docs[0].Source = json.RawMessage(`"` + strings.Repeat("x", 1<<20) + `"`)
		for range 2 { // a retry has the same documents
			if _, err := c.send(t.Context(), docs); err != nil {
				t.Fatal(err)
			}
		}
		if len(far.bodies) != 2 || !bytes.Equal(far.bodies[0], far.bodies[1]) {
			t.Fatalf("%d documents are %d requests", n, len(far.bodies))
		}
		if got, want := len(far.bodies[0]), (&request{docs: docs}).BytesSize(); got != want {
			t.Errorf("%d bytes, want %d", got, want)
		}
		wantLines(t, far.bodies[0], docs)
	}
}

// wantLines compares a request with the documents.
func wantLines(t *testing.T, body []byte, docs []document) {
	t.Helper()
	lines := strings.Split(string(body), "\n")
	if len(lines) != 2*len(docs)+1 {
		t.Fatalf("%d lines", len(lines))
	}
	for i := range docs {
		var action struct {
			Create struct {
				Index string `json:"_index"`
				ID    string `json:"_id"`
			} `json:"create"`
		}
		if err := json.Unmarshal([]byte(lines[2*i]), &action); err != nil || action.Create.Index != docs[i].Stream || action.Create.ID != docs[i].ID {
			t.Fatalf("%s: %v, want %q and %q", lines[2*i], err, docs[i].Stream, docs[i].ID)
		}
		if lines[2*i+1] != string(docs[i].Source) {
			t.Fatalf("%s, want %s", lines[2*i+1], docs[i].Source)
		}
	}
}

func TestTheAddressMayHaveAPathAndLittleIsAskedBack(t *testing.T) {
	for address, want := range map[string]string{"http://a:1": "/_bulk", "http://a:1/": "/_bulk", "http://a:1/b/c": "/b/c/_bulk", "http://a:1/b%2F/": "/b%2F/_bulk"} {
		far := &recorded{}
		c, docs := asked(far, 1)
		c.config.ClientConfig.Endpoint = address
		if _, err := c.send(t.Context(), docs); err != nil {
			t.Fatal(err)
		}
		const filter = "?filter_path=errors%2Citems.%2A.error%2Citems.%2A.status"
		if got := far.urls[0]; got.Host != "a:1" || got.RequestURI() != want+filter {
			t.Errorf("%s: got %s", address, got)
		}
	}
}

func TestTheContextEndsTheRequestAndTheWorkerIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		c, docs := asked(roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			time.Sleep(5 * time.Second) // until it notices
			return nil, r.Context().Err()
		}), 100)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.send(ctx, docs); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if waited := time.Since(began); waited != 6*time.Second {
			t.Errorf("came back after %v", waited)
		}
	})
}

func TestNothingIsSentWhenItWasCalledOffBefore(t *testing.T) {
	s := engine(t)
	cfg := configured(t, s.URL(sandbox.Elasticsearch), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := &client{config: cfg, http: http.DefaultClient}
	_, docs := asked(nil, 10)
	if _, err := c.send(ctx, docs); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if n := s.Requests(sandbox.Elasticsearch); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// Under the race detector this fails if the body is the indexer's own buffer.
func TestAnAnswerBeforeTheEndOfTheRequestDisturbsNobody(t *testing.T) {
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) }))
	defer far.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c, docs := asked(transport, 8)
	c.config.ClientConfig.Endpoint = far.URL
	for i := range docs {
		docs[i].Source = json.RawMessage(`"` + strings.Repeat("x", 1<<20) + `"`)
	}
	for range 20 {
		if _, err := c.send(t.Context(), docs); err == nil {
			t.Fatal("it was taken")
		}
	}
}

func TestARequestComesBackFromTheDisk(t *testing.T) {
	r := &request{docs: []document{{Stream: "a", ID: "1", Source: json.RawMessage(`{"a":1}`)}, {Stream: "b", Late: "c", LateID: "2", Source: json.RawMessage(`{}`)}}}
	stored, err := encoding{}.Marshal(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	_, back, err := encoding{}.Unmarshal(stored)
	if err != nil || canonical(back.(*request).docs) != canonical(r.docs) {
		t.Errorf("%v, %v", back, err)
	}
	for _, bad := range []string{"", "2[]", "1["} {
		if _, _, err := (encoding{}).Unmarshal([]byte(bad)); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

func TestAMergeKeepsTheOrderAndTheLimit(t *testing.T) {
	docs := func(names ...string) *request {
		r := &request{}
		for _, name := range names {
			r.docs = append(r.docs, document{Stream: name, Source: json.RawMessage(`{}`)})
		}
		return r
	}
	parts, err := docs("a", "b").MergeSplit(t.Context(), 2, exporterhelper.RequestSizerTypeItems, docs("c", "d", "e"))
	if err != nil || len(parts) != 3 {
		t.Fatalf("%v, %v", parts, err)
	}
	order := ""
	for _, part := range parts {
		for _, d := range part.(*request).docs {
			order += d.Stream
		}
	}
	if order != "abcde" {
		t.Errorf("got %s", order)
	}
	parts, err = docs("a", "b", "c").MergeSplit(t.Context(), 1, exporterhelper.RequestSizerTypeBytes, nil)
	if err != nil || len(parts) != 3 {
		t.Errorf("%v, %v", parts, err)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(`{"errors":true,"items":[{"create":{"status":409,"error":{"type":"a","reason":"b"}}}]}`, uint8(1))
	f.Add(`{"items":[{"create":{"status":201}},{"create":{"status":429,"error":"text"}}]}`, uint8(2))
	f.Add(`{"items":[{"create":{"status":201}},{"create":{"status":201}}]}`, uint8(1))
	f.Add(`{"items":[{"create":null,"index":{"status":200}}]}`, uint8(1))
	f.Fuzz(func(t *testing.T, text string, n uint8) {
		if n == 0 {
			return
		}
		c, docs := asked(saying(text), int(n))
		items, err := c.send(t.Context(), docs)
		if err != nil {
			return
		}
		statuses := statusesIn(json.NewDecoder(strings.NewReader(text)))
		for i := range items {
			f := items[i].judge(&docs[i])
			_ = items[i].why()
			if isWritten := f == created || f == duplicate; isWritten && !slices.Contains(statuses, fmt.Sprintf("/items/%d/create/status=%d", i, items[i].Status)) {
				t.Fatalf("document %d is said to be written: %q", i, text)
			}
		}
	})
}

// statusesIn are the numbers in a text, each with the way to it. It reads on its own what the
// decoder reads, which takes no notice of case.
func statusesIn(d *json.Decoder) []string {
	var found []string
	var walk func(path string)
	walk = func(path string) {
		token, _ := d.Token()
		switch token {
		case json.Delim('{'):
			for d.More() {
				name, err := d.Token()
				if err != nil {
					return
				}
				walk(path + "/" + folded(name.(string)))
			}
			_, _ = d.Token()
		case json.Delim('['):
			for i := 0; d.More(); i++ {
				walk(path + "/" + strconv.Itoa(i))
			}
			_, _ = d.Token()
		default:
			found = append(found, fmt.Sprint(path, "=", token))
		}
	}
	walk("")
	return found
}

func folded(name string) string {
	for _, known := range []string{"items", "status"} {
		if strings.EqualFold(name, known) {
			return known
		}
	}
	return name
}

func FuzzRequest(f *testing.F) {
	for _, name := range []string{"metrics-a-b", "größe", "\u200b", "\x00", "\xff", `"`, "\U0001f600", "\u2028"} {
		f.Add(name, name)
	}
	f.Fuzz(func(t *testing.T, stream, id string) {
		if !isIndexPart(stream) || !isPlain(id) {
			return
		}
		far := &recorded{}
		c, docs := asked(far, 2)
		docs[1].Stream, docs[1].ID = stream, id
		if _, err := c.send(t.Context(), docs); err != nil {
			t.Fatal(err)
		}
		wantLines(t, far.bodies[0], docs)
	})
}
