package elasticsearchexporter

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"

	"github.com/elastic/go-elasticsearch/v9/esutil"
)

// exchange is one request of the Bulk API and what is said to it. It has an indexer of its
// own: Elastic's is made to gather, to send when it likes and with several workers. This one
// has one worker, which sends once, when the indexer is closed; the queue before it has done
// the rest. A buffer that is used once cannot be read by one request and written by the next.
type exchange struct {
	docs  []document
	items []item // what is said of each document
	err   error  // of the whole request
}

// send writes documents with one request, and returns what is said of each, in their order.
func (c *client) send(ctx context.Context, docs []document) ([]item, error) {
	x := &exchange{docs: docs, items: make([]item, len(docs))}
	indexer, err := esutil.NewBulkIndexer(x.config(ctx, c))
	if err != nil {
		return nil, err
	}
	// The context ends the request. The worker then ends by itself, and is waited for: who
	// left before it would leave it behind.
	ctx = context.WithoutCancel(ctx)
	for i := range docs {
		err = errors.Join(err, indexer.Add(ctx, x.item(i)))
	}
	err = errors.Join(err, indexer.Close(ctx), x.err)
	return x.items, cmp.Or(err, x.silence())
}

// silence is the error that something is said of some documents only.
func (x *exchange) silence() error {
	if i := slices.IndexFunc(x.items, func(i item) bool { return i.Status == 0 }); i >= 0 {
		return fmt.Errorf("nothing was said of document %d", i)
	}
	return nil
}

// never is longer than the adding of documents can take.
const never = math.MaxInt64

func (x *exchange) config(ctx context.Context, c *client) esutil.BulkIndexerConfig {
	return esutil.BulkIndexerConfig{
		Client:              c,
		NumWorkers:          1,
		QueueSizeMultiplier: min(len(x.docs), 64),
		FlushBytes:          (&request{docs: x.docs}).BytesSize() + bytes.MinRead + 1, // more than there is, so that the buffer never grows
		FlushInterval:       never,
		Decoder:             answer{documents: len(x.docs)},
		Header:              http.Header{"Content-Type": {"application/x-ndjson"}},
		FilterPath:          []string{"errors", "items.*.error", "items.*.status"},
		OnFlushStart:        func(context.Context) context.Context { return ctx }, // the worker's own never ends
		OnError:             func(_ context.Context, err error) { x.err = err },
	}
}

// item hands over a document. The action is create: data streams take no other, and what is
// there already stays as it is.
func (x *exchange) item(i int) esutil.BulkIndexerItem {
	type response = esutil.BulkIndexerResponseItem
	return esutil.BulkIndexerItem{
		Action: "create", Index: x.docs[i].Stream, DocumentID: x.docs[i].ID, Body: bytes.NewReader(x.docs[i].Source),
		OnSuccess: func(_ context.Context, _ esutil.BulkIndexerItem, said response) { x.items[i] = itemOf(said) },
		OnFailure: func(_ context.Context, _ esutil.BulkIndexerItem, said response, _ error) { x.items[i] = itemOf(said) },
	}
}

// isPlain reports whether a name stays as it is when it is quoted. The indexer quotes as Go
// does, which for control characters and the like is no JSON.
func isPlain(name string) bool { return strconv.Quote(name) == `"`+name+`"` }

// item is what is said of a document.
type item struct {
	Status int        `json:"status"`
	Error  *itemError `json:"error"`
}

// itemError is the error of an item.
type itemError struct {
	Type   string `json:"type"`
	Reason string `json:"reason"`
}

// UnmarshalJSON takes a text for an error, too: proxies have been seen to send that.
func (e *itemError) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '"' {
		return json.Unmarshal(text, &e.Reason)
	}
	type bare itemError
	return json.Unmarshal(text, (*bare)(e))
}

// answer reads the answer about so many documents. One that says less, or something else,
// says nothing: then all of them are sent again. The indexer would not notice, and reach
// beyond its documents if there are more.
type answer struct{ documents int }

// UnmarshalFromReader implements [esutil.BulkResponseJSONDecoder].
func (a answer) UnmarshalFromReader(body io.Reader, to *esutil.BulkIndexerResponse) error {
	var said struct {
		Items []map[string]item `json:"items"`
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return fmt.Errorf("the answer is not that of a bulk request: %w", err)
	}
	if len(said.Items) != a.documents {
		return fmt.Errorf("the answer is about %d documents, and not about %d", len(said.Items), a.documents)
	}
	for i, one := range said.Items {
		done, found := one["create"]
		if !found || done.Status < 100 {
			return fmt.Errorf("the answer does not say what became of document %d", i)
		}
		to.Items = append(to.Items, map[string]esutil.BulkIndexerResponseItem{"create": done.response()})
	}
	return nil
}

// response is the item as the indexer wants it.
func (i item) response() (of esutil.BulkIndexerResponseItem) {
	of.Status = i.Status
	if i.Error != nil {
		of.Error.Type, of.Error.Reason = i.Error.Type, i.Error.Reason
	}
	return of
}

// itemOf is the item as it was before that.
func itemOf(of esutil.BulkIndexerResponseItem) item {
	i := item{Status: of.Status}
	if of.Error.Type != "" || of.Error.Reason != "" {
		i.Error = &itemError{Type: of.Error.Type, Reason: of.Error.Reason}
	}
	return i
}

// fate is what becomes of a document.
type fate int

const (
	created fate = iota
	duplicate
	retried
	held         // retried, and somebody has to see to it
	moved        // to the stream for what a time series does not take
	deadLettered // it will never be taken
)

// judge reads what is said of a document. That an identity may not write, or that there is
// no index, can be mended: nothing is given up for it.
func (i item) judge(d *document) fate {
	switch {
	case i.Status < http.StatusMultipleChoices:
		return created
	case i.Status == http.StatusConflict:
		return duplicate
	case i.Status == http.StatusTooManyRequests, i.Status >= http.StatusInternalServerError:
		return retried
	case i.Status == http.StatusUnauthorized, i.Status == http.StatusForbidden, i.Status == http.StatusNotFound:
		return held
	case d.Late != "" && i.Error != nil && i.Error.Type == "timestamp_error":
		return moved
	}
	return deadLettered
}

// why is the error in words.
func (i item) why() string {
	if i.Error == nil {
		return http.StatusText(i.Status)
	}
	return i.Error.Type + ": " + i.Error.Reason
}
