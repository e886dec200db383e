package awscloudwatchmetricsreceiver

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

// tardy is a region as the real one is said to be: two minutes, and a tail.
func tardy() sandbox.Delivery {
	return sandbox.Delivery{Delay: 2 * time.Minute, Late: 0.02, LateBy: 10 * time.Minute}
}

// midday is a time at which a full period begins.
func midday(t *testing.T) time.Time {
	t.Helper()
	time.Sleep(12 * time.Hour)
	return time.Now()
}

func TestEachPointArrivesOnceHoweverLateItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := newFar(t, sandbox.Options{}, fleet("eu-west-1", 3, tardy()))
		began, to, c := midday(t), newSink(), configOf(func(c *Config) { c.Lookback = 3 * time.Hour })
		r := start(t, far.RoundTripper(), newHost(), c, to)
		time.Sleep(8 * time.Hour)
		r.stop(t)
		to.wantOnce(t, far, c, began, time.Now().Add(-c.Lookback))
		if late := r.counted(t, "late"); late == 0 {
			t.Error("no point was late: the test shows nothing")
		}
		if got := r.counted(t, "points"); int(got) != to.count() {
			t.Errorf("%v points counted, %d arrived", got, to.count())
		}
	})
}

// speaking counts requests to CloudWatch by their content type, and now and then has one
// refused in the protocol in which it is asked.
type speaking struct {
	*sandbox.Sandbox
	types map[string]int
}

func (s speaking) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.Host, "monitoring") {
		kind := r.Header.Get("Content-Type")
		if s.types[kind]++; s.types[kind]%5 == 0 {
			s.SetFault(sandbox.CloudWatch, sandbox.Fault{Status: 400, Code: "Throttling", Times: 1})
		}
	}
	return s.RoundTripper().RoundTrip(r)
}

func TestEachProtocolReadsByEachOperation(t *testing.T) {
	for protocol, kind := range map[string]string{protocolCBOR: "application/cbor", protocolJSON: "application/x-amz-json-1.0"} {
		for _, api := range []string{apiData, apiStatistics} {
			synctest.Test(t, func(t *testing.T) {
				far := speaking{newFar(t, sandbox.Options{}, fleet("eu-west-1", 2, tardy())), make(map[string]int)}
				began, to := midday(t), newSink()
				c := configOf(func(c *Config) { c.Lookback, c.Metrics.Protocol, c.StatisticsAPI = 3*time.Hour, protocol, api })
				r := start(t, far, newHost(), c, to)
				time.Sleep(6 * time.Hour)
				r.stop(t)
				to.wantOnce(t, far.Sandbox, c, began, time.Now().Add(-c.Lookback))
				if len(far.types) != 1 || far.types[kind] == 0 || r.counted(t, "throttled") == 0 {
					t.Errorf("%s: %v, %v throttled", protocol, far.types, r.counted(t, "throttled"))
				}
			})
		}
	}
}

// The receiver is stopped in mid-poll or is killed: then what counts is what was on its disk.
func TestNothingIsLostOrDoubledByFaultsAndRestarts(t *testing.T) {
	for seed := range uint64(3) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			far := newFar(t, sandbox.Options{}, fleet("eu-west-1", 2, tardy()), fleet("us-east-1", 2, tardy()))
			began, to := midday(t), newSink()
			c := configOf(func(c *Config) { c.Lookback, c.Regions = 3*time.Hour, []string{"eu-west-1", "us-east-1"} })
			h, network := newHost(), &unlucky{RoundTripper: far.RoundTripper(), share: 0.3, random: rand.New(rand.NewPCG(seed, 2))}
			for range 12 {
				r := start(t, network, h, c, to)
				time.Sleep(time.Duration(random.IntN(3600)) * time.Second)
				far.SetFault(sandbox.CloudWatch, sandbox.Fault{Region: "us-east-1", Status: 503, For: 20 * time.Minute})
				time.Sleep(time.Duration(random.IntN(1800)) * time.Second)
				killed := copyOf(h)
				r.stop(t)
				h = killed
				time.Sleep(time.Duration(random.IntN(1200)) * time.Second)
			}
			far.ClearFaults()
			r := start(t, far.RoundTripper(), h, c, to)
			time.Sleep(2 * c.Metrics.CollectionInterval)
			r.stop(t)
			to.wantOnce(t, far, c, began, time.Now().Add(-c.Lookback))
		})
	}
}

func TestAPipelineThatRefusesGetsItAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := newFar(t, sandbox.Options{}, fleet("eu-west-1", 2, sandbox.Delivery{}))
		began, to, c := midday(t), newSink(), configOf()
		to.refuse = errFull
		r := start(t, far.RoundTripper(), newHost(), c, to)
		time.Sleep(5 * time.Hour) // longer than a lookback
		if to.count() != 0 || r.counted(t, "points") != 0 {
			t.Fatalf("%d points", to.count())
		}
		to.mu.Lock()
		to.refuse = nil
		to.mu.Unlock()
		time.Sleep(10 * time.Minute)
		r.stop(t)
		to.wantOnce(t, far, c, began, time.Now().Add(-c.Lookback))
	})
}

func TestAFailingRegionHarmsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := newFar(t, sandbox.Options{}, fleet("eu-west-1", 2, sandbox.Delivery{}), fleet("us-east-1", 2, sandbox.Delivery{}))
		began, to := midday(t), newSink()
		c := configOf(func(c *Config) { c.Regions = []string{"us-east-1", "eu-west-1"} })
		far.SetFault(sandbox.CloudWatch, sandbox.Fault{Region: "us-east-1", Status: 503})
		r := start(t, far.RoundTripper(), newHost(), c, to)
		time.Sleep(2 * time.Hour)
		healthy := configOf()
		to.wantOnce(t, far, healthy, began, time.Now().Add(-time.Hour))
		if r.counted(t, "failed") == 0 || r.counted(t, "retries") == 0 {
			t.Error("nothing was counted of the region that fails")
		}
		far.ClearFaults()
		time.Sleep(10 * time.Minute)
		r.stop(t)
		to.wantOnce(t, far, c, began, time.Now().Add(-time.Hour))
	})
}

// One metric that AWS does not take must not cost the others of the request their points.
func TestAMetricThatIsRefusedHarmsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := newFar(t, sandbox.Options{}, fleet("eu-west-1", 3, sandbox.Delivery{}))
		picky := roundTrip(func(r *http.Request) *http.Response {
			body, err := io.ReadAll(r.Body)
			must(t, err)
			if bytes.Contains(body, []byte("BadMetric")) {
				return answer(r, http.StatusBadRequest, "application/json", `{"__type":"x#InvalidParameterValueException"}`)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			got, err := far.RoundTripper().RoundTrip(r)
			must(t, err)
			return got
		})
		began, to := midday(t), newSink()
		c := configOf(func(c *Config) {
			c.Metrics.Queries = []QueryConfig{{Namespace: "N", MetricName: "BadMetric", Dimensions: map[string]string{"D": "v"}}}
		})
		r := start(t, picky, newHost(), c, to)
		time.Sleep(2*time.Hour + time.Minute) // between two polls
		r.stop(t)
		to.wantOnce(t, far, c, began, time.Now().Add(-c.Lookback))
		if r.counted(t, "failed") == 0 {
			t.Error("nothing failed: the test shows nothing")
		}
	})
}

func TestHalfAnAnswerIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := newFar(t, sandbox.Options{}, fleet("eu-west-1", 3, sandbox.Delivery{Partial: 0.2, Failing: 0.1}))
		began, to, c := midday(t), newSink(), configOf()
		r := start(t, far.RoundTripper(), newHost(), c, to)
		time.Sleep(4 * time.Hour)
		r.stop(t)
		to.wantOnce(t, far, c, began, time.Now().Add(-c.Lookback))
		if r.counted(t, "rereads") == 0 {
			t.Error("nothing was read again: the test shows nothing")
		}
	})
}

func TestRevisedValuesAreCountedAndNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for share, want := range map[float64]bool{0.2: true, 0: false} {
			far := newFar(t, sandbox.Options{}, fleet("eu-west-1", 2, sandbox.Delivery{Revised: share, ReviseAfter: 20 * time.Minute}))
			midday(t)
			to := newSink()
			r := start(t, far.RoundTripper(), newHost(), configOf(), to)
			time.Sleep(3 * time.Hour)
			r.stop(t)
			if got := r.counted(t, "revised") > 0; got != want {
				t.Errorf("share %v: revised %v, want %v", share, got, want)
			}
			for key, n := range to.times {
				if n != 1 {
					t.Fatalf("%s came %d times", key, n)
				}
			}
		}
	})
}

// TestTheWayOfMetricbeatLosesWhatThisReceiverHas reads one window once, as Metricbeat does,
// and gives the values of all metrics the times of the first one, by their index.
func TestTheWayOfMetricbeatLosesWhatThisReceiverHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := tardy()
		d.Missing = 0.05
		far := newFar(t, sandbox.Options{}, fleet("eu-west-1", 3, d))
		began, c := midday(t), configOf(func(c *Config) { c.Lookback = 3 * time.Hour })
		to := newSink()
		r := start(t, far.RoundTripper(), newHost(), c, to)
		model := make(map[string]float64)
		for range 36 {
			metricbeat(model, far, c, time.Now())
			time.Sleep(10 * time.Minute)
		}
		r.stop(t)
		end := time.Now().Add(-c.Lookback)
		to.wantOnce(t, far, c, began, end)
		lost, wrong := 0, 0
		truth := expected(far, c, began, end)
		for key, value := range truth {
			got, ok := model[key]
			if !ok {
				lost++
			} else if got != value {
				wrong++
			}
		}
		ever := expected(far, c, began.Add(-time.Hour), time.Now())
		for key := range model {
			if _, ok := ever[key]; !ok {
				wrong++
			}
		}
		t.Logf("of %d points the model loses %d and gets %d wrong", len(truth), lost, wrong)
		if lost == 0 || wrong == 0 {
			t.Errorf("lost %d, wrong %d: the scenario shows nothing", lost, wrong)
		}
	})
}

// metricbeat reads ten minutes in periods of five, with a latency of five minutes.
func metricbeat(into map[string]float64, far *sandbox.Sandbox, c *Config, now time.Time) {
	for _, i := range far.Instances(sandbox.DemoAccountID, "eu-west-1") {
		var times []time.Time
		for _, m := range profileOf(c.EC2.Profile, i.Type) {
			points := far.Datapoints(sandbox.MetricQuery{
				Account: sandbox.DemoAccountID, Region: "eu-west-1", Stat: m.Stats[0], Period: c.Metrics.Period, Start: now.Add(-15 * time.Minute), End: now.Add(-5 * time.Minute), At: now,
				Metric: sandbox.Metric{Namespace: "AWS/EC2", Name: m.Name, Dimensions: []sandbox.Dimension{{Name: "InstanceId", Value: i.ID}}},
			})
			for n, p := range points {
				if n == len(times) {
					times = append(times, p.Time)
				}
				into[pointKey(sandbox.DemoAccountID+" eu-west-1", i.ID, m.Name, m.Stats[0], times[n])] = p.Value
			}
		}
	}
}

// Detailed monitoring has a point a minute. What is read before the last of five is there is
// a sum of four, and is not mended.
func TestSumsAreReadWhenTheyAreWhole(t *testing.T) {
	for delay, want := range map[time.Duration]bool{createDefaultConfig().Metrics.Delay: true, time.Minute: false} {
		synctest.Test(t, func(t *testing.T) {
			region := fleet("eu-west-1", 2, sandbox.Delivery{Delay: 3 * time.Minute})
			for i := range region.Instances {
				region.Instances[i].Detailed = true
			}
			far := newFar(t, sandbox.Options{}, region)
			began, to := midday(t), newSink()
			c := configOf(func(c *Config) { c.Metrics.Delay = delay })
			time.Sleep(90 * time.Second) // polls are a minute and a half after the end of a period
			r := start(t, far.RoundTripper(), newHost(), c, to)
			time.Sleep(4 * time.Hour)
			r.stop(t)
			wrong := 0
			for key, value := range expected(far, c, began, time.Now().Add(-c.Lookback).Truncate(c.Metrics.Period)) {
				if to.points[key] != value {
					wrong++
				}
			}
			if (wrong == 0) != want {
				t.Errorf("with a delay of %s %d values are wrong", delay, wrong)
			}
		})
	}
}

// The next poll may be a quarter of an hour away. Who could not sign in at the start does not
// wait that long.
func TestAnIdentityThatComesLateIsNotKeptWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := newFar(t, sandbox.Options{}, fleet("eu-west-1", 2, sandbox.Delivery{}))
		midday(t)
		far.SetFault(sandbox.STS, sandbox.Fault{Status: 403, Code: "AccessDenied"})
		to := newSink()
		r := start(t, far.RoundTripper(), newHost(), configOf(func(c *Config) { c.Metrics.CollectionInterval = 15 * time.Minute }), to)
		time.Sleep(3*time.Minute + time.Second)
		if asked := far.Requests(sandbox.STS); to.count() != 0 || asked < 3 || asked > 5 {
			t.Errorf("%d points, asked %d times", to.count(), asked)
		}
		far.ClearFaults()
		time.Sleep(knock)
		if to.count() == 0 {
			t.Error("no points")
		}
		asked := far.Calls(sandbox.DemoAccountID, "eu-west-1", opMetricData)
		time.Sleep(14 * time.Minute)
		if again := far.Calls(sandbox.DemoAccountID, "eu-west-1", opMetricData); again != asked {
			t.Errorf("%d calls within a quarter of an hour, after %d", again-asked, asked)
		}
		r.stop(t)
	})
}
