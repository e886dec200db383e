package elasticsearchexporter

import (
	"bytes"
	"encoding/json"
	"testing"

	"go.opentelemetry.io/collector/exporter/exporterhelper"
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

func TestAnAnswerThatDoesNotSpeakOfEachDocumentSaysNothing(t *testing.T) {
	for _, text := range []string{"", "{}", `{"items":[]}`, `{"items":[{"create":{"status":201}},{"create":{"status":201}}]}`, `{"items":[{"index":{"status":201}}]}`, `{"items":[{"create":{}}]}`, `{"items":[{"create":{"status":201}}`} {
		if items, err := parseBulk([]byte(text), 1); err == nil {
			t.Errorf("%q: %v", text, items)
		}
	}
	items, err := parseBulk([]byte(`{"items":[{"create":{"status":400,"error":"text"}}]}`), 1)
	if err != nil || items[0].Error.Reason != "text" {
		t.Errorf("%v, %v", items, err)
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

func FuzzParseBulk(f *testing.F) {
	f.Add([]byte(`{"errors":true,"items":[{"create":{"status":409,"error":{"type":"a","reason":"b"}}}]}`), 1)
	f.Add([]byte(`{"items":[{"create":null}]}`), 1)
	f.Fuzz(func(t *testing.T, text []byte, n int) {
		if n = n & 0xff; n == 0 {
			return
		}
		items, err := parseBulk(text, n)
		if err == nil && len(items) != n {
			t.Fatalf("%d items of %d", len(items), n)
		}
		for _, i := range items {
			_ = i.judge(&document{Late: "a"})
			_ = i.why()
		}
	})
}

func FuzzAppendBulk(f *testing.F) {
	f.Add("a", "b")
	f.Fuzz(func(t *testing.T, stream, id string) {
		out, err := appendBulk(nil, []document{{Stream: stream, ID: id, Source: json.RawMessage("{}")}})
		if err != nil || bytes.Count(out, []byte("\n")) != 2 {
			t.Fatalf("%q, %v", out, err)
		}
	})
}
