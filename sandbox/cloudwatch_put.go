package sandbox

import (
	"cmp"
	"iter"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
)

// The limits of PutMetricData.
const (
	maxDatums     = 1000
	maxDimensions = 30
	maxValues     = 150
	oldestDatum   = 14 * 24 * time.Hour
	newestDatum   = 2 * time.Hour
)

// maxStored is how many samples one region of an account keeps.
const maxStored = 1000000

// metricStore has what PutMetricData brought.
type metricStore struct {
	mu     sync.Mutex
	series map[regionID]map[string]*putSeries
	stored map[regionID]int
}

// putSeries is a version of a series: a put makes the next one.
type putSeries struct {
	metric   Metric
	unitName string
	points   []putPoint // by time
}

type putPoint struct {
	sample
	arrival int64
}

func (p *putSeries) unit() string { return p.unitName }

func (p *putSeries) span(now int64) (first, last int64) {
	return p.points[0].at, min(p.points[len(p.points)-1].at, now)
}

func (p *putSeries) samples(from, to, by int64) iter.Seq[sample] {
	return func(yield func(sample) bool) {
		for _, point := range p.points {
			if point.at >= from && point.at < to && point.arrival <= by && !yield(point.sample) {
				return
			}
		}
	}
}

func (m *metricStore) source(at regionID, key string) pointSource {
	m.mu.Lock()
	defer m.mu.Unlock()
	if series := m.series[at][key]; series != nil {
		return series
	}
	return nil
}

func (m *metricStore) all(at regionID) []*putSeries {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.SortedFunc(maps.Values(m.series[at]), byName)
}

// add stores all of them or, where there is no room, none.
func (m *metricStore) add(at regionID, list []*putSeries) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.series == nil {
		m.series, m.stored = map[regionID]map[string]*putSeries{}, map[regionID]int{}
	}
	if m.series[at] == nil {
		m.series[at] = map[string]*putSeries{}
	}
	if m.stored[at]+len(list) > maxStored {
		return false
	}
	m.stored[at] += len(list)
	for _, added := range list {
		next := *added
		if before := m.series[at][added.metric.key()]; before != nil {
			next.points = slices.Concat(before.points, added.points)
			slices.SortStableFunc(next.points, func(a, b putPoint) int { return cmp.Compare(a.at, b.at) })
		}
		m.series[at][added.metric.key()] = &next
	}
	return true
}

func (c *apiCall) putMetricData() (object, *awsError) {
	namespace := c.in.text("Namespace")
	data := c.in.structures("MetricData")
	for _, entity := range c.in.structures("EntityMetricData") {
		data = append(data, entity.structures("MetricData")...)
	}
	switch {
	case !c.in.has("Namespace"):
		return nil, missing("Namespace")
	case len(namespace) == 0 || len(namespace) > 255 || strings.HasPrefix(namespace, "AWS/"):
		return nil, invalidValue("The value %s for parameter Namespace is invalid.", printable(namespace)) // unverified wording
	case len(data) == 0:
		return nil, missing("MetricData")
	case len(data) > maxDatums:
		return nil, invalidValue("The collection MetricData must not have a size greater than %d.", maxDatums)
	}
	var list []*putSeries
	for _, datum := range data {
		series, refusal := c.readDatum(namespace, datum)
		if refusal != nil {
			return nil, refusal
		}
		list = append(list, series)
	}
	if !c.s.metrics.add(c.at, list) {
		return nil, invalid("The sandbox keeps %d samples in a region.", maxStored)
	}
	return nil, nil
}

func (c *apiCall) readDatum(namespace string, datum params) (*putSeries, *awsError) {
	series := &putSeries{metric: readMetric(datum), unitName: cmp.Or(datum.text("Unit"), "None")}
	series.metric.Namespace = namespace
	at, timed := datum.time("Timestamp")
	switch {
	case series.metric.Name == "":
		return nil, missing("MetricData.member.1.MetricName")
	case len(series.metric.Dimensions) > maxDimensions:
		return nil, invalidValue("The collection MetricData.member.1.Dimensions must not have a size greater than %d.", maxDimensions)
	case datum.has("Timestamp") && !timed, timed && (at.Before(c.now.Add(-oldestDatum)) || at.After(c.now.Add(newestDatum))):
		return nil, invalidValue("The parameter MetricData.member.1.Timestamp must specify a time no more than two weeks ago or two hours from now.") // unverified wording
	case !timed:
		at = c.now
	}
	resolution := int64(60)
	if seconds, ok := datum.integer("StorageResolution"); ok && seconds == 1 {
		resolution = 1
	}
	samples, refusal := readSamples(datum, floorTo(at.Unix(), resolution))
	delay := c.delivery(c.at.account)
	for _, s := range samples {
		h := mix(seedOf(c.at.account, c.at.name, series.metric.key()) ^ uint64(s.at)) //nolint:gosec // any bits will do
		series.points = append(series.points, putPoint{s, c.now.Unix() + delay.delay(h)})
	}
	return series, refusal
}

// readSamples reads the three forms of a datum: a value, a set of statistics, and values
// with counts.
func readSamples(datum params, at int64) ([]sample, *awsError) {
	wrong := invalidValue("The value for parameter MetricData.member.1.Value is invalid.") // unverified wording
	if datum.has("StatisticValues") {
		set := datum.structure("StatisticValues")
		s := sample{at: at}
		ok := true
		for name, field := range map[string]*float64{"SampleCount": &s.count, "Sum": &s.sum, "Minimum": &s.min, "Maximum": &s.max} {
			number, fine := set.number(name)
			*field, ok = number, ok && fine && isMetricValue(number)
		}
		if !ok || s.count <= 0 || s.min > s.max {
			return nil, wrong
		}
		return []sample{s}, nil
	}
	if value, ok := datum.number("Value"); ok && isMetricValue(value) {
		return []sample{one(at, value)}, nil
	}
	samples := readValues(datum, at)
	if samples == nil {
		return nil, wrong
	}
	return samples, nil
}

// readValues is nil where something is wrong.
func readValues(datum params, at int64) []sample {
	values, counts := datum.list("Values"), datum.list("Counts")
	if len(values) > maxValues || len(counts) != 0 && len(counts) != len(values) {
		return nil
	}
	var samples []sample
	for i := range values {
		value, ok := asNumber(values[i])
		count := 1.0
		if len(counts) != 0 {
			number, fine := asNumber(counts[i])
			count, ok = number, ok && fine && number > 0
		}
		if !ok || !isMetricValue(value) || !isMetricValue(count) {
			return nil
		}
		samples = append(samples, sample{at, count, count * value, value, value})
	}
	return samples
}

// isMetricValue is the range of "MetricDatum".
func isMetricValue(value float64) bool { return math.Abs(value) <= math.Ldexp(1, 360) }
