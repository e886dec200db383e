package sandbox

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Datapoint is the value of one statistic for the period that begins at Time.
type Datapoint struct {
	Time  time.Time
	Value float64
}

// MetricQuery asks [Sandbox.Datapoints].
type MetricQuery struct {
	Account string
	Region  string
	Metric  Metric
	Stat    string // Average, Sum, Minimum, Maximum, SampleCount, p99
	Period  time.Duration
	Start   time.Time
	End     time.Time
	At      time.Time // what had arrived by then; zero: all that will ever arrive, as it will be
}

// Datapoints returns what CloudWatch knows of a metric, oldest first, to compare with what
// a client has collected. It is no call: nothing is counted, throttled or broken.
func (s *Sandbox) Datapoints(q MetricQuery) []Datapoint {
	source := s.source(regionID{q.Account, q.Region}, q.Metric)
	if source == nil || q.Period < time.Second {
		return nil
	}
	w := window{from: q.Start.Unix(), to: q.End.Unix(), period: seconds(q.Period), by: q.At.Unix()}
	if q.At.IsZero() {
		w.by = math.MaxInt32 << 8 // the year 19391
	}
	var points []Datapoint
	for _, b := range w.buckets(source, isPercentile(q.Stat)) {
		points = append(points, Datapoint{time.Unix(b.at, 0).UTC(), b.statistic(q.Stat)})
	}
	return points
}

// window is the part of a series that is asked for, in seconds.
type window struct {
	from, to int64
	origin   int64 // where periods begin to count
	period   int64
	by       int64 // what came later is not there
}

// periodBucket is what the samples of one period come to.
type periodBucket struct {
	sample
	values []float64 // for percentiles
}

// buckets gathers the samples, oldest first.
func (w window) buckets(source pointSource, keep bool) []periodBucket {
	var list []periodBucket
	for point := range source.samples(w.from, w.to, w.by) {
		at := w.origin + floorTo(point.at-w.origin, w.period)
		if len(list) == 0 || list[len(list)-1].at != at {
			list = append(list, periodBucket{sample: sample{at: at, min: point.min, max: point.max}})
		}
		list[len(list)-1].add(point, keep)
	}
	return list
}

func (b *periodBucket) add(point sample, keep bool) {
	b.count += point.count
	b.sum += point.sum
	b.min, b.max = min(b.min, point.min), max(b.max, point.max)
	if keep && point.min == point.max {
		b.values = append(b.values, point.min)
	}
}

func (b *periodBucket) statistic(name string) float64 {
	switch name {
	case "SampleCount":
		return b.count
	case "Sum":
		return b.sum
	case "Minimum":
		return b.min
	case "Maximum":
		return b.max
	case "Average":
		return b.sum / b.count
	}
	return b.percentile(name)
}

// percentile is the nearest rank; how CloudWatch rounds is unverified. Sets of statistics
// have none, but where all their values are the same.
func (b *periodBucket) percentile(name string) float64 {
	if len(b.values) == 0 {
		return 0
	}
	p, _ := strconv.ParseFloat(name[1:], 64)
	slices.Sort(b.values)
	rank := int(math.Ceil(p/100*float64(len(b.values)))) - 1
	return b.values[min(max(rank, 0), len(b.values)-1)]
}

// isPercentile knows p50 and p99.9. The trimmed statistics of the reference are not played.
func isPercentile(stat string) bool {
	number, found := strings.CutPrefix(stat, "p")
	p, err := strconv.ParseFloat(number, 64)
	return found && err == nil && p >= 0 && p <= 100 && consistsOf(number, func(r rune) bool { return isDigit(r) || r == '.' })
}

func isStatistic(stat string) bool {
	return slices.Contains([]string{"SampleCount", "Average", "Sum", "Minimum", "Maximum"}, stat)
}

// retained moves the beginning to what is still there: points of a minute are kept for 15
// days, of five for 63 and of an hour for 455 ("MetricStat", API reference).
func (w window) retained(now int64) window {
	const day = 86400
	kept := int64(15 * day)
	switch {
	case w.period%3600 == 0:
		kept = 455 * day
	case w.period%300 == 0:
		kept = 63 * day
	case w.period < 60:
		kept = 3 * 3600
	}
	w.from = max(w.from, ceilTo(now-kept, w.period))
	return w
}

// roundStart is "StartTime" of the reference: down to the minute, five minutes or the hour,
// the older the coarser.
func roundStart(start, now int64) int64 {
	const day = 86400
	switch age := now - start; {
	case age > 63*day:
		return floorTo(start, 3600)
	case age > 15*day:
		return floorTo(start, 300)
	}
	return floorTo(start, 60)
}
