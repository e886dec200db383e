package awscloudwatchmetricsreceiver

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/collector/confmap"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/sandbox"
)

// assumed are sites with made-up instances.
func assumed(c *Config, instances map[string]int) [][]*entity {
	sites, _ := EstimateOptions{Instances: instances}.sites(context.Background(), c)
	return sites
}

func TestTheEstimateHasThePriceOfTheList(t *testing.T) {
	for name, c := range map[string]struct {
		profile  string
		kind     string
		interval time.Duration
		queries  int
		month    float64
	}{
		"a burstable one":        {profileStandard, "t3.micro", 5 * time.Minute, 13, 1.14},
		"one of Nitro":           {profileStandard, "m5.large", 5 * time.Minute, 9, 0.79},
		"the same, less often":   {profileStandard, "m5.large", 15 * time.Minute, 9, 0.26},
		"an old one":             {profileStandard, "m4.large", 5 * time.Minute, 5, 0.44},
		"with an instance store": {profileStandard, "m5d.large", 5 * time.Minute, 13, 1.14},
		"the least":              {profileMinimal, "t3.micro", 5 * time.Minute, 5, 0.44},
		"as Metricbeat, t":       {profileMetricbeat, "t3.micro", 5 * time.Minute, 16, 1.40},
		"as Metricbeat, other":   {profileMetricbeat, "m5.large", 5 * time.Minute, 12, 1.05},
	} {
		config := configOf(func(to *Config) { to.EC2.Profile, to.Metrics.CollectionInterval = c.profile, c.interval })
		got := config.cost(assumed(config, map[string]int{c.kind: 1000}))
		if got.Queries != c.queries*1000 || math.Abs(got.DollarsPerMonth/1000-c.month) > 0.01 {
			t.Errorf("%s: %d queries, $%.3f each; want %d and $%.2f", name, got.Queries, got.DollarsPerMonth/1000, c.queries*1000, c.month)
		}
		if want := (got.Queries + 499) / 500; got.Calls[opMetricData] != want || got.Calls[opInstances] != 1 {
			t.Errorf("%s: %v, want %d calls", name, got.Calls, want)
		}
	}
}

func TestABudgetMakesPollsRarerThenDropsWhatIsOptionalThenRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		perHour int
		want    plan
	}{
		"none":     {0, plan{Interval: 5 * time.Minute, Optional: true, API: apiData}},
		"enough":   {9000 * 12, plan{Interval: 5 * time.Minute, Optional: true, API: apiData}},
		"a third":  {9000 * 4, plan{Interval: 15 * time.Minute, Optional: true, API: apiData}},
		"an hour":  {9000, plan{Interval: time.Hour, Optional: true, API: apiData}},
		"the core": {8999, plan{Interval: 35 * time.Minute, API: apiData}},
		"too few":  {4999, plan{Interval: time.Hour, Scarce: true, API: apiData}},
	} {
		config := configOf(func(to *Config) { to.Budget.QueriesPerHour = c.perHour })
		got := config.planOf(loadOf(assumed(config, map[string]int{"m5.large": 1000})[0]))
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestTheFreeTierServesASmallFleet(t *testing.T) {
	for count, want := range map[int]string{11: apiStatistics, 13: apiData} {
		config := configOf(func(c *Config) { c.StatisticsAPI = apiAuto })
		got := config.cost(assumed(config, map[string]int{"m5.large": count}))
		if got.API != want || (got.DollarsPerMonth == 0) != (want == apiStatistics) {
			t.Errorf("%d instances: %s for $%.2f, want %s", count, got.API, got.DollarsPerMonth, want)
		}
	}
}

func TestNoHourCostsMoreThanTheBudgetHoweverOftenItRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := newFar(t, sandbox.Options{}, fleet("eu-west-1", 20, sandbox.Delivery{}))
		midday(t)
		h, c := newHost(), configOf(func(c *Config) { c.Budget.QueriesPerHour = 500 })
		for range 20 {
			r := start(t, far.RoundTripper(), h, c, newSink())
			time.Sleep(9 * time.Minute)
			r.stop(t)
		}
		// What one hour holds, and what comes in three.
		if got := far.MetricsBilled(sandbox.DemoAccountID, "eu-west-1"); got > 500*4 || got < 500 {
			t.Errorf("%d queries in three hours", got)
		}
	})
}

func TestWhatTheBudgetIsNotEnoughForIsReadInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := newFar(t, sandbox.Options{}, fleet("eu-west-1", 11, sandbox.Delivery{}))
		began, to := midday(t), newSink()
		c := configOf(func(c *Config) { c.Budget.QueriesPerHour, c.EC2.Profile = 50, profileMinimal })
		r := start(t, far.RoundTripper(), newHost(), c, to)
		time.Sleep(12 * time.Hour)
		r.stop(t)
		to.wantOnce(t, far, c, began, time.Now().Add(-5*time.Hour))
		if got := far.MetricsBilled(sandbox.DemoAccountID, "eu-west-1"); got > 50*13+1 {
			t.Errorf("%d queries", got)
		}
		if r.counted(t, "refused") == 0 {
			t.Error("nothing was refused: the test shows nothing")
		}
	})
}

func TestWithoutABudgetNothingIsRefused(t *testing.T) {
	var a allowance
	if ok, err := a.take(t.Context(), time.Now(), 1<<30); !ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
	a = allowance{PerHour: 10}
	now := time.Now()
	for i, want := range []bool{true, false} {
		if ok, _ := a.take(t.Context(), now, 6); ok != want {
			t.Errorf("take %d: %v", i, ok)
		}
	}
	if left := a.left(now.Add(30 * time.Minute)); left != 9 {
		t.Errorf("%d left", left)
	}
}

func TestWhatIsCountedIsWhatWasEstimated(t *testing.T) {
	for _, api := range []string{apiData, apiStatistics} {
		synctest.Test(t, func(t *testing.T) {
			far := newFar(t, sandbox.Options{}, fleet("eu-west-1", 60, sandbox.Delivery{}), fleet("us-east-1", 3, sandbox.Delivery{}))
			midday(t)
			c := configOf(func(c *Config) { c.Regions, c.StatisticsAPI = []string{"eu-west-1", "us-east-1"}, api })
			r := start(t, far.RoundTripper(), newHost(), c, newSink())
			const polls = 6
			time.Sleep((polls-1)*c.Metrics.CollectionInterval + time.Minute)
			r.stop(t)
			there, err := EstimateOptions{Host: newHost()}.look(t, c, far.RoundTripper())
			must(t, err)
			want := c.cost(there)
			for operation, n := range want.Calls {
				got := 0
				for _, region := range c.Regions {
					got += far.Calls(sandbox.DemoAccountID, region, operation)
				}
				asked := polls // and once more by the estimate, which reads no metrics
				if operation == opInstances || operation == opInstanceStatus {
					asked++
				}
				if got != n*asked {
					t.Errorf("%s: %s was called %d times, want %d of %d", api, operation, got, asked, n)
				}
			}
			if got := r.counted(t, "dollars"); math.Abs(got-want.DollarsPerPoll*polls) > 1e-9 {
				t.Errorf("%s: $%v, want $%v", api, got, want.DollarsPerPoll*polls)
			}
			if api == apiData {
				billed := far.MetricsBilled(sandbox.DemoAccountID, "eu-west-1") + far.MetricsBilled(sandbox.DemoAccountID, "us-east-1")
				if billed != want.Queries*polls || int(r.counted(t, "queries")) != billed {
					t.Errorf("%d billed, %v counted, want %d", billed, r.counted(t, "queries"), want.Queries*polls)
				}
			}
		})
	}
}

// look asks the sandbox what there is.
func (o EstimateOptions) look(t *testing.T, c *Config, rt http.RoundTripper) ([][]*entity, error) {
	t.Helper()
	p := &poller{config: c, logger: nopLogger(), client: &http.Client{Transport: rt}, allowance: &allowance{}}
	from, err := p.credentials(t.Context(), o.Host)
	must(t, err)
	must(t, p.join(from))
	return p.look(t.Context())
}

func TestWithFaultsItIsTheEstimateAndTheRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := newFar(t, sandbox.Options{}, fleet("eu-west-1", 3, sandbox.Delivery{}))
		midday(t)
		c := configOf()
		far.SetFault(sandbox.CloudWatch, sandbox.Fault{Status: 503, Times: 3})
		r := start(t, far.RoundTripper(), newHost(), c, newSink())
		const polls = 4
		time.Sleep((polls-1)*c.Metrics.CollectionInterval + time.Minute)
		r.stop(t)
		if got := r.counted(t, "retries"); got != 3 {
			t.Errorf("%v retries", got)
		}
		if got := r.counted(t, "queries"); int(got) != polls*3*(9+13) {
			t.Errorf("%v queries", got)
		}
		one := float64(1 + polls*3) // who it is; then metrics, instances, status checks
		if got := r.counted(t, "calls"); got != one+3 {
			t.Errorf("%v calls, want %v and 3 retries", got, one)
		}
	})
}

// census counts the requests of each account, region and operation by the second.
type census struct {
	mu   sync.Mutex
	seen map[string][]time.Time
	most map[string]int
}

func (c *census) RoundTrip(r *http.Request) (*http.Response, error) {
	_, scope, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	parts := strings.Split(scope, "/")
	operation := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	key := strings.Join([]string{parts[0], parts[2], parts[3], operation}, " ")
	_ = r.Body.Close()
	c.count(key, time.Now())
	timer := time.NewTimer(time.Millisecond)
	defer timer.Stop()
	<-timer.C
	switch parts[3] {
	case serviceSTS:
		return answer(r, 200, "text/xml", "<R><GetCallerIdentityResult><Account>"+parts[0]+"</Account></GetCallerIdentityResult></R>"), nil
	case serviceEC2:
		return answer(r, 200, "text/xml", "<R/>"), nil
	}
	return answer(r, 200, "application/cbor", "\xa0"), nil
}

func (c *census) count(key string, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	recent := c.seen[key]
	for len(recent) > 0 && now.Sub(recent[0]) >= time.Second {
		recent = recent[1:]
	}
	c.seen[key] = append(recent, now)
	c.most[key] = max(c.most[key], len(c.seen[key]))
}

// Each of the accounts has a region with so many metrics that a poll needs sixty requests.
func TestFiveHundredAccountsInTwentyRegionsStayBelowTheLimitsOfEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &census{seen: make(map[string][]time.Time), most: make(map[string]int)}
		c := configOf(func(c *Config) { c.Concurrency, c.Storage = 64, nil })
		c.Regions = nil
		for n := range 20 {
			c.Regions = append(c.Regions, "eu-west-"+strconv.Itoa(n+1))
		}
		p := &poller{config: c, logger: nopLogger(), client: &http.Client{Transport: far}, next: newSink(), allowance: &allowance{}}
		for n := range 500 {
			a := &account{Config: AccountConfig{Regions: c.Regions}, From: keyOf("AKIA" + strconv.Itoa(n))}
			p.accounts = append(p.accounts, a)
		}
		for range 2 {
			p.poll(t.Context(), time.Now())
			for _, a := range p.accounts[:2] {
				a.sites[0].instances, a.sites[0].at = assumed(c, map[string]int{"m5.large": 3400})[0], time.Now()
			}
		}
		if len(far.seen) < 500*20 {
			t.Errorf("%d places were asked", len(far.seen))
		}
		for key, most := range far.most {
			if strings.HasSuffix(key, opMetricData) && (most > 50 || most < 2) {
				t.Errorf("%s: %d in a second", key, most)
			}
			if strings.HasSuffix(key, "ec2 ") && most > 20 {
				t.Errorf("%s: %d in a second", key, most)
			}
		}
	})
}

type keyOf string

func (k keyOf) Credentials(context.Context) (keyless.Credentials, error) {
	return keyless.Credentials{AccessKeyID: string(k), SecretAccessKey: keyless.NewSecret("s"), Expiry: time.Now().Add(time.Hour)}, nil
}

func TestThrottlingSlowsDownAndRecovers(t *testing.T) {
	l, now := &limiter{Rate: 40, Burst: 1}, time.Now()
	_ = l.take(now)
	if wait := l.take(now); wait != 25*time.Millisecond {
		t.Errorf("%s", wait)
	}
	for range 20 {
		l.throttled()
	}
	if l.rate != slowest {
		t.Errorf("rate %v", l.rate)
	}
	for range 200 {
		l.answered()
	}
	if l.rate != 40 {
		t.Errorf("rate %v", l.rate)
	}
}

func TestTheEstimateIsATable(t *testing.T) {
	conf := confmap.NewFromStringMap(map[string]any{"receivers": map[string]any{
		"otlp":                       map[string]any{},
		"aws_cloudwatch_metrics/all": map[string]any{"regions": []any{"eu-west-1", "us-east-1"}, "ec2": map[string]any{"enabled": true}, "budget": map[string]any{"usd_per_month": 500}},
	}})
	var out strings.Builder
	must(t, Estimate(t.Context(), &out, conf, EstimateOptions{Instances: map[string]int{"m5.large": 1000}}))
	want := `receiver                    aws_cloudwatch_metrics/all
accounts x regions          2
resources                   2000
poll every                  20m0s, not 15m0s, for the budget
metrics requested per poll  18000
DescribeInstanceStatus per poll  2
`
	for line := range strings.Lines(want) {
		if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), strings.Join(strings.Fields(line), " ")) {
			t.Errorf("%s lacks %s", out.String(), line)
		}
	}
	if !strings.Contains(out.String(), "$394.47") {
		t.Errorf("%s", out.String())
	}
	if err := Estimate(t.Context(), &out, confmap.New(), EstimateOptions{}); err == nil {
		t.Error("an estimate of nothing")
	}
}
