package azuremonitorprometheusexporter

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/exporter/prometheusremotewriteexporter"
	"github.com/prometheus/prometheus/prompb"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/keyless-id/keyless/sandbox"
)

// once wants every sample of n gauges in a sandbox's ledger, each once and in order.
func once(t *testing.T, s *sandbox.Sandbox, metric string, n, scrapes int) {
	t.Helper()
	eventually(t, "every sample arrives", func() bool { return s.Samples(metric) == n*scrapes })
	for _, series := range s.Series(metric) {
		if series.Count != scrapes || series.Duplicates != 0 || series.OutOfOrder != 0 {
			t.Errorf("%+v", series)
		}
	}
}

// faults are what both services do at times, and hold nothing back for long.
var faults = []sandbox.Fault{
	{Status: 429, RetryAfter: time.Second, Times: 1},
	{Status: 503, Times: 2},
	{Status: 500, Times: 1},
	{Status: 408, Times: 1},
	{Status: 403, Times: 3},
	{Status: 401, Times: 3},
	{Status: 404, Times: 2},
	{Reset: true, Times: 1},
}

func throughThickAndThin(t *testing.T, s *sandbox.Sandbox, hop sandbox.Hop, e exporter.Metrics) {
	t.Helper()
	at := time.Now().Add(-time.Hour)
	for i, fault := range faults {
		s.SetFault(hop, fault)
		if err := e.ConsumeMetrics(t.Context(), gauges("g", 100, at.Add(time.Duration(i)*time.Second))); err != nil {
			t.Fatal(err)
		}
		eventually(t, fmt.Sprintf("the samples arrive after %+v", fault), func() bool { return s.Samples("g") == 100*(i+1) })
	}
	once(t, s, "g", 100, len(faults))
}

func TestAzureMonitorHasEverySampleOnce(t *testing.T) {
	s := world(t, sandbox.Options{})
	cfg := authenticated(configured(t, azure(s), block{"dcr": sandbox.DemoMetricsRuleID}))
	e, logs := start(t, cfg, forAzure(t))
	throughThickAndThin(t, s, sandbox.Workspace, e)
	for _, status := range []string{"401", "403", "404"} {
		if n := logs.Filter(func(l observer.LoggedEntry) bool {
			return strings.Contains(l.Message, "nothing is dropped") && l.Level == zapcore.WarnLevel && strings.Contains(fmt.Sprint(l.ContextMap()["error"]), status) && l.ContextMap()["hint"] != ""
		}).Len(); n != 1 {
			t.Errorf("%s was said %d times, want once", status, n)
		}
	}
}

func TestAmazonHasEverySampleOnce(t *testing.T) {
	s := world(t, sandbox.Options{})
	e, _ := start(t, authenticated(configured(t, amazon(s), nil)), forAmazon(t))
	throughThickAndThin(t, s, sandbox.AMP, e)
}

// The deny twin: without an identity nothing arrives, and nothing is lost either.
func TestWithoutAnIdentityNothingArrives(t *testing.T) {
	s := world(t, sandbox.Options{})
	e, _ := start(t, configured(t, azure(s), block{"dcr": sandbox.DemoMetricsRuleID}), nil)
	if err := e.ConsumeMetrics(t.Context(), gauges("g", 1, time.Now())); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is tried again", func() bool { return s.Requests(sandbox.Workspace) > 3 })
	if n := s.Samples("g"); n != 0 {
		t.Errorf("%d samples arrived", n)
	}
}

func TestATokenThatMustNotGoThereHoldsEverything(t *testing.T) {
	s := world(t, sandbox.Options{})
	elsewhere := identity(t, block{"source": block{"managed_identity": nil}, "scope": "https://monitor.azure.com/.default", "hosts": []any{"other.example"}})
	e, logs := start(t, authenticated(configured(t, azure(s), block{"dcr": sandbox.DemoMetricsRuleID})), elsewhere)
	if err := e.ConsumeMetrics(t.Context(), gauges("g", 1, time.Now())); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is said", func() bool { return logs.FilterMessageSnippet("everything is held").Len() == 1 })
	if n := s.Requests(sandbox.Workspace); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	var followed atomic.Int32
	signIn := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	defer signIn.Close()
	r := newReceiver(t, func(int, *prompb.WriteRequest) (int, string, http.Header) {
		return http.StatusFound, "", http.Header{"Location": {signIn.URL}}
	})
	e, _ := start(t, configured(t, r.URL, nil), nil)
	if err := e.ConsumeMetrics(t.Context(), gauges("g", 1, time.Now())); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is tried again", func() bool { return r.asked() > 2 })
	if n := followed.Load(); n != 0 {
		t.Errorf("followed %d times", n)
	}
}

// within keeps a receiver's answer to requests that have a series.
func within(request *prompb.WriteRequest, name string) bool {
	for _, s := range request.Timeseries {
		if nameOf(s.Labels) == name {
			return true
		}
	}
	return false
}

func TestABadSampleCostsNoOther(t *testing.T) {
	for message, reason := range map[string]string{
		"out of order sample": reasonOutOfOrder, "duplicate sample for timestamp": reasonDuplicate, "out of bounds": reasonTooOld,
		"failed pushing to ingester: user=1: err-mimir-sample-out-of-order":              reasonOutOfOrder,
		`{"message":"err-mimir-sample-timestamp-too-old: the sample has been rejected"}`: reasonTooOld,
		`{"error":{"code":"InvalidMetric","message":"a label is too long"}}`:             reasonRefused,
	} {
		t.Run(reason, func(t *testing.T) {
			r := newReceiver(t, func(_ int, request *prompb.WriteRequest) (int, string, http.Header) {
				if within(request, "g/7") || within(request, "g/300") {
					return http.StatusBadRequest, message, nil
				}
				return http.StatusOK, "", nil
			})
			path := filepath.Join(t.TempDir(), "dead.jsonl")
			e, _ := start(t, configured(t, r.URL, block{"dead_letter": block{"path": path}}), nil)
			if err := e.ConsumeMetrics(t.Context(), gauges("g", 500, time.Now())); err != nil {
				t.Fatal(err)
			}
			eventually(t, "all others arrive, and the two are put away", func() bool {
				series, samples := r.arrived()
				return series == 498 && samples == 498 && len(letters(t, path)) == 2
			})
			for _, l := range letters(t, path) {
				if l.Reason != reason || l.Series["__name__"] != "g" || l.Series["n"] != "7" && l.Series["n"] != "300" || len(l.Samples) != 1 || l.Message == "" || l.Time.IsZero() {
					t.Errorf("%+v", l)
				}
			}
			if n := r.asked(); n > 50 {
				t.Errorf("%d requests to find two samples among 500", n)
			}
		})
	}
}

func letters(t *testing.T, path string) (all []letter) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var l letter
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

// What was delivered before a failure is not sent again with the rest.
func TestAfterAFailureOnlyTheRestIsSent(t *testing.T) {
	r := newReceiver(t, func(n int, request *prompb.WriteRequest) (int, string, http.Header) {
		switch {
		case n%3 == 0:
			return http.StatusServiceUnavailable, "later", nil
		case within(request, "g/3"):
			return http.StatusBadRequest, "out of order sample", nil
		}
		return http.StatusOK, "", nil
	})
	e, _ := start(t, configured(t, r.URL, block{"max_batch_size_bytes": 2000}), nil)
	if err := e.ConsumeMetrics(t.Context(), gauges("g", 200, time.Now())); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the rest arrives", func() bool { series, _ := r.arrived(); return series == 199 })
	if _, samples := r.arrived(); samples != 199 {
		t.Errorf("%d samples of 199 series", samples)
	}
}

func TestWhatIsAllBadIsNotLookedForOneByOne(t *testing.T) {
	r := newReceiver(t, always(http.StatusBadRequest, "out of order sample"))
	cfg := configured(t, r.URL, nil)
	cfg.Queue = configoptional.None[exporterhelper.QueueBatchConfig]()
	e, logs := start(t, cfg, nil)
	if err := e.ConsumeMetrics(t.Context(), gauges("g", 5000, time.Now())); !consumererror.IsPermanent(err) {
		t.Errorf("nothing was taken: %v", err)
	}
	if n := r.asked(); n > maxRefused+50 {
		t.Errorf("%d requests", n)
	}
	if n := logs.FilterMessageSnippet("never take").Len(); n != 1 {
		t.Errorf("said %d times, want once", n)
	}
}

func TestAnUpperLimitIsLearned(t *testing.T) {
	const limit = 5000
	r := newReceiver(t, func(_ int, request *prompb.WriteRequest) (int, string, http.Header) {
		if request.Size() > limit {
			return http.StatusRequestEntityTooLarge, "too large", nil
		}
		return http.StatusOK, "", nil
	})
	e, _ := start(t, configured(t, r.URL, block{"max_batch_size_bytes": 100_000}), nil)
	for i := range 2 {
		if err := e.ConsumeMetrics(t.Context(), gauges(fmt.Sprint("g", i), 1000, time.Now())); err != nil {
			t.Fatal(err)
		}
		eventually(t, "all arrive", func() bool { series, samples := r.arrived(); return series == 1000*(i+1) && samples == series })
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, size := range r.sizes {
		if size > limit && i > 10 {
			t.Errorf("request %d has %d bytes", i, size)
		}
	}
}

// One series that no request can hold is let go of; others are not.
func TestASampleThatNoRequestCanHold(t *testing.T) {
	r := newReceiver(t, func(_ int, request *prompb.WriteRequest) (int, string, http.Header) {
		if within(request, "g/1") {
			return http.StatusRequestEntityTooLarge, "too large", nil
		}
		return http.StatusOK, "", nil
	})
	e, logs := start(t, configured(t, r.URL, nil), nil)
	if err := e.ConsumeMetrics(t.Context(), gauges("g", 10, time.Now())); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the others arrive", func() bool {
		series, _ := r.arrived()
		return series == 9 && logs.FilterMessageSnippet("never take").Len() == 1
	})
}

func TestRequestsAreNoLargerThanIsSaid(t *testing.T) {
	r := newReceiver(t, always(http.StatusOK, ""))
	e, _ := start(t, configured(t, r.URL, block{"max_batch_size_bytes": 4000}), nil)
	if err := e.ConsumeMetrics(t.Context(), gauges("g", 1000, time.Now())); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all arrive", func() bool { series, _ := r.arrived(); return series == 1000 })
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, size := range r.sizes {
		if size > 4000 {
			t.Errorf("a request of %d bytes", size)
		}
	}
}

func TestTheSamplesOfASeriesComeInOrder(t *testing.T) {
	r := newReceiver(t, always(http.StatusOK, ""))
	cfg := configured(t, r.URL, nil)
	cfg.Queue.Get().Batch.Get().FlushTimeout = 200 * time.Millisecond
	e, _ := start(t, cfg, nil)
	at := time.Now()
	for _, i := range []int{3, 1, 2, 0, 1} { // one of them twice
		if err := e.ConsumeMetrics(t.Context(), gauges("g", 10, at.Add(time.Duration(i)*time.Second))); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all arrive", func() bool { series, samples := r.arrived(); return series == 10 && samples == 40 })
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, samples := range r.samples {
		for i := 1; i < len(samples); i++ {
			if samples[i].Timestamp <= samples[i-1].Timestamp {
				t.Errorf("%s: %v", name, samples)
			}
		}
	}
}

func TestAReceiverThatAsksForTimeIsLeftAlone(t *testing.T) {
	asked := make(chan time.Time, 10)
	r := newReceiver(t, func(n int, _ *prompb.WriteRequest) (int, string, http.Header) {
		asked <- time.Now()
		if n == 1 {
			return http.StatusTooManyRequests, "slow down", http.Header{"Retry-After": {"1"}}
		}
		return http.StatusOK, "", nil
	})
	e, _ := start(t, configured(t, r.URL, nil), nil)
	if err := e.ConsumeMetrics(t.Context(), gauges("g", 1, time.Now())); err != nil {
		t.Fatal(err)
	}
	if first, second := <-asked, <-asked; second.Sub(first) < 900*time.Millisecond {
		t.Errorf("asked again after %s", second.Sub(first))
	}
}

// delta is a sum that Prometheus has no form for, beside a gauge.
func delta() pmetric.Metrics {
	all := gauges("good", 1, time.Now())
	m := all.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().AppendEmpty()
	m.SetName("bad")
	m.SetEmptySum().SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
	m.Sum().SetIsMonotonic(true)
	m.Sum().DataPoints().AppendEmpty().SetIntValue(1)
	return all
}

func TestAMetricWithoutAFormCostsNoOther(t *testing.T) {
	r := newReceiver(t, always(http.StatusOK, ""))
	e, logs := start(t, configured(t, r.URL, nil), nil)
	if err := e.ConsumeMetrics(t.Context(), delta()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other arrives", func() bool { series, _ := r.arrived(); return series == 1 })
	if n := logs.FilterMessageSnippet("has no form for").Len(); n != 1 {
		t.Errorf("said %d times", n)
	}
}

func TestMetadataIsSentAndCostsNothing(t *testing.T) {
	described := 0
	r := newReceiver(t, func(_ int, request *prompb.WriteRequest) (int, string, http.Header) {
		if len(request.Metadata) > 0 {
			described += len(request.Metadata)
			return http.StatusBadRequest, "no metadata here", nil
		}
		return http.StatusOK, "", nil
	})
	e, _ := start(t, configured(t, r.URL, block{"send_metadata": true}), nil)
	if err := e.ConsumeMetrics(t.Context(), gauges("g", 3, time.Now())); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the samples arrive", func() bool { series, _ := r.arrived(); return series == 3 })
	r.mu.Lock()
	defer r.mu.Unlock()
	if described != 1 {
		t.Errorf("%d metrics were described", described)
	}
}

func TestAReceiverThatWritesLessThanItTakesIsNoticed(t *testing.T) {
	r := newReceiver(t, func(int, *prompb.WriteRequest) (int, string, http.Header) {
		return http.StatusOK, "", http.Header{"X-Prometheus-Remote-Write-Samples-Written": {"0"}}
	})
	e, logs := start(t, configured(t, r.URL, nil), nil)
	if err := e.ConsumeMetrics(t.Context(), gauges("g", 3, time.Now())); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is said", func() bool { return logs.FilterMessageSnippet("wrote fewer").Len() == 1 })
}

// stock is contrib's exporter with its defaults, but for the times.
func stock(t *testing.T, address string) exporter.Metrics {
	t.Helper()
	factory := prometheusremotewriteexporter.NewFactory()
	cfg := factory.CreateDefaultConfig().(*prometheusremotewriteexporter.Config)
	cfg.HTTP.Endpoint = address
	cfg.TimeoutSettings.Timeout = 100 * time.Millisecond // 5 s, which an outage of 20 s outlasts by as much
	cfg.BackOffConfig.InitialInterval, cfg.BackOffConfig.MaxInterval, cfg.BackOffConfig.MaxElapsedTime = 5*time.Millisecond, 20*time.Millisecond, 0
	e, err := factory.CreateMetrics(t.Context(), exportertest.NewNopSettings(factory.Type()), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context(), host{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Shutdown(t.Context()) })
	return e
}

// weather is one 429, and later an outage of 20 s, fifty times as fast.
func weather() func(int, *prompb.WriteRequest) (int, string, http.Header) {
	began := time.Now()
	return func(n int, _ *prompb.WriteRequest) (int, string, http.Header) {
		since := time.Since(began)
		switch {
		case n == 1:
			return http.StatusTooManyRequests, "slow down", nil
		case since > 200*time.Millisecond && since < 600*time.Millisecond:
			return http.StatusServiceUnavailable, "later", nil
		}
		return http.StatusOK, "", nil
	}
}

func TestWhatTheStockExporterLosesArrives(t *testing.T) {
	lost := map[string]int{}
	for name, start := range map[string]func(address string) exporter.Metrics{
		"stock": func(address string) exporter.Metrics { return stock(t, address) },
		"ours":  func(address string) exporter.Metrics { e, _ := start(t, configured(t, address, nil), nil); return e },
	} {
		r := newReceiver(t, weather())
		e := start(r.URL)
		at := time.Now()
		for i := range 20 {
			if err := e.ConsumeMetrics(t.Context(), gauges("g", 1, at.Add(time.Duration(i)*time.Second))); err != nil && !errors.Is(err, exporterhelper.ErrQueueIsFull) {
				t.Fatal(err)
			}
			time.Sleep(40 * time.Millisecond)
		}
		time.Sleep(time.Second)
		_, samples := r.arrived()
		lost[name] = 20 - samples
	}
	t.Logf("lost of 20 samples: %v", lost)
	if lost["ours"] != 0 {
		t.Errorf("ours lost %d samples", lost["ours"])
	}
	if lost["stock"] == 0 {
		t.Error("the stock exporter lost nothing: the test says little, or it is mended")
	}
}
