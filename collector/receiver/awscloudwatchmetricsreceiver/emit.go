package awscloudwatchmetricsreceiver

import (
	"slices"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// fresh are points of a series that the pipeline has not taken yet.
type fresh struct {
	series
	Points []point
}

// shape is the form in which points are passed on, that of CloudWatch's own metric streams
// ("OpenTelemetry 1.0.0 format", Amazon CloudWatch User Guide).
type shape struct {
	Account, Region string
	Period          time.Duration
	Summary         bool
	Version         string
}

// build puts points under the resource that they are about. All have the times that
// CloudWatch gave them, so that no two metrics share one by mistake.
func (s shape) build(all []fresh) pmetric.Metrics {
	out := pmetric.NewMetrics()
	for _, of := range runs(all, func(a, b fresh) bool { return a.entity == b.entity }) {
		if !hasPoints(of) {
			continue
		}
		metrics := s.resource(out.ResourceMetrics().AppendEmpty(), of[0].entity)
		for _, stats := range runs(of, func(a, b fresh) bool { return a.Metric == b.Metric }) {
			if !hasPoints(stats) {
				continue
			}
			metric := metrics.AppendEmpty()
			metric.SetName("amazonaws.com/" + stats[0].Namespace + "/" + stats[0].Metric)
			if s.Summary && isSummary(stats) {
				s.summary(metric.SetEmptySummary().DataPoints(), stats)
			} else {
				s.gauge(metric.SetEmptyGauge().DataPoints(), stats)
			}
		}
	}
	return out
}

// runs are the neighbours that belong together.
func runs[T any](all []T, same func(a, b T) bool) [][]T {
	var out [][]T
	for begin := 0; begin < len(all); {
		end := begin + 1
		for end < len(all) && same(all[begin], all[end]) {
			end++
		}
		out, begin = append(out, all[begin:end]), end
	}
	return out
}

func hasPoints(all []fresh) bool {
	return slices.ContainsFunc(all, func(f fresh) bool { return len(f.Points) > 0 })
}

func (s shape) resource(rm pmetric.ResourceMetrics, e *entity) pmetric.MetricSlice {
	to := rm.Resource().Attributes()
	to.EnsureCapacity(3 + len(e.Attributes))
	to.PutStr("cloud.provider", "aws")
	to.PutStr("cloud.account.id", s.Account)
	to.PutStr("cloud.region", s.Region)
	for _, a := range e.Attributes {
		to.PutStr(a.Name, a.Value)
	}
	scope := rm.ScopeMetrics().AppendEmpty()
	scope.Scope().SetName("github.com/keyless-id/keyless/collector/receiver/awscloudwatchmetricsreceiver")
	scope.Scope().SetVersion(s.Version)
	return scope.Metrics()
}

func (s shape) gauge(to pmetric.NumberDataPointSlice, stats []fresh) {
	for _, f := range stats {
		to.EnsureCapacity(to.Len() + len(f.Points))
		for _, p := range f.Points {
			dp := to.AppendEmpty()
			s.stamp(dp, p.At)
			dp.SetDoubleValue(p.Value)
			describe(dp.Attributes(), f.series)
			dp.Attributes().PutStr("stat", f.Stat)
		}
	}
}

type stamped interface {
	SetTimestamp(pcommon.Timestamp)
	SetStartTimestamp(pcommon.Timestamp)
}

func (s shape) stamp(p stamped, at int64) {
	t := time.Unix(at, 0)
	p.SetTimestamp(pcommon.NewTimestampFromTime(t))
	p.SetStartTimestamp(pcommon.NewTimestampFromTime(t.Add(-s.Period)))
}

func describe(to pcommon.Map, s series) {
	to.EnsureCapacity(4)
	to.PutStr("Namespace", s.Namespace)
	to.PutStr("MetricName", s.Metric)
	dimensions := to.PutEmptyMap("Dimensions")
	dimensions.EnsureCapacity(len(s.Dimensions))
	for _, d := range s.Dimensions {
		dimensions.PutStr(d.Name, d.Value)
	}
}

// isSummary reports whether the statistics are those that a summary has.
func isSummary(stats []fresh) bool {
	for _, stat := range []string{statSum, statSampleCnt, statMin, statMax} {
		if !slices.ContainsFunc(stats, func(f fresh) bool { return f.Stat == stat }) {
			return false
		}
	}
	return len(stats) == 4
}

// summary makes one point of the statistics of one time. [complete] has seen to it that all
// four are there: a count of zero that means unknown would be wrong.
func (s shape) summary(to pmetric.SummaryDataPointSlice, stats []fresh) {
	for i, p := range stats[0].Points {
		dp := to.AppendEmpty()
		s.stamp(dp, p.At)
		describe(dp.Attributes(), stats[0].series)
		for _, f := range stats {
			setStat(dp, f.Stat, f.Points[i].Value)
		}
	}
}

func setStat(dp pmetric.SummaryDataPoint, stat string, value float64) {
	quantile := func(q float64) {
		v := dp.QuantileValues().AppendEmpty()
		v.SetQuantile(q)
		v.SetValue(value)
	}
	switch stat {
	case statSum:
		dp.SetSum(value)
	case statSampleCnt:
		dp.SetCount(uint64(max(0, value)))
	case statMin:
		quantile(0)
	case statMax:
		quantile(1)
	}
}

// complete leaves of summaries only the times of which all statistics are there. The others
// are not taken, and come again.
func complete(all []fresh) {
	for _, stats := range runs(all, func(a, b fresh) bool { return a.entity == b.entity && a.Metric == b.Metric }) {
		if !isSummary(stats) {
			continue
		}
		seen := make(map[int64]int)
		for _, f := range stats {
			for _, p := range f.Points {
				seen[p.At]++
			}
		}
		for i := range stats {
			stats[i].Points = slices.DeleteFunc(stats[i].Points, func(p point) bool { return seen[p.At] < len(stats) })
		}
	}
}
