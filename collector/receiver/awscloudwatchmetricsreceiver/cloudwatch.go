package awscloudwatchmetricsreceiver

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"
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
	ask := &dataRequest{
		MetricDataQueries: queriesOf(b, period), StartTime: epochOf(b.Start), EndTime: epochOf(b.End), ScanBy: "TimestampAscending", MaxDatapoints: maxPoints,
	}
	err := c.pages(ctx, opMetricData, ask, func(p page) {
		c.Report.billed(ctx, opMetricData, len(b.Series))
		addResults(out, p.Results)
	})
	return out, err
}

// queriesOf has no labels: the results are found by their ids, and a request is half as long.
func queriesOf(b batch, period time.Duration) []queryRequest {
	out := make([]queryRequest, len(b.Series))
	for i, s := range b.Series {
		out[i].ID = "q" + strconv.Itoa(i)
		of := &out[i].MetricStat
		of.Metric, of.Period, of.Stat = metricRequest{s.Namespace, s.Metric, s.Dimensions}, int(period.Seconds()), s.Stat
	}
	return out
}

func epochOf(t time.Time) epoch { return epoch(t.Unix()) }

// addResults adds a page. A status other than Complete on the last page that has the series
// is the one that counts.
func addResults(out []reading, results []result) {
	for _, of := range results {
		i, ok := idOf(of.ID)
		if !ok || i >= len(out) {
			continue
		}
		out[i].Status = of.Status
		if out[i].Points == nil { // as with all but the longest answers
			out[i].Points = of.Points
		} else {
			out[i].Points = append(out[i].Points, of.Points...)
		}
	}
}

func idOf(id string) (int, bool) {
	if len(id) < 2 || id[0] != 'q' {
		return 0, false
	}
	i, err := strconv.Atoi(id[1:])
	return i, err == nil && i >= 0
}

// statistics reads one metric with all of its statistics by GetMetricStatistics, which the
// free tier covers.
func (c cloudWatch) statistics(ctx context.Context, b batch, period time.Duration) ([]reading, error) {
	first := b.Series[0]
	ask := &statisticsRequest{
		metricRequest: metricRequest{first.Namespace, first.Metric, first.Dimensions}, StartTime: epochOf(b.Start), EndTime: epochOf(b.End), Period: int(period.Seconds()),
	}
	for _, s := range b.Series {
		ask.Statistics = append(ask.Statistics, s.Stat)
	}
	p, err := c.page(ctx, opMetricStatistics, ask)
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
	ask := &listRequest{metricRequest: metricRequest{q.Namespace, q.MetricName, wantedDimensions(q.Dimensions)}}
	if recent {
		ask.RecentlyActive = "PT3H"
	}
	var out []found
	err := c.pages(ctx, opListMetrics, ask, func(p page) {
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
func (c cloudWatch) pages(ctx context.Context, operation string, ask request, take func(page)) error {
	var last string
	for range maxPages {
		p, err := c.page(ctx, operation, ask)
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
		last = p.Next
		ask.turn(last)
	}
	return fmt.Errorf("%s: the pages have no end", c.op(operation))
}

func (c cloudWatch) page(ctx context.Context, operation string, ask request) (page, error) {
	m, err := c.Protocol.message(operation, ask)
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
