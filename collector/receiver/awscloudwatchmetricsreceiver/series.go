package awscloudwatchmetricsreceiver

import (
	"cmp"
	"hash/fnv"
	"slices"
	"time"
)

// dimension is a name and a value by which CloudWatch tells metrics apart.
type dimension struct {
	Name  string
	Value string `json:",omitempty"` // of a request: none stands for any
}

// entity is what metrics are about: an instance, or whatever the dimensions name.
type entity struct {
	Namespace  string
	Dimensions []dimension // sorted by name
	Attributes []dimension // of the resource
	Metrics    []metricOf
	Health     []health // what EC2 itself says, for nothing

	hash uint64
}

// metricOf is a metric of an entity with the statistics that are asked for.
type metricOf struct {
	Name     string
	Stats    []string
	Optional bool
}

// health is a status check of an instance.
type health struct {
	Name   string
	Failed bool
}

// series is one metric with one statistic, which is what AWS bills.
type series struct {
	*entity
	Metric   string
	Stat     string
	Optional bool
	key      uint64
}

func (e *entity) sum() uint64 {
	if e.hash == 0 {
		h := fnv.New64a()
		write := func(s string) { _, _ = h.Write([]byte(s)); _, _ = h.Write([]byte{0}) }
		write(e.Namespace)
		for _, d := range e.Dimensions {
			write(d.Name)
			write(d.Value)
		}
		e.hash = spread(h.Sum64())
	}
	return e.hash
}

// spread lets each bit of a hash depend on all of them: neighbours by number would otherwise
// be neighbours by hash.
func spread(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	return h ^ h>>33
}

// bucket is the part of the cursor that knows the entity.
func (e *entity) bucket() uint8 { return uint8(e.sum() >> 56) }

func (e *entity) series(metric, stat string, period time.Duration) series {
	h := fnv.New64a()
	_, _ = h.Write([]byte(metric + "\x00" + stat + "\x00" + period.String()))
	return series{entity: e, Metric: metric, Stat: stat, key: spread(h.Sum64() ^ e.sum())}
}

// all are the series of an entity.
func (e *entity) all(period time.Duration) []series {
	var out []series
	for _, m := range e.Metrics {
		for _, stat := range m.Stats {
			s := e.series(m.Name, stat, period)
			s.Optional = m.Optional
			out = append(out, s)
		}
	}
	return out
}

// seriesOf are those of all entities, in the order of the buckets: a batch then touches few.
func seriesOf(entities []*entity, period time.Duration, optional bool) []series {
	sorted := slices.Clone(entities)
	slices.SortFunc(sorted, func(a, b *entity) int { return cmp.Compare(a.sum(), b.sum()) })
	var out []series
	for _, e := range sorted {
		for _, s := range e.all(period) {
			if optional || !s.Optional {
				out = append(out, s)
			}
		}
	}
	return out
}

// The limits of GetMetricData ("GetMetricData", Amazon CloudWatch API Reference).
const (
	maxQueries = 500
	maxPoints  = 100_800
	// maxStatistics is that of GetMetricStatistics, which has one metric.
	maxStatistics = 1440
)

// batch is what one request asks for.
type batch struct {
	Series     []series
	Start, End time.Time
}

// pack makes requests of series that are read for the same window, of so many at most.
func pack(all []series, period time.Duration, start, end time.Time, most int) []batch {
	slots := max(1, int(end.Sub(start)/period))
	var out []batch
	for part := range slices.Chunk(all, max(1, min(most, maxQueries, maxPoints/slots))) {
		out = append(out, batch{Series: part, Start: start, End: end})
	}
	return out
}
