package awscloudwatchmetricsreceiver

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"
)

// cloudWatch is CloudWatch for an account in a region.
type cloudWatch struct {
	*service
	Protocol protocol
}

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
	err := c.pages(ctx, opMetricData, fields, func(p page) {
		c.Report.billed(ctx, opMetricData, len(b.Series))
		addResults(out, p.Results)
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
func addResults(out []reading, results []result) {
	for _, of := range results {
		i, ok := idOf(of.ID)
		if !ok || i >= len(out) {
			continue
		}
		out[i].Status = of.Status
		out[i].Points = of.addPoints(out[i].Points)
	}
}

func idOf(id string) (int, bool) {
	if len(id) < 2 || id[0] != 'q' {
		return 0, false
	}
	i, err := strconv.Atoi(id[1:])
	return i, err == nil && i >= 0
}

func (r result) addPoints(to []point) []point {
	n := min(len(r.Times), len(r.Values))
	to = slices.Grow(to, n)
	for i := range n {
		if p, ok := r.Values[i].point(r.Times[i]); ok {
			to = append(to, p)
		}
	}
	return to
}

// statistics reads one metric with all of its statistics by GetMetricStatistics, which the
// free tier covers.
func (c cloudWatch) statistics(ctx context.Context, b batch, period time.Duration) ([]reading, error) {
	first := b.Series[0]
	stats := make(cbor.List, len(b.Series))
	for i, s := range b.Series {
		stats[i] = cbor.String(s.Stat)
	}
	p, err := c.page(ctx, opMetricStatistics, cbor.Map{
		"Namespace": cbor.String(first.Namespace), "MetricName": cbor.String(first.Metric), "Dimensions": dimensionsOf(first.Dimensions),
		"StartTime": timeValue(b.Start), "EndTime": timeValue(b.End), "Period": count(int(period.Seconds())), "Statistics": stats,
	})
	if err != nil {
		return make([]reading, len(b.Series)), err
	}
	c.Report.billed(ctx, opMetricStatistics, 1)
	return statisticsOf(b.Series, p.Datapoints), nil
}

// statisticsOf sorts the points, which come in no order.
func statisticsOf(all []series, points []datapoint) []reading {
	out := make([]reading, len(all))
	for i, s := range all {
		out[i].Status = statusComplete
		for j := range points {
			value := points[j].stat(s.Stat)
			if value == nil {
				continue
			}
			if p, ok := value.point(points[j].Time); ok {
				out[i].Points = append(out[i].Points, p)
			}
		}
		slices.SortFunc(out[i].Points, func(a, b point) int { return cmp.Compare(a.At, b.At) })
	}
	return out
}

// found is a metric that ListMetrics knows.
type found struct {
	Name       string `json:"MetricName"`
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
	err := c.pages(ctx, opListMetrics, fields, func(p page) {
		c.Report.billed(ctx, opListMetrics, 1)
		for _, f := range p.Metrics {
			if hasExactly(f.Dimensions, q.Dimensions) {
				slices.SortFunc(f.Dimensions, byName)
				out = append(out, f)
			}
		}
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

const maxPages = 10_000

// pages calls an operation until there is no next page.
func (c cloudWatch) pages(ctx context.Context, operation string, fields cbor.Map, take func(page)) error {
	var last string
	for range maxPages {
		p, err := c.page(ctx, operation, fields)
		if err != nil {
			return err
		}
		take(p)
		if p.Next == "" {
			return nil
		}
		if p.Next == last {
			break
		}
		fields["NextToken"], last = cbor.String(p.Next), p.Next
	}
	return fmt.Errorf("%s: the pages have no end", c.op(operation))
}

func (c cloudWatch) page(ctx context.Context, operation string, fields cbor.Map) (page, error) {
	m, err := c.Protocol.message(operation, fields)
	if err != nil {
		return page{}, err
	}
	body, err := c.call(ctx, m)
	if err != nil {
		return page{}, err
	}
	p, err := c.Protocol.page(body)
	if err != nil {
		return page{}, fmt.Errorf("%s: %w", c.op(operation), err)
	}
	return p, nil
}

func timeValue(t time.Time) cbor.Value {
	return &cbor.Tag{ID: 1, Value: cbor.Float64(t.Unix())}
}

func count(n int) cbor.Value { return cbor.Uint(max(0, n)) }
