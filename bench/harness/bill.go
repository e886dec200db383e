package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// Prices and limits of CloudWatch ("Amazon CloudWatch pricing" and "GetMetricData").
const (
	dollarsPerMetric = 0.01 / 1000 // GetMetricData, each metric with one statistic
	dollarsPerCall   = 0.01 / 1000 // ListMetrics
	perRequest       = 500         // metrics of GetMetricData, and of a page of ListMetrics
	perTagPage       = 100         // resources of GetResources
	hoursPerMonth    = 730.5
)

// bill is what AWS counts in an hour.
type bill struct {
	data, list, other int // calls: GetMetricData, ListMetrics, those that are free
	metrics           int
}

func (b bill) calls() int { return b.data + b.list + b.other }

func (b bill) times(polls int) bill {
	return bill{b.data * polls, b.list * polls, b.other * polls, b.metrics * polls}
}

func (b bill) dollars() float64 {
	return (float64(b.metrics)*dollarsPerMetric + float64(b.list)*dollarsPerCall) * hoursPerMonth
}

func (b bill) row(what string, beside bill) []string {
	return []string{
		what, fmt.Sprint(b.data), fmt.Sprint(b.list), fmt.Sprint(b.other), fmt.Sprint(b.metrics), fmt.Sprintf("%.2f", b.dollars()),
		fmt.Sprintf("%.0f %%", 100*float64(b.calls())/float64(beside.calls())), fmt.Sprintf("%.0f %%", 100*b.dollars()/beside.dollars()),
	}
}

// metricbeat is what its metricset ec2 asks for in one poll, as is documented and can be read
// in its source: it lists all metrics of the namespace, asks for sixteen of a burstable
// instance and twelve of another, and looks for tags and instances afterwards. A filter of
// tags changes nothing of it.
func metricbeat(instances, each, listed int) bill {
	metrics := instances * each
	return bill{data: pages(metrics, perRequest), list: pages(listed, perRequest), other: pages(instances, perTagPage) + 1, metrics: metrics}
}

func pages(n, size int) int { return (n + size - 1) / size }

// way is a configuration of ours.
type way struct {
	what, ec2 string
	minutes   int // between polls
}

// receiver is the configuration.
func (w way) receiver() string {
	return fmt.Sprintf("    ec2: {enabled: true%s}\n    metrics: {collection_interval: %dm}", w.ec2, w.minutes)
}

// bills: what AWS counts, and what it costs.
func bills(ctx context.Context, s settings) (section, error) {
	result := section{
		title: "The bill of a fleet",
		method: "Calls in an hour and dollars in a month for the metrics of 1,000 instances, points of five minutes. Ours is what the sandbox has counted of a poll of keyless-collector, times the polls of an hour; a poll is the estimate of `keyless-collector estimate` exactly, or the run fails. " +
			"Metricbeat's is computed from what its metricset ec2 is documented to ask for, every five minutes. The last columns are ours to Metricbeat's: all calls, and dollars. Prices are those of AWS's list: $0.01 for a thousand metrics, each with one statistic, and for a thousand calls of ListMetrics; EC2 and tags are free.",
		head: []string{"1,000 instances", "GetMetricData", "ListMetrics", "EC2 and tags", "metrics", "$ a month", "calls", "dollars"},
	}
	for _, fleet := range []struct {
		kind string
		each int // metrics that Metricbeat asks for
	}{{"t3.micro", 16}, {"m5.large", 12}} {
		if err := result.fleetBill(ctx, s, fleet.kind, fleet.each); err != nil {
			return section{}, err
		}
	}
	return result, nil
}

func (r *section) fleetBill(ctx context.Context, s settings, kind string, each int) error {
	const n = 1000
	f, err := newFleet(n, kind)
	if err != nil {
		return err
	}
	defer f.close()
	listed := 0
	for range f.Metrics(account, region) {
		listed++
	}
	theirs := metricbeat(n, each, listed).times(12)
	r.rows = append(r.rows, theirs.row(kind+", Metricbeat, with or without a filter", theirs))
	const tenth = ", tags: {env: [prod]}"
	for _, w := range []way{
		{"by default, every 15 minutes", "", 15},
		{"every 5 minutes", "", 5},
		{"every 5 minutes, `minimal`", ", profile: minimal", 5},
		{"Metricbeat's metrics, every 15 minutes", ", profile: metricbeat", 15},
		{"a tenth by a tag, every 15 minutes", tenth, 15},
		{"a tenth by a tag, every 5 minutes", tenth, 5},
	} {
		poll, err := f.bill(ctx, s, w)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", kind, w.what, err)
		}
		ours := poll.times(60 / w.minutes)
		r.rows = append(r.rows, ours.row(kind+", "+w.what, theirs))
		if w.minutes == 15 && w.ec2 == "" {
			r.compare(kind+", "+w.what, ours, theirs, 0.6)
		}
		if w.ec2 == tenth {
			r.compare(kind+", "+w.what, ours, theirs, 0.1)
		}
	}
	return nil
}

func (r *section) compare(what string, ours, theirs bill, limit float64) {
	r.goals = append(r.goals,
		goal{what: what + ": calls, to Metricbeat's", got: float64(ours.calls()) / float64(theirs.calls()), limit: limit, unit: "×"},
		goal{what: what + ": dollars, to Metricbeat's", got: ours.dollars() / theirs.dollars(), limit: limit, unit: "×"})
}

// bill lets the Collector poll once, and compares what was counted with the estimate.
func (f *fleet) bill(ctx context.Context, s settings, w way) (bill, error) {
	estimate, err := f.estimate(s, w)
	if err != nil {
		return bill{}, err
	}
	before := f.counted()
	if _, err := f.collect(ctx, s, w.receiver(), func(pid int) error {
		_, err := f.poll(ctx, pid)
		return err
	}); err != nil {
		return bill{}, err
	}
	after := f.counted()
	got := bill{after.data - before.data, after.list - before.list, after.other - before.other, after.metrics - before.metrics}
	if got.data != estimate.data || got.metrics != estimate.metrics || got.list != 0 {
		return bill{}, fmt.Errorf("counted %+v, estimated %+v", got, estimate)
	}
	return got, nil
}

// counted is what the sandbox has counted so far.
func (f *fleet) counted() bill {
	b := bill{data: f.asked(), list: f.Calls(account, region, "ListMetrics"), metrics: f.MetricsBilled(account, region)}
	for _, operation := range []string{"DescribeInstances", "DescribeInstanceStatus", "GetResources"} {
		b.other += f.Calls(account, region, operation)
	}
	return b
}

var (
	estimatedMetrics = regexp.MustCompile(`(?m)^metrics requested per poll\s+(\d+)`)
	estimatedCalls   = regexp.MustCompile(`(?m)^GetMetricData per poll\s+(\d+)`)
)

// estimate is what the program says before it runs.
func (f *fleet) estimate(s settings, w way) (bill, error) {
	path := filepath.Join(f.dir, "config.yaml")
	if err := os.WriteFile(path, []byte(f.config(w.receiver())), 0o600); err != nil {
		return bill{}, err
	}
	cmd := exec.Command(s.program("keyless-collector"), "estimate", "--config", path)
	cmd.Env = f.env()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return bill{}, fmt.Errorf("%w: %s", err, out)
	}
	metrics, calls := estimatedMetrics.FindSubmatch(out), estimatedCalls.FindSubmatch(out)
	if metrics == nil || calls == nil {
		return bill{}, fmt.Errorf("the estimate says: %s", out)
	}
	var b bill
	b.metrics, _ = strconv.Atoi(string(metrics[1])) // the patterns have looked at both
	b.data, _ = strconv.Atoi(string(calls[1]))
	return b, nil
}
