package awscloudwatchmetricsreceiver

import (
	"cmp"
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
	Metric string
	Stat   string
	key    uint64
}

func (e *entity) sum() uint64 {
	if e.hash == 0 {
		h := newHash().add(e.Namespace)
		for _, d := range e.Dimensions {
			h = h.add(d.Name).add(d.Value)
		}
		e.hash = h.spread()
	}
	return e.hash
}

// hash is FNV-1a. That of hash/fnv wants bytes, of which each series would need its own.
type hash uint64

func newHash() hash { return 14695981039346656037 }

// add adds a text and its end.
func (h hash) add(s string) hash {
	for i := range len(s) {
		h = h.byte(s[i])
	}
	return h.byte(0)
}

func (h hash) byte(b byte) hash { return (h ^ hash(b)) * 1099511628211 }

// spread lets each bit of a hash depend on all of them: neighbours by number would otherwise
// be neighbours by hash.
func (h hash) spread() uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	return uint64(h ^ h>>33)
}

// bucket is the part of the cursor that knows the entity.
func (e *entity) bucket() uint8 { return uint8(e.sum() >> 56) }

func (e *entity) series(metric, stat string, period time.Duration) series {
	h := newHash().add(metric).add(stat) ^ hash(period) ^ hash(e.sum()) //nolint:gosec // any number will do
	return series{entity: e, Metric: metric, Stat: stat, key: h.spread()}
}

// add adds the series of an entity.
func (e *entity) add(to []series, period time.Duration, optional bool) []series {
	for _, m := range e.Metrics {
		if m.Optional && !optional {
			continue
		}
		for _, stat := range m.Stats {
			to = append(to, e.series(m.Name, stat, period))
		}
	}
	return to
}

// seriesOf are those of all entities, in the order of the buckets: a batch then touches few.
func seriesOf(entities []*entity, period time.Duration, optional bool) []series {
	sorted := slices.Clone(entities)
	slices.SortFunc(sorted, func(a, b *entity) int { return cmp.Compare(a.sum(), b.sum()) })
	of := loadOf(entities)
	out := make([]series, 0, of.Core+of.Optional)
	for _, e := range sorted {
		out = e.add(out, period, optional)
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
