package sandbox

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Bounds on the ledger of samples. Amazon counts active series too, and far more of
// them.
const (
	maxSeries      = 100_000
	maxSeriesBytes = 64 << 20 // of names and values
	maxPoints      = 500_000
)

// Series is a time series as the remote-write receivers have it. The services refuse
// most samples that are older than the latest of their series; the sandbox takes them
// and counts them, so that a test can say that every sample came once and in order.
type Series struct {
	Labels map[string]string `json:"labels"`  // with __name__
	Points []Point           `json:"samples"` // as they came, without duplicates; of a great many only the latest

	Count      int `json:"count"`        // of all points, also those no longer there
	Duplicates int `json:"duplicates"`   // samples whose time was there already
	OutOfOrder int `json:"out_of_order"` // points that were older than the latest
	Histograms int `json:"histograms"`
	Exemplars  int `json:"exemplars"`
}

// Point is a sample.
type Point struct {
	Time  int64 // in milliseconds since 1970
	Value float64
}

// MarshalJSON writes a pair of the time and, as JSON has no NaN, the value as a string.
func (p Point) MarshalJSON() ([]byte, error) {
	return json.Marshal([2]any{p.Time, strconv.FormatFloat(p.Value, 'g', -1, 64)})
}

// sampleLedger is what both remote-write receivers have let in.
type sampleLedger struct {
	mu     sync.Mutex
	series map[string]*keptSeries // by its labels
	size   int
	points int
}

type keptSeries struct {
	Series
	times  map[int64]struct{} // of the points
	latest int64
}

// key tells series apart: the bytes between labels are in no UTF-8.
func (w *writtenSeries) key() string {
	var b strings.Builder
	for _, l := range w.labels {
		b.WriteString(l.name + "\xfe" + l.value + "\xff")
	}
	return b.String()
}

// room reports whether the series of a write fit in.
func (l *sampleLedger) room(d *write) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	size, fresh := l.size, map[string]bool{}
	for i := range d.series {
		if key := d.series[i].key(); l.series[key] == nil && !fresh[key] {
			fresh[key] = true
			size += len(key)
		}
	}
	return len(l.series)+len(fresh) <= maxSeries && size <= maxSeriesBytes
}

func (l *sampleLedger) add(d *write) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range d.series {
		from := &d.series[i]
		into := l.at(from)
		into.Histograms += from.histograms
		into.Exemplars += from.exemplars
		for _, p := range from.points {
			l.points += into.add(p)
		}
	}
	if l.points > maxPoints {
		l.forget()
	}
}

// at returns the series with the same labels, a new one if there is none.
func (l *sampleLedger) at(w *writtenSeries) *keptSeries {
	key := w.key()
	if kept := l.series[key]; kept != nil {
		return kept
	}
	if l.series == nil {
		l.series = map[string]*keptSeries{}
	}
	kept := &keptSeries{Series: Series{Labels: map[string]string{}}, times: map[int64]struct{}{}}
	for _, label := range w.labels {
		kept.Labels[label.name] = label.value
	}
	l.series[key] = kept
	l.size += len(key)
	return kept
}

// add returns how many points there are more.
func (k *keptSeries) add(p Point) int {
	if _, found := k.times[p.Time]; found {
		k.Duplicates++
		return 0
	}
	if k.Count > 0 && p.Time < k.latest {
		k.OutOfOrder++
	} else {
		k.latest = p.Time
	}
	k.times[p.Time] = struct{}{}
	k.Points = append(k.Points, p)
	k.Count++
	return 1
}

// forget drops the older half of all points. One that comes again after that counts as
// out of order.
func (l *sampleLedger) forget() {
	for _, kept := range l.series {
		half := (len(kept.Points) + 1) / 2
		for _, p := range kept.Points[:half] {
			delete(kept.times, p.Time)
		}
		kept.Points = slices.Clone(kept.Points[half:])
		l.points -= half
	}
}

// Series returns the time series of a metric that the remote-write receivers took, in
// a fixed order; those of all metrics if it is empty. The labels must not be changed.
func (s *Sandbox) Series(metric string) []Series {
	s.samples.mu.Lock()
	defer s.samples.mu.Unlock()
	var found []Series
	for _, key := range slices.Sorted(maps.Keys(s.samples.series)) {
		series := s.samples.series[key].Series
		if metric == "" || series.Labels[metricName] == metric {
			series.Points = slices.Clone(series.Points)
			found = append(found, series)
		}
	}
	return found
}

// Samples returns how many different samples of a metric the remote-write receivers
// took; of all metrics if it is empty.
func (s *Sandbox) Samples(metric string) int {
	total := 0
	for _, series := range s.Series(metric) {
		total += series.Count
	}
	return total
}
