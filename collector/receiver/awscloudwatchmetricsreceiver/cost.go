package awscloudwatchmetricsreceiver

import (
	"context"
	"encoding/binary"
	"math"
	"sync"
	"time"

	"go.opentelemetry.io/collector/extension/xextension/storage"
)

// The list price of us-east-1 ("Amazon CloudWatch Pricing", GetMetricData and API requests):
// a cent for a thousand metrics of GetMetricData, and for a thousand other requests, of which
// the first million of a month is free. That several statistics of a metric are several
// metrics on the bill is unverified, and the dearer reading.
const (
	dollarsEach   = 0.01 / 1000
	freeRequests  = 1_000_000
	hoursPerMonth = 730.5
	longestPoll   = time.Hour
)

// load is what there is to ask for in one poll.
type load struct {
	Core, Optional               int // metrics with a statistic, as GetMetricData is billed
	CoreMetrics, OptionalMetrics int // requests of GetMetricStatistics
	Percentiles                  bool
}

func loadOf(entities []*entity) load {
	var l load
	for _, e := range entities {
		for _, m := range e.Metrics {
			l.add(m)
		}
	}
	return l
}

func (l *load) add(m metricOf) {
	for _, stat := range m.Stats {
		l.Percentiles = l.Percentiles || !isPlainStat(stat)
	}
	if m.Optional {
		l.Optional += len(m.Stats)
		l.OptionalMetrics++
		return
	}
	l.Core += len(m.Stats)
	l.CoreMetrics++
}

func (l load) plus(o load) load {
	return load{
		Core: l.Core + o.Core, Optional: l.Optional + o.Optional, Percentiles: l.Percentiles || o.Percentiles,
		CoreMetrics: l.CoreMetrics + o.CoreMetrics, OptionalMetrics: l.OptionalMetrics + o.OptionalMetrics,
	}
}

// plan is how a load is read within the budget.
type plan struct {
	Interval time.Duration // between two polls
	Optional bool          // optional metrics are read, too
	Scarce   bool          // the budget is not enough even so: some are not read
	API      string        // metric_data or metric_statistics
}

// planOf keeps the budget by polling less often, which loses no points, then by leaving out
// optional metrics.
func (c *Config) planOf(l load) plan {
	p := plan{Interval: c.Metrics.CollectionInterval, Optional: true, API: c.api(l)}
	perHour := c.Budget.perHour() / float64(c.Shard.Count)
	if perHour == 0 {
		return p
	}
	core, all := l.billed(p.API)
	longest := max(p.Interval, min(longestPoll, c.Lookback))
	if !fits(all, longest, perHour) {
		p.Optional, all = false, core
	}
	for p.Interval < longest && !fits(all, p.Interval, perHour) {
		p.Interval = min(longest, p.Interval+c.Metrics.Period)
	}
	p.Scarce = !fits(all, p.Interval, perHour)
	return p
}

func fits(queries int, interval time.Duration, perHour float64) bool {
	return float64(queries)/interval.Hours() <= perHour
}

// billed is what is counted of a load in one poll: without and with what is optional.
func (l load) billed(api string) (core, all int) {
	if api == apiStatistics {
		return l.CoreMetrics, l.CoreMetrics + l.OptionalMetrics
	}
	return l.Core, l.Core + l.Optional
}

// api is GetMetricStatistics only where the free tier has room for all of it.
func (c *Config) api(l load) string {
	_, calls := l.billed(apiStatistics)
	switch {
	case l.Percentiles:
		return apiData // the other one has them in another call
	case c.StatisticsAPI != apiAuto:
		return c.StatisticsAPI
	case float64(calls*c.Shard.Count)*c.pollsPerMonth(c.Metrics.CollectionInterval) <= 0.9*freeRequests:
		return apiStatistics
	}
	return apiData
}

func (c *Config) pollsPerMonth(interval time.Duration) float64 {
	return hoursPerMonth / interval.Hours()
}

// mostQueries is how many a request may have: not more than an hour of the budget.
func (c *Config) mostQueries() int {
	if perHour := c.Budget.perHour() / float64(c.Shard.Count); perHour > 0 {
		return max(1, int(min(maxQueries, perHour)))
	}
	return maxQueries
}

// perHour is the budget in queries; zero: there is none.
func (b BudgetConfig) perHour() float64 {
	if b.USDPerMonth > 0 {
		return b.USDPerMonth / dollarsEach / hoursPerMonth
	}
	return float64(b.QueriesPerHour)
}

// allowance is what is left of the budget. It fills up by the hour and holds that of one hour,
// also over restarts, so that no storm of retries or restarts spends more.
type allowance struct {
	PerHour float64        // zero: no limit
	Client  storage.Client // nil: not kept

	mu   sync.Mutex
	have float64
	at   time.Time
}

const (
	allowanceKey = "budget"
	// ahead is the share of an hour that may be used before its time, and then lacks: polls
	// are not on the second.
	ahead = 0.01
)

// take reports whether so many queries may still be made, and counts them if so.
func (a *allowance) take(ctx context.Context, now time.Time, queries int) (bool, error) {
	if a.PerHour == 0 {
		return true, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.fill(ctx, now); err != nil {
		return false, err
	}
	if a.have < float64(queries)-a.PerHour*ahead {
		return false, nil
	}
	a.have -= float64(queries)
	return true, a.save(ctx)
}

// left is how many queries may still be made.
func (a *allowance) left(now time.Time) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return int(min(a.PerHour, a.have+now.Sub(a.at).Hours()*a.PerHour))
}

func (a *allowance) fill(ctx context.Context, now time.Time) error {
	if a.at.IsZero() {
		if err := a.restore(ctx, now); err != nil {
			return err
		}
	}
	if now.After(a.at) {
		a.have = min(a.PerHour, a.have+now.Sub(a.at).Hours()*a.PerHour)
		a.at = now
	}
	return nil
}

func (a *allowance) restore(ctx context.Context, now time.Time) error {
	a.have, a.at = a.PerHour, now
	if a.Client == nil {
		return nil
	}
	data, err := a.Client.Get(ctx, allowanceKey)
	if err != nil {
		a.at = time.Time{}
		return err
	}
	if len(data) == 16 {
		a.have = min(a.PerHour, math.Float64frombits(binary.BigEndian.Uint64(data)))
		a.at = time.Unix(int64(binary.BigEndian.Uint64(data[8:])), 0) //nolint:gosec // what save wrote
	}
	return nil
}

func (a *allowance) save(ctx context.Context) error {
	if a.Client == nil {
		return nil
	}
	data := binary.BigEndian.AppendUint64(nil, math.Float64bits(a.have))
	data = binary.BigEndian.AppendUint64(data, uint64(a.at.Unix())) //nolint:gosec // after 1970
	return a.Client.Set(ctx, allowanceKey, data)
}
