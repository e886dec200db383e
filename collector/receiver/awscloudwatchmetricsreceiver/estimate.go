package awscloudwatchmetricsreceiver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"

	"github.com/keyless-id/keyless/collector/receiver/awscloudwatchmetricsreceiver/internal/metadata"
)

// Cost is what a configuration asks of AWS, and the price of it by the list.
type Cost struct {
	Sites    int // accounts times regions
	Entities int
	Queries  int            // metrics requested by one poll
	Calls    map[string]int // by operation, by one poll once it is going; what is cached is not in it

	API      string        // metric_data or metric_statistics
	Interval time.Duration // between polls, after the budget has had its say
	Optional bool          // optional metrics are in it
	Scarce   bool          // the budget is not enough even so

	DollarsPerPoll  float64
	DollarsPerMonth float64 // of one shard; GetMetricStatistics less the free requests of a month
}

// cost is a pure function of what is configured and what there is at each site.
func (c *Config) cost(sites [][]*entity) Cost {
	var all load
	out := Cost{Sites: len(sites), Calls: make(map[string]int)}
	mine := make([][]*entity, len(sites))
	for i, entities := range sites {
		mine[i] = slices.DeleteFunc(slices.Clone(entities), func(e *entity) bool { return !c.Shard.has(e.sum()) })
		all = all.plus(loadOf(mine[i]))
		out.Entities += len(mine[i])
	}
	p := c.planOf(all)
	out.API, out.Interval, out.Optional, out.Scarce = p.API, p.Interval, p.Optional, p.Scarce
	for i, entities := range sites {
		c.addCalls(&out, mine[i], len(entities))
	}
	core, both := all.billed(p.API)
	if out.Queries = core; p.Optional {
		out.Queries = both
	}
	out.price(c.pollsPerMonth(p.Interval))
	return out
}

func (c *Config) addCalls(out *Cost, mine []*entity, there int) {
	s := &site{config: c}
	now := s.slot(time.Unix(0, 0).Add(200 * 24 * time.Hour))
	batches := s.pack(seriesOf(mine, c.Metrics.Period, out.Optional), now-s.slots(out.Interval), now, out.API)
	operation := opMetricData
	if out.API == apiStatistics {
		operation = opMetricStatistics
	}
	out.Calls[operation] += len(batches)
	if !c.EC2.Enabled {
		return
	}
	if c.EC2.Refresh <= out.Interval {
		out.Calls[opInstances] += pages(there)
	}
	if c.EC2.Profile == profileStandard && there > 0 {
		out.Calls[opInstanceStatus] += pages(there)
	}
}

// pages are those of EC2.
func pages(of int) int { return max(1, (of+999)/1000) }

func (c *Cost) price(polls float64) {
	c.DollarsPerPoll = float64(c.Queries) * dollarsEach
	billed := float64(c.Queries) * polls
	if c.API == apiStatistics {
		billed = max(0, billed-freeRequests)
	}
	c.DollarsPerMonth = billed * dollarsEach
}

// EstimateOptions say what there is. Without Instances EC2 is asked, which costs nothing;
// what ListMetrics is asked costs a cent for a thousand pages.
type EstimateOptions struct {
	Instances map[string]int // by type, at each site
	Listed    int            // metrics that each query with wildcards finds at each site; used with Instances
	Host      component.Host // has the extensions that credentials come from, started; used without Instances
}

var errNoReceiver = errors.New("the configuration has no receiver aws_cloudwatch_metrics")

// Estimate prints what each receiver aws_cloudwatch_metrics of a collector's configuration
// will ask for and what that costs. Nothing is read of CloudWatch but lists of metrics.
func Estimate(ctx context.Context, w io.Writer, conf *confmap.Conf, o EstimateOptions) error {
	receivers, _ := conf.ToStringMap()["receivers"].(map[string]any)
	found := false
	for _, name := range slices.Sorted(maps.Keys(receivers)) {
		var id component.ID
		if err := id.UnmarshalText([]byte(name)); err != nil || id.Type() != metadata.Type {
			continue
		}
		found = true
		c, err := read(receivers[name])
		if err != nil {
			return fmt.Errorf("receivers::%s: %w", name, err)
		}
		sites, err := o.sites(ctx, c)
		if err != nil {
			return fmt.Errorf("receivers::%s: %w", name, err)
		}
		if err := c.cost(sites).print(w, name, c); err != nil {
			return err
		}
	}
	if !found {
		return errNoReceiver
	}
	return nil
}

func read(section any) (*Config, error) {
	fields, _ := section.(map[string]any)
	c := createDefaultConfig()
	if err := confmap.NewFromStringMap(fields).Unmarshal(c); err != nil {
		return nil, err
	}
	return c, confmap.Validate(c)
}

func (o EstimateOptions) sites(ctx context.Context, c *Config) ([][]*entity, error) {
	if o.Instances == nil {
		return o.ask(ctx, c)
	}
	var out [][]*entity
	for _, a := range c.accounts() {
		for range a.Regions {
			out = append(out, o.assume(c))
		}
	}
	return out, nil
}

// assume makes up the instances and metrics of a site.
func (o EstimateOptions) assume(c *Config) []*entity {
	var out []*entity
	add := func(e *entity) { out = append(out, e) }
	for _, kind := range slices.Sorted(maps.Keys(o.Instances)) {
		for range o.Instances[kind] {
			if c.EC2.Enabled {
				out = append(out, c.EC2.entities([]instance{{ID: "i-" + strconv.Itoa(len(out)), Type: kind}})...)
			}
		}
	}
	for i, q := range c.queries() {
		n := 1
		if q.isWild() {
			n = o.Listed
		}
		for range n {
			add(&entity{
				Namespace: q.Namespace, Dimensions: []dimension{{strconv.Itoa(i), strconv.Itoa(len(out))}},
				Metrics: []metricOf{{Name: q.MetricName, Stats: q.Stats, Optional: q.Optional}},
			})
		}
	}
	return out
}

// ask finds what there is, as the receiver does.
func (o EstimateOptions) ask(ctx context.Context, c *Config) ([][]*entity, error) {
	quiet := component.TelemetrySettings{Logger: zap.NewNop(), MeterProvider: metricnoop.NewMeterProvider(), TracerProvider: tracenoop.NewTracerProvider()}
	client, err := c.ClientConfig.ToClient(ctx, o.Host.GetExtensions(), quiet)
	if err != nil {
		return nil, err
	}
	p := &poller{config: c, logger: quiet.Logger, client: client, allowance: &allowance{}}
	from, err := p.credentials(ctx, o.Host)
	if err != nil {
		return nil, err
	}
	if err := p.join(from); err != nil {
		return nil, err
	}
	return p.look(ctx)
}

// look finds what there is at each site.
func (p *poller) look(ctx context.Context) ([][]*entity, error) {
	var out [][]*entity
	for _, a := range p.accounts {
		if err := a.resolve(ctx, p); err != nil {
			return nil, err
		}
		for _, s := range a.sites {
			if err := s.discover(ctx, time.Now()); err != nil {
				return nil, err
			}
			out = append(out, s.entities(ShardConfig{Count: 1}))
		}
	}
	return out, nil
}

func (c Cost) print(w io.Writer, name string, of *Config) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(what, value string) { fmt.Fprintf(t, "%s\t%s\n", what, value) }
	row("receiver", name)
	row("accounts x regions", strconv.Itoa(c.Sites))
	row("resources", strconv.Itoa(c.Entities))
	row("poll every", c.Interval.String()+c.note(of))
	row("metrics requested per poll", strconv.Itoa(c.Queries))
	for _, operation := range slices.SortedFunc(maps.Keys(c.Calls), cmp.Compare) {
		row(operation+" per poll", strconv.Itoa(c.Calls[operation]))
	}
	row("per poll", fmt.Sprintf("$%.4f", c.DollarsPerPoll))
	row("per month", fmt.Sprintf("$%.2f", c.DollarsPerMonth))
	if c.Scarce {
		row("budget", "is not enough: some of this is not read")
	}
	return t.Flush()
}

// note says what the budget has changed.
func (c Cost) note(of *Config) string {
	note := ""
	if c.Interval > of.Metrics.CollectionInterval {
		note += ", not " + of.Metrics.CollectionInterval.String() + ", for the budget"
	}
	if !c.Optional {
		note += ", without optional metrics"
	}
	return note
}
