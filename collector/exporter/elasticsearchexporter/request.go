package elasticsearchexporter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"
)

// request is what the queue holds: the documents that are not written yet, in order.
type request struct {
	docs []document
	most int // documents at once, after a 413; 0: no limit
}

var _ xexporterhelper.Request = (*request)(nil)

// ItemsCount implements [xexporterhelper.Request].
func (r *request) ItemsCount() int { return len(r.docs) }

// BytesSize implements [xexporterhelper.Request].
func (r *request) BytesSize() int {
	size := 0
	for i := range r.docs {
		size += r.docs[i].size()
	}
	return size
}

// size is about that of both lines.
func (d *document) size() int {
	const action = len(`{"create":{"_index":"","_id":""}}` + "\n\n")
	return len(d.Source) + len(d.Stream) + len(d.ID) + action
}

var errForeign = errors.New("a request of another exporter")

// MergeSplit implements [xexporterhelper.Request].
func (r *request) MergeSplit(_ context.Context, most int, sizer exporterhelper.RequestSizerType, other xexporterhelper.Request) ([]xexporterhelper.Request, error) {
	all := r.docs
	if other != nil {
		next, ok := other.(*request)
		if !ok {
			return nil, errForeign
		}
		all = append(all[:len(all):len(all)], next.docs...)
	}
	weight := func(*document) int { return 1 }
	if sizer == exporterhelper.RequestSizerTypeBytes {
		weight = (*document).size
	}
	var parts []xexporterhelper.Request
	for len(all) > 0 {
		n := fitting(all, most, weight)
		parts, all = append(parts, &request{docs: all[:n:n]}), all[n:]
	}
	if len(parts) == 0 {
		parts = append(parts, &request{})
	}
	return parts, nil
}

// fitting is how many documents weigh no more than most, and at least one; 0 is no limit.
func fitting(docs []document, most int, weight func(*document) int) int {
	sum := 0
	for i := range docs {
		if sum += weight(&docs[i]); most > 0 && sum > most && i > 0 {
			return i
		}
	}
	return len(docs)
}

// encoding keeps requests on disk.
type encoding struct{}

// format begins what is stored, for the day on which it has to be told from another.
const format = '1'

// Marshal implements xexporterhelper.QueueBatchSettings.
func (encoding) Marshal(_ context.Context, r xexporterhelper.Request) ([]byte, error) {
	one, ok := r.(*request)
	if !ok {
		return nil, errForeign
	}
	text, err := json.Marshal(one.docs)
	return append([]byte{format}, text...), err
}

// Unmarshal implements xexporterhelper.QueueBatchSettings.
func (encoding) Unmarshal(stored []byte) (context.Context, xexporterhelper.Request, error) {
	if len(stored) == 0 || stored[0] != format {
		return context.Background(), nil, errors.New("stored by another version")
	}
	var r request
	if err := json.Unmarshal(stored[1:], &r.docs); err != nil {
		return context.Background(), nil, fmt.Errorf("stored request: %w", err)
	}
	return context.Background(), &r, nil
}

// uncounted leaves the memory of requests to the garbage collector.
type uncounted struct{}

// Ref does nothing.
func (uncounted) Ref(xexporterhelper.Request) {}

// Unref does nothing.
func (uncounted) Unref(xexporterhelper.Request) {}
