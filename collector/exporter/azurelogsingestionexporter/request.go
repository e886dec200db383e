package azurelogsingestionexporter

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"
)

// request is what the queue holds, and the batch that is made of it. It comes out of the
// queue with rows; these go into a body that grows; and that is closed when it is full.
type request struct {
	to       destination
	stream   *stream
	packers  *packers
	original string // the column for a time that Azure would replace; may be empty

	rows   rows
	open   []*growing
	closed []*body

	since time.Time // of the first attempt that has failed
}

var _ xexporterhelper.RequestErrorHandler = (*request)(nil)

// growing is an open body. There is one for each half hour if the stream wants that.
type growing struct {
	*packer
	window int64
}

const (
	maxOpen = 8 // half hours at once

	// maxParked is how many closed bodies wait together while their stream takes nothing:
	// each of them by itself would occupy a consumer that other streams need.
	maxParked = 4
)

// ItemsCount is part of xexporterhelper.Request.
func (r *request) ItemsCount() int {
	n := len(r.rows.ends)
	for _, g := range r.open {
		n += len(g.at)
	}
	for _, b := range r.closed {
		n += b.count()
	}
	return n
}

// BytesSize is that of the rows in the queue, and in a batch what the open bodies have on
// the wire: real bytes, no estimate.
func (r *request) BytesSize() int {
	n := len(r.rows.data)
	for _, g := range r.open {
		n += g.size()
	}
	if n > 0 {
		return n
	}
	for _, b := range r.closed {
		n += len(b.wire)
	}
	return n
}

// MergeSplit is part of xexporterhelper.Request. The limits are not those that it gets
// but what the stream is known to take.
//
// The queue takes it that all of r is delivered with the first of several requests that
// are returned, and deletes it then.
func (r *request) MergeSplit(_ context.Context, _ int, _ exporterhelper.RequestSizerType, other xexporterhelper.Request) ([]xexporterhelper.Request, error) {
	r.pack(&r.rows)
	if other == nil {
		return r.cut(), nil
	}
	before := slices.Clone(r.open)
	r.pack(&other.(*request).rows)
	if len(r.closed) < r.together() {
		return []xexporterhelper.Request{r}, nil
	}
	for _, g := range before {
		if slices.Contains(r.open, g) {
			r.close(g, whenFlushed)
		}
	}
	first := r.with(r.closed)
	r.closed = nil
	if len(r.open) == 0 {
		return []xexporterhelper.Request{first}, nil
	}
	return []xexporterhelper.Request{first, r}, nil
}

// together is how many closed bodies make a request.
func (r *request) together() int {
	if r.stream.closed() > 0 {
		return maxParked
	}
	return 1
}

// cut returns requests of closed bodies, and last the one that grows on.
func (r *request) cut() []xexporterhelper.Request {
	size := r.together()
	var full []xexporterhelper.Request
	for len(r.closed) >= size {
		full = append(full, r.with(r.closed[:size:size]))
		r.closed = r.closed[size:]
	}
	if len(r.open)+len(r.closed) > 0 || len(full) == 0 {
		full = append(full, r)
	}
	return full
}

func (r *request) with(closed []*body) *request {
	return &request{to: r.to, stream: r.stream, packers: r.packers, original: r.original, closed: closed}
}

// pack moves rows into the open bodies.
func (r *request) pack(from *rows) {
	now := time.Now().UnixNano()
	narrow := r.stream.isNarrow()
	for at, row := range from.all() {
		var in int64
		if narrow {
			in = window(at, now)
		}
		prefix := ""
		if r.original != "" && isReplaced(at, now) && !r.hasOriginal(row) {
			prefix, row = r.keepTime(at), row[1:]
		}
		r.add(in, prefix, row, at)
	}
	r.packers.recycle(from)
}

// keepTime begins a row with its time once more.
func (r *request) keepTime(at int64) string {
	text := append(appendText([]byte{'{'}, r.original), ':', '"')
	text = (&clock{}).appendTime(text, time.Unix(0, at))
	return string(append(text, '"', ','))
}

// hasOriginal reports whether a row was in a batch before, and begins so.
func (r *request) hasOriginal(row []byte) bool {
	rest, found := bytes.CutPrefix(row, []byte(`{"`))
	return found && bytes.HasPrefix(rest, []byte(r.original)) && bytes.HasPrefix(rest[len(r.original):], []byte(`":`))
}

func (r *request) add(in int64, prefix string, row []byte, at int64) {
	g := r.growing(in)
	if g.add(prefix, row, at) {
		return
	}
	if len(g.at) > 0 {
		r.close(g, whenFull)
		if g = r.growing(in); g.add(prefix, row, at) {
			return
		}
	}
	r.drop(g)
	r.closed = append(r.closed, &body{wire: append([]byte(prefix), row...), at: []int64{at}, tooBig: true})
}

func (r *request) growing(in int64) *growing {
	for _, g := range r.open {
		if g.window == in {
			return g
		}
	}
	if len(r.open) == maxOpen {
		r.close(r.open[0], whenFlushed)
	}
	g := &growing{r.packers.get(r.stream.wire.get(), r.stream.raw.get()), in}
	r.open = append(r.open, g)
	return g
}

// close moves an open body to the closed ones. One that was closed long before it was
// full was closed because of its raw size.
func (r *request) close(g *growing, why reason) {
	if why == whenFull && g.room() > g.limit/4 && g.raw > g.rawLimit/2 {
		why = whenRawFull
	}
	r.drop(g)
	r.closed = append(r.closed, r.packers.seal(g.packer, why))
}

func (r *request) drop(g *growing) {
	r.open = slices.DeleteFunc(r.open, func(other *growing) bool { return other == g })
}

// closeAll leaves bodies only: the batch is going to be sent.
func (r *request) closeAll() {
	r.pack(&r.rows)
	for len(r.open) > 0 {
		r.close(r.open[0], whenFlushed)
	}
}

// leftError is an error after which only some of the request is left to be sent.
type leftError struct {
	error
	left *request
}

// Unwrap returns the cause.
func (e *leftError) Unwrap() error { return e.error }

// OnError returns what is left to be sent: what was delivered is not delivered again.
func (r *request) OnError(err error) xexporterhelper.Request {
	var left *leftError
	if errors.As(err, &left) {
		return left.left
	}
	return r
}

// partitioner keeps the streams apart.
type partitioner struct{}

// GetKey is part of the partitioner of the queue.
func (partitioner) GetKey(_ context.Context, r xexporterhelper.Request) string {
	to := r.(*request).to
	return to.dcr + "/" + to.stream
}
