package awscloudwatchmetricsreceiver

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"
)

// cloudWatch is CloudWatch for an account in a region.
type cloudWatch struct{ *service }

// point is a value at the begin of its period, in seconds since 1970.
type point struct {
	At    int64
	Value float64
}

// reading is what CloudWatch has of a series.
type reading struct {
	Points []point
	Status string // Complete, PartialData, InternalError or Forbidden; empty: no answer
}

const (
	statusComplete  = "Complete"
	statusForbidden = "Forbidden"
)

// data reads a batch by GetMetricData, all pages of it. What it has when a page fails it
// returns with the error.
func (c cloudWatch) data(ctx context.Context, b batch, period time.Duration) ([]reading, error) {
	out := make([]reading, len(b.Series))
	fields := cbor.Map{
		"MetricDataQueries": queriesOf(b, period), "StartTime": timeValue(b.Start), "EndTime": timeValue(b.End),
		"ScanBy": cbor.String("TimestampAscending"), "MaxDatapoints": count(maxPoints),
	}
	err := c.pages(ctx, opMetricData, fields, func(page cbor.Map) {
		c.Report.billed(ctx, opMetricData, len(b.Series))
		addResults(out, page)
	})
	return out, err
}

// queriesOf has no labels: the results are found by their ids, and a request is half as long.
func queriesOf(b batch, period time.Duration) cbor.List {
	list := make(cbor.List, len(b.Series))
	var e *entity
	var dimensions cbor.List
	for i, s := range b.Series {
		if s.entity != e {
			e, dimensions = s.entity, dimensionsOf(s.Dimensions)
		}
		list[i] = cbor.Map{"Id": cbor.String("q" + strconv.Itoa(i)), "MetricStat": cbor.Map{
			"Metric": cbor.Map{"Namespace": cbor.String(s.Namespace), "MetricName": cbor.String(s.Metric), "Dimensions": dimensions},
			"Period": count(int(period.Seconds())), "Stat": cbor.String(s.Stat),
		}}
	}
	return list
}

func dimensionsOf(all []dimension) cbor.List {
	list := make(cbor.List, len(all))
	for i, d := range all {
		fields := cbor.Map{"Name": cbor.String(d.Name)}
		if d.Value != "" {
			fields["Value"] = cbor.String(d.Value)
		}
		list[i] = fields
	}
	return list
}

// addResults adds a page. A status other than Complete on the last page that has the series
// is the one that counts.
func addResults(out []reading, page cbor.Map) {
	each(page["MetricDataResults"], func(result cbor.Map) {
		i, ok := idOf(stringOf(result["Id"]))
		if !ok || i >= len(out) {
			return
		}
		out[i].Status = stringOf(result["StatusCode"])
		out[i].Points = append(out[i].Points, pointsOf(listOf(result["Timestamps"]), listOf(result["Values"]))...)
	})
}

func idOf(id string) (int, bool) {
	if len(id) < 2 || id[0] != 'q' {
		return 0, false
	}
	i, err := strconv.Atoi(id[1:])
	return i, err == nil && i >= 0
}

func pointsOf(times, values cbor.List) []point {
	out := make([]point, 0, len(times))
	for i := range min(len(times), len(values)) {
		at, isTime := secondsOf(times[i])
		value, isNumber := numberOf(values[i])
		if isTime && isNumber && !math.IsNaN(value) {
			out = append(out, point{At: at, Value: value})
		}
	}
	return out
}

// statistics reads one metric with all of its statistics by GetMetricStatistics, which the
// free tier covers.
func (c cloudWatch) statistics(ctx context.Context, b batch, period time.Duration) ([]reading, error) {
	first := b.Series[0]
	stats := make(cbor.List, len(b.Series))
	for i, s := range b.Series {
		stats[i] = cbor.String(s.Stat)
	}
	body, err := c.call(ctx, cborMessage(opMetricStatistics, cbor.Map{
		"Namespace": cbor.String(first.Namespace), "MetricName": cbor.String(first.Metric), "Dimensions": dimensionsOf(first.Dimensions),
		"StartTime": timeValue(b.Start), "EndTime": timeValue(b.End), "Period": count(int(period.Seconds())), "Statistics": stats,
	}))
	if err != nil {
		return make([]reading, len(b.Series)), err
	}
	c.Report.billed(ctx, opMetricStatistics, 1)
	page, err := decodeMap(body)
	if err != nil {
		return make([]reading, len(b.Series)), err
	}
	return statisticsOf(b.Series, page), nil
}

// statisticsOf sorts the points, which come in no order.
func statisticsOf(all []series, page cbor.Map) []reading {
	out := make([]reading, len(all))
	for i, s := range all {
		out[i].Status = statusComplete
		each(page["Datapoints"], func(fields cbor.Map) {
			at, isTime := secondsOf(fields["Timestamp"])
			value, isNumber := numberOf(fields[s.Stat])
			if isTime && isNumber {
				out[i].Points = append(out[i].Points, point{At: at, Value: value})
			}
		})
		slices.SortFunc(out[i].Points, func(a, b point) int { return int(a.At - b.At) })
	}
	return out
}

// found is a metric that ListMetrics knows.
type found struct {
	Name       string
	Dimensions []dimension
}

// list finds the metrics of a query. A new one can take a quarter of an hour to appear
// ("ListMetrics", Amazon CloudWatch API Reference).
func (c cloudWatch) list(ctx context.Context, q QueryConfig, recent bool, limit int) ([]found, error) {
	fields := cbor.Map{"Namespace": cbor.String(q.Namespace)}
	if q.MetricName != "" {
		fields["MetricName"] = cbor.String(q.MetricName)
	}
	if wanted := wantedDimensions(q.Dimensions); len(wanted) > 0 {
		fields["Dimensions"] = dimensionsOf(wanted)
	}
	if recent {
		fields["RecentlyActive"] = cbor.String("PT3H")
	}
	var out []found
	err := c.pages(ctx, opListMetrics, fields, func(page cbor.Map) {
		c.Report.billed(ctx, opListMetrics, 1)
		each(page["Metrics"], func(fields cbor.Map) {
			if f := foundOf(fields); hasExactly(f.Dimensions, q.Dimensions) {
				out = append(out, f)
			}
		})
	})
	if limit > 0 && len(out) > limit {
		out = out[:limit]
	}
	return out, err
}

// wantedDimensions leaves values out that may be any.
func wantedDimensions(of map[string]string) []dimension {
	out := sortedDimensions(of)
	for i := range out {
		if out[i].Value == anyValue {
			out[i].Value = ""
		}
	}
	return out
}

// hasExactly reports whether a metric has the dimensions of a query and no others; a query
// without any takes all metrics.
func hasExactly(have []dimension, want map[string]string) bool {
	if len(want) == 0 {
		return true
	}
	return len(have) == len(want) && !slices.ContainsFunc(have, func(d dimension) bool {
		value, ok := want[d.Name]
		return !ok || value != anyValue && value != d.Value
	})
}

func foundOf(fields cbor.Map) found {
	f := found{Name: stringOf(fields["MetricName"])}
	each(fields["Dimensions"], func(d cbor.Map) {
		f.Dimensions = append(f.Dimensions, dimension{stringOf(d["Name"]), stringOf(d["Value"])})
	})
	slices.SortFunc(f.Dimensions, byName)
	return f
}

const maxPages = 10_000

// pages calls an operation until there is no next page.
func (c cloudWatch) pages(ctx context.Context, operation string, fields cbor.Map, take func(cbor.Map)) error {
	var last string
	for range maxPages {
		body, err := c.call(ctx, cborMessage(operation, fields))
		if err != nil {
			return err
		}
		page, err := decodeMap(body)
		if err != nil {
			return fmt.Errorf("%s: %w", c.op(operation), err)
		}
		take(page)
		next := stringOf(page["NextToken"])
		if next == "" {
			return nil
		}
		if next == last {
			break
		}
		fields["NextToken"], last = cbor.String(next), next
	}
	return fmt.Errorf("%s: the pages have no end", c.op(operation))
}
