package elasticsearchexporter

import (
	"math"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// point is a value that has come in, with what tells its document from others.
type point struct {
	name       string // of the metric, without its namespace
	full       string // as it came
	unit       string
	stat       string // empty: it has none
	namespace  string // of CloudWatch; empty: it is not from there
	dimensions map[string]any
	at         time.Time
	period     time.Duration
	value      float64
}

// cloudWatch begins the names of its metrics, as in CloudWatch Metric Streams in the format
// OpenTelemetry 1.0: amazonaws.com/AWS/EC2/CPUUtilization.
const cloudWatch = "amazonaws.com/"

// eachPoint takes metrics apart into numbers: a summary becomes one for each statistic. Values
// that are no numbers, for which JSON has no form, are left out.
func eachPoint(m pmetric.Metric, yield func(point)) {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		eachNumber(m, m.Gauge().DataPoints(), yield)
	case pmetric.MetricTypeSum:
		eachNumber(m, m.Sum().DataPoints(), yield)
	case pmetric.MetricTypeSummary:
		for _, p := range m.Summary().DataPoints().All() {
			eachStatistic(newPoint(m, p), summaryStatistics(p), yield)
		}
	case pmetric.MetricTypeHistogram:
		for _, p := range m.Histogram().DataPoints().All() {
			eachStatistic(newPoint(m, p), histogramStatistics(p), yield)
		}
	case pmetric.MetricTypeExponentialHistogram:
		for _, p := range m.ExponentialHistogram().DataPoints().All() {
			eachStatistic(newPoint(m, p), histogramStatistics(p), yield)
		}
	}
}

func eachNumber(m pmetric.Metric, points pmetric.NumberDataPointSlice, yield func(point)) {
	for _, p := range points.All() {
		one := newPoint(m, p)
		if one.value = p.DoubleValue(); p.ValueType() == pmetric.NumberDataPointValueTypeInt {
			one.value = float64(p.IntValue())
		}
		if p.ValueType() != pmetric.NumberDataPointValueTypeEmpty && isNumber(one.value) {
			yield(one)
		}
	}
}

func isNumber(value float64) bool { return !math.IsNaN(value) && !math.IsInf(value, 0) }

// statistic is one number of several.
type statistic struct {
	name  string
	value float64
}

func eachStatistic(of point, all []statistic, yield func(point)) {
	for _, s := range all {
		if one := of; isNumber(s.value) {
			one.stat, one.value = s.name, s.value
			yield(one)
		}
	}
}

// summaryStatistics reads the quantiles 0 and 1 as the least and the largest value.
func summaryStatistics(p pmetric.SummaryDataPoint) []statistic {
	all := []statistic{{"count", float64(p.Count())}, {"sum", p.Sum()}}
	if p.Count() > 0 {
		all = append(all, statistic{"avg", p.Sum() / float64(p.Count())})
	}
	for _, q := range p.QuantileValues().All() {
		switch q.Quantile() {
		case 0:
			all = append(all, statistic{"min", q.Value()})
		case 1:
			all = append(all, statistic{"max", q.Value()})
		default:
			all = append(all, statistic{"p" + number(100*q.Quantile()), q.Value()})
		}
	}
	return all
}

// histogram is what the two kinds of them have in common; the buckets are not written.
type histogram interface {
	Count() uint64
	Sum() float64
	HasSum() bool
	Min() float64
	HasMin() bool
	Max() float64
	HasMax() bool
}

func histogramStatistics(p histogram) []statistic {
	all := []statistic{{"count", float64(p.Count())}}
	if p.HasSum() {
		all = append(all, statistic{"sum", p.Sum()})
	}
	if p.HasMin() {
		all = append(all, statistic{"min", p.Min()})
	}
	if p.HasMax() {
		all = append(all, statistic{"max", p.Max()})
	}
	return all
}

// dataPoint is what all kinds of points have in common.
type dataPoint interface {
	Timestamp() pcommon.Timestamp
	StartTimestamp() pcommon.Timestamp
	Attributes() pcommon.Map
}

func newPoint(m pmetric.Metric, p dataPoint) point {
	one := point{full: m.Name(), unit: m.Unit(), at: p.Timestamp().AsTime(), dimensions: map[string]any{}}
	if start := p.StartTimestamp(); start > 0 && start < p.Timestamp() {
		one.period = one.at.Sub(start.AsTime())
	}
	one.namespace, one.name = splitName(m.Name())
	for key, value := range p.Attributes().All() {
		one.attribute(key, value)
	}
	return one
}

func splitName(name string) (namespace, metric string) {
	rest, found := strings.CutPrefix(name, cloudWatch)
	if !found {
		return "", name
	}
	i := strings.LastIndexByte(rest, '/')
	return rest[:max(i, 0)], rest[i+1:]
}

// attribute sorts an attribute: Namespace, MetricName and Dimensions are those of Metric
// Streams, and all that is not known is a dimension.
func (p *point) attribute(key string, value pcommon.Value) {
	switch {
	case key == "stat":
		p.stat = statName(value.AsString())
	case key == "Namespace" && p.isCloudWatch():
		p.namespace = value.AsString()
	case key == "MetricName" && p.isCloudWatch():
		p.name = value.AsString()
	case key == "Dimensions" && value.Type() == pcommon.ValueTypeMap:
		for name, of := range value.Map().All() {
			p.dimensions[name] = plain(of)
		}
	default:
		p.dimensions[key] = plain(value)
	}
}

func (p *point) isCloudWatch() bool { return strings.HasPrefix(p.full, cloudWatch) }

// statName is what Beats calls a statistic of CloudWatch.
func statName(name string) string {
	names := []string{"Average", "avg", "Sum", "sum", "Minimum", "min", "Maximum", "max", "SampleCount", "count"}
	if i := slices.Index(names, name); i >= 0 && i%2 == 0 {
		return names[i+1]
	}
	return fieldName(name)
}
