package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

// What becomes of the points of CloudWatch while both clouds, Elasticsearch and the program
// fail. A poll takes at least a minute to come round, but each start begins with one; and the
// clock of CloudWatch is turned from fourteen minutes ago to as much ahead while the test runs,
// so that what comes late by minutes comes within seconds.

const (
	behind, ahead = -14 * time.Minute, 8 * time.Minute // of the 15 that a signature is good for
	ec2Lookback   = 2 * time.Hour
)

// tardy is a region as it is at its worst: points after a minute, and some much later; some
// answers are halves and some are none.
func tardy() sandbox.Delivery {
	return sandbox.Delivery{Delay: time.Minute, Late: 0.02, LateBy: 3 * time.Minute, Partial: 0.02, Failing: 0.01}
}

// metricsStory is one run of the pipeline through its troubles.
type metricsStory struct {
	*collector
	sandbox *sandbox.Sandbox
	places  []place
	random  *rand.Rand
	began   time.Time // the window of the first poll is before it
	kills   int
}

// newMetricsStory has some 60,000 points in two regions of two accounts.
func newMetricsStory(t *testing.T, seed uint64) *metricsStory {
	t.Helper()
	world := ec2World(fleet("eu-west-1", 60, 10, tardy()), fleet("us-east-1", 60, 10, tardy()))
	s := played(t, world, sandbox.Options{Rates: map[string]float64{"GetMetricData": 20}})
	s.SetSkew(sandbox.CloudWatch, behind)
	config := onBoth(t, s, "regions: [eu-west-1, us-east-1]", "accounts: [{}, {role_arns: ["+otherRole+"]}]", "budget: {usd_per_month: 0}",
		"lookback: "+ec2Lookback.String(), "metrics: {collection_interval: 1m, period: 5m}")
	c := newCollector(t, ec2Env(t, s, sandbox.DemoVMRoleARN, sandbox.DemoSearchAPIKey), published("ec2-elasticsearch.yaml"), config)
	return &metricsStory{collector: c, sandbox: s, places: places(world), random: rand.New(rand.NewPCG(seed, 0)), began: time.Now()}
}

func (s *metricsStory) pause(atMost time.Duration) {
	wait(s.t, time.Duration(s.random.Int64N(int64(atMost))))
}

// ec2Troubles are what a story draws from.
var ec2Troubles = []struct {
	hop   sandbox.Hop
	fault sandbox.Fault
}{
	{sandbox.CloudWatch, sandbox.Fault{Status: http.StatusBadRequest, Code: "Throttling"}},
	{sandbox.CloudWatch, sandbox.Fault{Status: http.StatusTooManyRequests}},
	{sandbox.CloudWatch, sandbox.Fault{Region: "eu-west-1", Status: http.StatusServiceUnavailable}},
	{sandbox.CloudWatch, sandbox.Fault{Region: "us-east-1", Reset: true}},
	{sandbox.CloudWatch, sandbox.Fault{Truncate: true, Times: 3}},
	{sandbox.EC2API, sandbox.Fault{Region: "us-east-1", Status: http.StatusServiceUnavailable}},
	{sandbox.STS, sandbox.Fault{Status: http.StatusServiceUnavailable}},
	{sandbox.IMDS, sandbox.Fault{Status: http.StatusTooManyRequests}},
	{sandbox.Elasticsearch, sandbox.Fault{Status: http.StatusTooManyRequests, RetryAfter: time.Second, Times: 2}},
	{sandbox.Elasticsearch, sandbox.Fault{Status: http.StatusServiceUnavailable}},
	{sandbox.Elasticsearch, sandbox.Fault{Truncate: true, Times: 3}},
	{sandbox.Elasticsearch, sandbox.Fault{Reset: true}},
}

// trouble breaks two things for a while, and refuses some documents of those that come.
func (s *metricsStory) trouble() {
	for range 2 {
		trouble := ec2Troubles[s.random.IntN(len(ec2Troubles))]
		trouble.fault.For = 200*time.Millisecond + time.Duration(s.random.Int64N(int64(1500*time.Millisecond)))
		s.sandbox.SetFault(trouble.hop, trouble.fault)
	}
	refusals := []int{http.StatusTooManyRequests, http.StatusServiceUnavailable}
	s.sandbox.SetItemFault(sandbox.ItemFault{Status: refusals[s.random.IntN(len(refusals))], Every: 2 + s.random.IntN(9), Times: 200})
}

// restart ends the program in one of the two ways, at any moment.
func (s *metricsStory) restart() {
	s.t.Helper()
	s.pause(1500 * time.Millisecond)
	if s.random.IntN(2) == 0 {
		s.kill()
		s.kills++
	} else {
		s.stop()
	}
	s.start()
}

// suffer is the part of the story in which things break.
func (s *metricsStory) suffer(restarts int) {
	s.start()
	for n := range restarts {
		s.sandbox.SetSkew(sandbox.CloudWatch, behind+(ahead-behind)*time.Duration(n+1)/time.Duration(restarts))
		s.trouble()
		s.restart()
	}
	s.sandbox.ClearFaults()
	s.sandbox.SetItemFault(sandbox.ItemFault{})
}

// conclude polls as often as CloudWatch answers in halves, and compares. What must be there is
// what had come when the first of these polls began, of the window that it has.
func (s *metricsStory) conclude() verdict {
	s.t.Helper()
	now := time.Now()
	first := now.Add(-ec2Lookback)
	must := truth(s.sandbox, s.places, span{from: first, to: now.Add(-2 * time.Minute).Truncate(5 * time.Minute), known: now.Add(ahead)})
	may := truth(s.sandbox, s.places, span{from: s.began.Add(-ec2Lookback - 10*time.Minute), to: now.Add(time.Hour)})
	var v verdict
	for n := range 6 { // each minute other queries are answered in halves
		s.sandbox.SetSkew(sandbox.CloudWatch, ahead+time.Duration(n)*time.Minute)
		s.stop()
		s.start()
		for end := time.Now().Add(3 * time.Second); time.Now().Before(end); wait(s.t, 200*time.Millisecond) {
			if v = judge(written(s.sandbox.Documents(ec2Documents)), must, may); v.missing == 0 {
				s.stop()
				return judge(written(s.sandbox.Documents(ec2Documents)), must, may)
			}
		}
	}
	return v
}

func TestPointsOfCloudWatchArriveOnceWhateverFails(t *testing.T) {
	count, restarts := 1, 10
	if os.Getenv("INTEROP_SLOW") != "" {
		count, restarts = 20, 20
	}
	if given, err := strconv.Atoi(os.Getenv("LOSS_SCHEDULES")); err == nil {
		count = given
	}
	first := uint64(time.Now().UnixNano())
	if given, err := strconv.ParseUint(os.Getenv("LOSS_SEED"), 10, 64); err == nil {
		first = given
	}
	for i := range count {
		seed := first + uint64(i)
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			s := newMetricsStory(t, seed)
			early := len(truth(s.sandbox, s.places, span{from: s.began.Add(-ec2Lookback), to: s.began, known: s.began.Add(behind)}))
			s.suffer(restarts)
			v := s.conclude()
			t.Logf("%s; %d came after the first poll; %d kills and %d restarts", &v, v.all-early, s.kills, restarts-s.kills)
			if v.all < 50_000 || v.share() < 0.9999 {
				t.Errorf("%.5f of %d points arrived", v.share(), v.all)
			}
			if v.faults() > 0 {
				t.Error(fmt.Sprint("not once: ", &v))
			}
		})
	}
}
