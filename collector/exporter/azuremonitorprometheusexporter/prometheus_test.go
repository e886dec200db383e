package azuremonitorprometheusexporter

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/storage/filestorage"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// part is the path of a program that make test installs. Where CI is set it must be there.
func part(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "..", ".tools", path))
	if err == nil {
		_, err = os.Stat(path)
	}
	switch {
	case err == nil:
	case os.Getenv("CI") != "":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
	return path
}

// prometheus is Debian's, which takes remote writes; the result is its address.
func prometheus(t *testing.T) string {
	t.Helper()
	program, dir := part(t, "debian/prometheus/usr/bin/prometheus"), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte("global: { scrape_interval: 1h }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	command := exec.Command(program, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--web.enable-remote-write-receiver")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = command.Process.Kill(), command.Wait() })
	eventually(t, "Prometheus is ready", func() bool {
		answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + address + "/-/ready")
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	return "http://" + address
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// query returns the values of an instant query by the label n; the key is empty without one.
func query(t *testing.T, address, expression string) map[string]string {
	t.Helper()
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(address + "/api/v1/query?query=" + url.QueryEscape(expression))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	var result struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.NewDecoder(answer.Body).Decode(&result); err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for _, r := range result.Data.Result {
		values[r.Metric["n"]] = r.Value[1].(string)
	}
	return values
}

// everyKind is n series each of gauges, counters and histograms.
func everyKind(n int, at time.Time) pmetric.Metrics {
	all := gauges("g", n, at)
	all.ResourceMetrics().At(0).Resource().Attributes().PutStr("service.name", "shop")
	all.ResourceMetrics().At(0).Resource().Attributes().PutStr("region", "here") // which target_info has
	metrics := all.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics()
	counter := metrics.AppendEmpty()
	counter.SetName("c")
	counter.SetEmptySum().SetIsMonotonic(true)
	counter.Sum().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	histogram := metrics.AppendEmpty()
	histogram.SetName("h")
	histogram.SetUnit("s")
	histogram.SetEmptyHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	for i := range n {
		p := counter.Sum().DataPoints().AppendEmpty()
		p.SetIntValue(int64(i) * 10)
		p.SetTimestamp(pcommon.NewTimestampFromTime(at))
		p.Attributes().PutInt("n", int64(i))
		q := histogram.Histogram().DataPoints().AppendEmpty()
		q.ExplicitBounds().FromRaw([]float64{1, 10})
		q.BucketCounts().FromRaw([]uint64{1, 2, uint64(i)})
		q.SetCount(3 + uint64(i))
		q.SetSum(float64(i))
		q.SetTimestamp(pcommon.NewTimestampFromTime(at))
		q.Attributes().PutInt("n", int64(i))
	}
	return all
}

func TestPrometheusAnswersWithWhatWasSent(t *testing.T) {
	address := prometheus(t)
	e, logs := start(t, configured(t, address+"/api/v1/write", block{"send_metadata": true, "max_batch_size_bytes": 20_000}), nil)
	const n = 200
	if err := e.ConsumeMetrics(t.Context(), everyKind(n, time.Now())); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	eventually(t, "all series are there", func() bool { return query(t, address, `count({job="shop"})`)[""] == fmt.Sprint(n*7+1) })
	for expression, want := range map[string]func(i int) int{
		`g{job="shop"}`: func(i int) int { return i }, `c_total`: func(i int) int { return 10 * i },
		`h_seconds_count`: func(i int) int { return 3 + i }, `h_seconds_sum`: func(i int) int { return i }, `h_seconds_bucket{le="10"}`: func(int) int { return 3 }, `h_seconds_bucket{le="+Inf"}`: func(i int) int { return 3 + i },
	} {
		values := query(t, address, expression)
		if len(values) != n {
			t.Errorf("%s: %d series", expression, len(values))
		}
		for i := range n {
			if got := values[fmt.Sprint(i)]; got != fmt.Sprint(want(i)) {
				t.Errorf("%s of %d: %s, want %d", expression, i, got, want(i))
			}
		}
	}
	if n := logs.FilterMessageSnippet("never take").Len(); n != 0 {
		t.Errorf("%d complaints", n)
	}
}

// What Prometheus itself has against a sample, in its own words.
func TestPrometheusGetsTheGoodSamplesBesideABadOne(t *testing.T) {
	address, path := prometheus(t), filepath.Join(t.TempDir(), "dead.jsonl")
	e, _ := start(t, configured(t, address+"/api/v1/write", block{"dead_letter": block{"path": path}, "target_info": block{"enabled": false}}), nil)
	now := time.Now()
	if err := e.ConsumeMetrics(t.Context(), gauges("g", 1, now)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first is there", func() bool { return query(t, address, "count(g)")[""] == "1" })
	if err := e.ConsumeMetrics(t.Context(), gauges("g", 100, now.Add(-time.Second))); err != nil { // of which the first is too late
		t.Fatal(err)
	}
	eventually(t, "the others are there", func() bool { return query(t, address, "count(g)")[""] == "100" && len(letters(t, path)) == 1 })
	if l := letters(t, path)[0]; l.Reason != reasonOutOfOrder || l.Series["n"] != "0" {
		t.Errorf("%+v", l)
	}
}

// storage is a file_storage in a folder.
func storage(t *testing.T, dir string) host {
	t.Helper()
	factory := filestorage.NewFactory()
	cfg := factory.CreateDefaultConfig().(*filestorage.Config)
	cfg.Directory = dir
	e, err := factory.Create(t.Context(), extensiontest.NewNopSettings(factory.Type()), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Shutdown(context.Background()) })
	return host{component.NewID(factory.Type()): e}
}

func TestWhatWaitsOnDiskOutlivesTheCollector(t *testing.T) {
	r, dir := newReceiver(t, always(http.StatusServiceUnavailable, "later")), t.TempDir()
	cfg := func() *Config {
		return configured(t, r.URL, block{"sending_queue": block{"storage": "file_storage", "batch": block{"flush_timeout": "10ms"}}})
	}
	at := storage(t, dir)
	e, _ := start(t, cfg(), at)
	for i := range 5 {
		if err := e.ConsumeMetrics(t.Context(), gauges(fmt.Sprint("g", i), 100, time.Now())); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "it is tried", func() bool { return r.asked() > 1 })
	if err := e.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if series, _ := r.arrived(); series != 0 {
		t.Fatalf("%d series arrived", series)
	}
	r.mu.Lock()
	r.answer = always(http.StatusOK, "")
	r.mu.Unlock()
	start(t, cfg(), at)
	eventually(t, "all arrive", func() bool { series, samples := r.arrived(); return series == 500 && samples == 500 })
}
