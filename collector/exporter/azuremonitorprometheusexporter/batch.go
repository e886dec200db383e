package azuremonitorprometheusexporter

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/prompb"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"
)

// batch is what the queue holds: series as they will be sent. Its items are samples.
type batch struct {
	series   []prompb.TimeSeries
	metadata []prompb.MetricMetadata

	// work is what is left to send, in order, once sending has begun; the queue's retries
	// come back with the same batch.
	work    [][]prompb.TimeSeries
	begun   bool
	samples int // at the beginning
	refused int // requests of this batch that the receiver had a fault to find with
	dropped int // samples
}

var _ xexporterhelper.Request = (*batch)(nil)

// ItemsCount implements [xexporterhelper.Request].
func (b *batch) ItemsCount() int { return countAll(b.series) }

// BytesSize implements [xexporterhelper.Request].
func (b *batch) BytesSize() int {
	size := sizeOf(b.series)
	for i := range b.metadata {
		size += b.metadata[i].Size()
	}
	return size
}

// points counts samples and native histograms.
func points(s *prompb.TimeSeries) int { return len(s.Samples) + len(s.Histograms) }

func countAll(all []prompb.TimeSeries) int {
	n := 0
	for i := range all {
		n += points(&all[i])
	}
	return n
}

func sizeOf(all []prompb.TimeSeries) int {
	n := 0
	for i := range all {
		n += framed(&all[i])
	}
	return n
}

// framed is the size of a series in a request, with its tag and length.
func framed(s *prompb.TimeSeries) int {
	const frame = 1 + 5
	return s.Size() + frame
}

// MergeSplit implements [xexporterhelper.Request].
func (b *batch) MergeSplit(_ context.Context, maxSize int, sizer exporterhelper.RequestSizerType, other xexporterhelper.Request) ([]xexporterhelper.Request, error) {
	merged := &batch{series: b.series, metadata: b.metadata}
	if other != nil {
		next, ok := other.(*batch)
		if !ok {
			return nil, errors.New("a request of another exporter")
		}
		merged.series = append(merged.series, next.series...) // nobody has b afterwards
		merged.metadata = append(merged.metadata, next.metadata...)
	}
	if maxSize == 0 {
		return []xexporterhelper.Request{merged}, nil
	}
	weight := points
	if sizer == exporterhelper.RequestSizerTypeBytes {
		weight = framed
	}
	return merged.split(maxSize, weight), nil
}

// split makes batches that weigh no more than limit; the first has the metadata.
func (b *batch) split(limit int, weight func(*prompb.TimeSeries) int) []xexporterhelper.Request {
	var all []xexporterhelper.Request
	for _, piece := range pieces(b.series, limit, weight) {
		all = append(all, &batch{series: piece})
	}
	if len(all) == 0 {
		all = append(all, &batch{})
	}
	all[0].(*batch).metadata = b.metadata
	return all
}

// pieces cuts a list into such as weigh no more than limit, series with many samples
// included. A sample that weighs more by itself is a piece of its own.
func pieces(all []prompb.TimeSeries, limit int, weight func(*prompb.TimeSeries) int) [][]prompb.TimeSeries {
	var cut [][]prompb.TimeSeries
	var piece []prompb.TimeSeries
	sum := 0
	todo := slices.Clone(all)
	for len(todo) > 0 {
		w := weight(&todo[0])
		switch {
		case w > limit && points(&todo[0]) > 1:
			earlier, later := halve(todo[0])
			todo = slices.Concat([]prompb.TimeSeries{earlier, later}, todo[1:])
			continue
		case sum+w > limit && len(piece) > 0:
			cut, piece, sum = append(cut, piece), nil, 0
		}
		piece, sum, todo = append(piece, todo[0]), sum+w, todo[1:]
	}
	if len(piece) > 0 {
		cut = append(cut, piece)
	}
	return cut
}

// halve cuts a series in time. Exemplars go with the later half: they are the latest.
func halve(s prompb.TimeSeries) (earlier, later prompb.TimeSeries) {
	samples, histograms := (len(s.Samples)+1)/2, len(s.Histograms)/2
	earlier = prompb.TimeSeries{Labels: s.Labels, Samples: s.Samples[:samples], Histograms: s.Histograms[:histograms]}
	later = prompb.TimeSeries{Labels: s.Labels, Samples: s.Samples[samples:], Histograms: s.Histograms[histograms:], Exemplars: s.Exemplars}
	return earlier, later
}

// bisect cuts what a receiver found fault with in two; nil: there is one sample only.
func bisect(piece []prompb.TimeSeries) [][]prompb.TimeSeries {
	switch {
	case len(piece) > 1:
		middle := len(piece) / 2
		return [][]prompb.TimeSeries{piece[:middle], piece[middle:]}
	case points(&piece[0]) > 1:
		earlier, later := halve(piece[0])
		return [][]prompb.TimeSeries{{earlier}, {later}}
	}
	return nil
}

// begin puts the samples of each series together, in order of time, which is what receivers
// want, and cuts the whole into requests.
func (b *batch) begin(limit int) {
	if b.begun {
		return
	}
	all := gather(b.series)
	b.begun, b.samples = true, countAll(all)
	b.work = pieces(all, limit, framed)
}

// recut makes what is left no larger than limit.
func (b *batch) recut(limit int) {
	var work [][]prompb.TimeSeries
	for _, piece := range b.work {
		work = append(work, pieces(piece, limit, framed)...)
	}
	b.work = work
}

// gather merges series with the same labels; the same sample of two scrapes is one.
func gather(all []prompb.TimeSeries) []prompb.TimeSeries {
	at := make(map[string]int, len(all))
	var merged []prompb.TimeSeries
	for i := range all {
		key := keyOf(all[i].Labels)
		j, found := at[key]
		if !found {
			at[key] = len(merged)
			merged = append(merged, all[i])
			continue
		}
		m := &merged[j]
		m.Samples = slices.Concat(m.Samples, all[i].Samples)
		m.Histograms = slices.Concat(m.Histograms, all[i].Histograms)
		m.Exemplars = slices.Concat(m.Exemplars, all[i].Exemplars)
	}
	for i := range merged {
		order(&merged[i])
	}
	return merged
}

func order(s *prompb.TimeSeries) {
	s.Samples = slices.Clone(s.Samples)
	slices.SortFunc(s.Samples, func(a, b prompb.Sample) int {
		return cmp.Or(cmp.Compare(a.Timestamp, b.Timestamp), cmp.Compare(math.Float64bits(a.Value), math.Float64bits(b.Value)))
	})
	s.Samples = slices.CompactFunc(s.Samples, sameSample)
	s.Histograms = slices.Clone(s.Histograms)
	slices.SortStableFunc(s.Histograms, func(a, b prompb.Histogram) int { return cmp.Compare(a.Timestamp, b.Timestamp) })
}

// sameSample compares the bits: a value that marks a series as stale is a NaN.
func sameSample(a, b prompb.Sample) bool {
	return a.Timestamp == b.Timestamp && math.Float64bits(a.Value) == math.Float64bits(b.Value)
}

// keyOf tells series apart; their labels are sorted.
func keyOf(labels []prompb.Label) string {
	var key strings.Builder
	for _, l := range labels {
		key.WriteString(l.Name)
		key.WriteByte(0)
		key.WriteString(l.Value)
		key.WriteByte(0)
	}
	return key.String()
}

// encoding keeps batches on disk as the remote-write requests that they will be.
type encoding struct{}

// Marshal implements the queue's encoding.
func (encoding) Marshal(_ context.Context, r xexporterhelper.Request) ([]byte, error) {
	b, ok := r.(*batch)
	if !ok {
		return nil, errors.New("a request of another exporter")
	}
	return (&prompb.WriteRequest{Timeseries: b.series, Metadata: b.metadata}).Marshal()
}

// Unmarshal implements the queue's encoding.
func (encoding) Unmarshal(data []byte) (context.Context, xexporterhelper.Request, error) {
	var request prompb.WriteRequest
	err := request.Unmarshal(data)
	return context.Background(), &batch{series: request.Timeseries, metadata: request.Metadata}, err
}

// uncounted leaves the memory of batches to the garbage collector.
type uncounted struct{}

// Ref does nothing.
func (uncounted) Ref(xexporterhelper.Request) {}

// Unref does nothing.
func (uncounted) Unref(xexporterhelper.Request) {}
