package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/keyless-id/keyless/collector/internal/searchengine"
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

// tardy is a region as it is at its worst: points after a minute, and two in a hundred later, by
// three minutes in the mean and up to ten; some answers are halves and some are none.
func tardy() sandbox.Delivery {
	return sandbox.Delivery{Delay: time.Minute, Late: 0.02, LateBy: 3 * time.Minute, Partial: 0.02, Failing: 0.01}
}

// metricsStory is one run of the pipeline through its troubles.
type metricsStory struct {
	*collector
	sandbox *sandbox.Sandbox
	engine  *searchengine.Engine // nil: the sandbox's own
	places  []place
	random  *rand.Rand
	least   int       // how many points there are
	began   time.Time // the window of the first poll is before it
	gentle  bool      // it ends by SIGTERM only
	kills   int
	asked   int // requests of CloudWatch before the last restart
}

// newMetricsStory has so many Nitro instances and ten others in each of two regions of two
// accounts.
func newMetricsStory(t *testing.T, seed uint64, nitro int, engine *searchengine.Engine) *metricsStory {
	t.Helper()
	world := ec2World(fleet("eu-west-1", nitro, 10, tardy()), fleet("us-east-1", nitro, 10, tardy()))
	s := played(t, world, sandbox.Options{Rates: map[string]float64{"GetMetricData": 20}})
	s.SetSkew(sandbox.CloudWatch, behind)
	config := onBoth(t, s, "regions: [eu-west-1, us-east-1]", "accounts: [{}, {role_arns: ["+otherRole+"]}]", "budget: {usd_per_month: 0}",
		"lookback: "+ec2Lookback.String(), "metrics: {collection_interval: 1m, period: 5m, delay: 2m}")
	env := ec2Env(t, s, sandbox.DemoVMRoleARN, sandbox.DemoSearchAPIKey)
	if engine != nil {
		env = append(env, "ELASTICSEARCH="+engine.Address) // the last one counts
	}
	periods := int(ec2Lookback/(5*time.Minute)) - 2 // of the oldest and the newest not all is there
	return &metricsStory{
		collector: newCollector(t, env, published("ec2-elasticsearch.yaml"), config), sandbox: s, engine: engine, places: places(world),
		random: rand.New(rand.NewPCG(seed, 0)), least: 4 * (9*nitro + 13*10) * periods * 9 / 10, began: time.Now(),
	}
}

// documents are those of either engine.
func (s *metricsStory) documents() []sandbox.Document {
	if s.engine == nil {
		return s.sandbox.Documents(ec2Documents)
	}
	var all []sandbox.Document
	for _, d := range s.engine.Documents(s.t, ec2Documents) {
		all = append(all, sandbox.Document{ID: d.ID, Source: d.Source})
	}
	return all
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

// midway waits for a moment of a poll: some requests after the last restart, if they come.
func (s *metricsStory) midway() {
	asked := s.asked + 1 + s.random.IntN(10)
	for end := time.Now().Add(1500 * time.Millisecond); s.sandbox.Requests(sandbox.CloudWatch) < asked && time.Now().Before(end); {
		wait(s.t, time.Millisecond)
	}
	s.pause(15 * time.Millisecond)
}

// restart ends the program in one of the two ways, at any moment or in the middle of a poll.
func (s *metricsStory) restart() {
	s.t.Helper()
	if s.random.IntN(2) == 0 {
		s.midway()
	} else {
		s.pause(1500 * time.Millisecond)
	}
	if !s.gentle && s.random.IntN(2) == 0 {
		s.kill()
		s.kills++
	} else {
		s.stop()
	}
	s.asked = s.sandbox.Requests(sandbox.CloudWatch)
	s.start()
}

// suffer is the part of the story in which things break.
func (s *metricsStory) suffer(restarts int) {
	s.start()
	for n := range restarts {
		s.sandbox.SetSkew(sandbox.CloudWatch, behind+(ahead-behind)*time.Duration(n+1)/time.Duration(restarts))
		s.trouble()
		if s.engine != nil && n%4 == 1 {
			s.engine.Restart(s.t)
		}
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
			if v = judge(written(s.documents()), must, may); v.missing == 0 {
				s.stop()
				return judge(written(s.documents()), must, may)
			}
		}
	}
	return v
}

func TestPointsOfCloudWatchArriveOnceWhateverFails(t *testing.T) {
	count, restarts := 1, 10
	if os.Getenv("INTEROP_SLOW") != "" {
		count, restarts = 8, 20
	}
	if given, err := strconv.Atoi(os.Getenv("LOSS_SCHEDULES")); err == nil {
		count = given
	}
	first := seedOf(t)
	for i := range count {
		for _, gentle := range []bool{false, true} {
			seed := first + uint64(i)
			t.Run(fmt.Sprintf("%d gentle=%v", seed, gentle), func(t *testing.T) {
				t.Parallel()
				s := newMetricsStory(t, seed, 60, nil)
				s.gentle = gentle
				s.suffer(restarts)
				s.wantOnce(s.conclude())
			})
		}
	}
}

func (s *metricsStory) wantOnce(v verdict) {
	s.t.Helper()
	early := truth(s.sandbox, s.places, span{from: s.began.Add(-ec2Lookback), to: s.began, known: s.began.Add(behind)})
	s.t.Logf("%s; %d came after the first poll; %d kills", &v, v.all-len(early), s.kills)
	if v.all < s.least || v.share() < 0.9999 {
		s.t.Errorf("%.5f of %d points arrived", v.share(), v.all)
	}
	if v.all-len(early) < v.all/50 {
		s.t.Error("hardly a point was late: the test shows nothing")
	}
	if v.wrong+v.unknown+v.twice > 0 {
		s.t.Errorf("not once: %s", &v)
	}
}

// A real engine, which is killed as well, has in the end what CloudWatch has.
func TestPointsOfCloudWatchAreInARealEngineOnceWhateverIsKilled(t *testing.T) {
	if os.Getenv("INTEROP_SLOW") == "" {
		t.Skip("it takes a real engine: INTEROP_SLOW is not set")
	}
	engine := searchengine.Start(t, filepath.Join("..", ".."), true)
	seed := seedOf(t)
	t.Logf("LOSS_SEED=%d", seed)
	s := newMetricsStory(t, seed, 15, engine)
	s.suffer(10)
	s.wantOnce(s.conclude())
}

// seedOf is that of the first schedule.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	if given, err := strconv.ParseUint(os.Getenv("LOSS_SEED"), 10, 64); err == nil {
		return given
	}
	return uint64(time.Now().UnixNano())
}

// What waits for Elasticsearch outlives a kill, where its queue is on the disk.
func TestWhatWaitsForElasticsearchOutlivesAKill(t *testing.T) {
	for name, lost := range map[string]bool{"storage: file_storage": false, "storage: null": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			world := ec2World(fleet("us-east-1", 20, 5, sandbox.Delivery{}))
			s := played(t, world, sandbox.Options{})
			queue := write(t, filepath.Join(t.TempDir(), "queue.yaml"), fmt.Sprintf("exporters: {elasticsearch: {sending_queue: {%s}}}", name))
			c := newCollector(t, ec2Env(t, s, sandbox.DemoVMRoleARN, sandbox.DemoSearchAPIKey), published("ec2-elasticsearch.yaml"), onBoth(t, s), queue)
			account := place{sandbox.DemoAccountID, "us-east-1"}
			now := time.Now()
			must := truth(s, []place{account}, span{from: now.Add(-50 * time.Minute), to: now.Add(-5 * time.Minute).Truncate(5 * time.Minute)})
			s.SetFault(sandbox.Elasticsearch, sandbox.Fault{Status: http.StatusServiceUnavailable})
			c.start()
			c.await(20*time.Second, "the pipeline to have all points", func() bool { return int(c.counted("points")) >= len(must) })
			wait(t, 500*time.Millisecond) // the cursor is written after that is counted
			c.kill()
			s.ClearFaults()
			c.start()
			c.await(20*time.Second, "another poll", func() bool { return int(c.counted("queries")) >= 20*9+5*13 })
			judged := func() int { v := judge(written(s.Documents(ec2Documents)), must, nil); return v.missing }
			if !lost {
				c.await(20*time.Second, "all points", func() bool { return judged() == 0 })
			}
			c.stop()
			if missing := judged(); (missing > 0) != lost {
				t.Errorf("%d of %d points are missing", missing, len(must))
			}
		})
	}
}

// forget takes away what the receiver knows, and leaves what the exporter is to send.
func (s *metricsStory) forget() {
	s.t.Helper()
	s.kill()
	files, err := filepath.Glob(filepath.Join(s.dir, "state", "receiver_aws_cloudwatch_metrics_*"))
	if err != nil || len(files) != 1 {
		s.t.Fatal(files, err)
	}
	if err := os.Remove(files[0]); err != nil {
		s.t.Fatal(err)
	}
	s.start()
}

// A document that is read again as it was is one that Elasticsearch has. One that has changed is
// another: that is what the receiver has a cursor for, and holds what is on its way.
func TestWhatIsReadAgainIsThereOnceUnlessItHasChanged(t *testing.T) {
	for name, d := range map[string]sandbox.Delivery{"as it was": {}, "changed": {Delay: 10 * time.Minute}} {
		t.Run(name, func(t *testing.T) {
			steady(t)
			world, now := ec2World(fleet("us-east-1", 20, 5, d)), time.Now()
			s := played(t, world, sandbox.Options{Now: func() time.Time { return now }})
			config := onBoth(t, s, "accounts: [{}, {role_arns: ["+otherRole+"]}]", "metrics: {collection_interval: 1m, delay: 2m}")
			story := &metricsStory{
				collector: newCollector(t, ec2Env(t, s, sandbox.DemoVMRoleARN, sandbox.DemoSearchAPIKey), published("ec2-elasticsearch.yaml"), config),
				sandbox:   s, places: places(world), began: now,
			}
			story.repeat(d.Delay)
		})
	}
}

// steady waits until no poll of the next moments is in another period than the first.
func steady(t *testing.T) {
	t.Helper()
	const moments, period = 20 * time.Second, 5 * time.Minute
	due := time.Now().Add(-2 * time.Minute)
	if left := due.Truncate(period).Add(period).Sub(due); left < moments {
		wait(t, left)
	}
}

// repeat polls, lets some more come, and polls again with nothing known of the first time. The
// sandbox's clock stands still, but for that.
func (s *metricsStory) repeat(late time.Duration) {
	t, now := s.t, s.began
	window := span{from: now.Add(-50 * time.Minute), to: now.Add(-2 * time.Minute).Truncate(5 * time.Minute), known: now}
	before := truth(s.sandbox, s.places, window)
	s.start()
	s.complete(before)
	s.sandbox.SetSkew(sandbox.CloudWatch, late)
	window.known = now.Add(late)
	after := truth(s.sandbox, s.places, window)
	s.forget()
	sent, stored := s.sent(), len(s.documents())
	s.complete(after)
	s.await(10*time.Second, "all documents once more", func() bool { return s.sent() >= sent+stored })
	s.stop()
	v := judge(written(s.documents()), after, truth(s.sandbox, s.places, span{from: now.Add(-3 * time.Hour), to: now.Add(time.Hour)}))
	want := gained(before, after)
	t.Logf("%s; %d are in documents that have changed", &v, want)
	if (want > 0) != (late > 0) || v.twice != want {
		t.Errorf("%d double, want %d", v.twice, want)
	}
	if v.missing+v.wrong+v.unknown > 0 || late == 0 && v.twice > 0 {
		t.Errorf("%s", &v)
	}
}

// sent is how many documents Elasticsearch was sent, those included that it had.
func (s *metricsStory) sent() int {
	sum := 0
	for _, event := range s.sandbox.Log() {
		n, _ := strconv.Atoi(event.Details["actions"])
		sum += n
	}
	return sum
}

// complete waits for all points.
func (s *metricsStory) complete(points map[pointID]float64) {
	s.t.Helper()
	s.await(20*time.Second, fmt.Sprintf("%d points", len(points)), func() bool {
		v := judge(written(s.documents()), points, nil)
		return v.missing == 0
	})
}

// gained are the points of documents to which others have come.
func gained(before, after map[pointID]float64) int {
	document := func(id pointID) pointID { return pointID{place: id.place, instance: id.instance, at: id.at} }
	old, grown := map[pointID]int{}, map[pointID]bool{}
	for id := range before {
		old[document(id)]++
	}
	for id := range after {
		if _, known := before[id]; !known {
			grown[document(id)] = true
		}
	}
	sum := 0
	for id := range grown {
		sum += old[id]
	}
	return sum
}
