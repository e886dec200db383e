package azuremonitorprometheusexporter

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configauth"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/keyless-id/keyless/collector/exporter/azuremonitorprometheusexporter/internal/metadata"
	"github.com/keyless-id/keyless/collector/extension/keylessextension"
	"github.com/keyless-id/keyless/sandbox"
)

// block is a part of a configuration.
type block = map[string]any

// quick are retries that do not make a test wait.
func quick() block {
	return block{"initial_interval": "5ms", "max_interval": "20ms"}
}

// configured is the default configuration with something said about it.
func configured(t *testing.T, address string, more block) *Config {
	t.Helper()
	values := block{"endpoint": address, "retry_on_failure": quick(), "sending_queue": block{"batch": block{"flush_timeout": "10ms"}}}
	for key, value := range more {
		values[key] = value
	}
	cfg := createDefaultConfig().(*Config)
	if err := confmap.NewFromStringMap(values).Unmarshal(cfg); err != nil {
		t.Fatal(err)
	}
	if err := confmap.Validate(cfg); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// host has the extensions under their names.
type host map[component.ID]component.Component

func (h host) GetExtensions() map[component.ID]component.Component { return h }

// start is the exporter at work, with what it logs.
func start(t *testing.T, cfg *Config, at host) (exporter.Metrics, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	set := exportertest.NewNopSettings(metadata.Type)
	set.ID = component.NewID(metadata.Type) // by which the queue on disk is found again
	set.Logger = zap.New(core)
	e, err := NewFactory().CreateMetrics(t.Context(), set, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	r := &running{Metrics: e}
	t.Cleanup(func() { _ = r.Shutdown(context.Background()) })
	return r, logs
}

// running can be shut down by a test, and then by its end.
type running struct {
	exporter.Metrics
	once sync.Once
}

func (r *running) Shutdown(ctx context.Context) (err error) {
	r.once.Do(func() { err = r.Metrics.Shutdown(ctx) })
	return err
}

// eventually waits for what the exporter does behind the caller's back.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if done() {
			return
		}
	}
	t.Fatalf("in vain: %s", what)
}

// gauges are n series with one sample each.
func gauges(name string, n int, at time.Time) pmetric.Metrics {
	all := pmetric.NewMetrics()
	m := all.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetName(name)
	points := m.SetEmptyGauge().DataPoints()
	for i := range n {
		p := points.AppendEmpty()
		p.SetDoubleValue(float64(i))
		p.SetTimestamp(pcommon.NewTimestampFromTime(at))
		p.Attributes().PutInt("n", int64(i))
	}
	return all
}

// receiver takes remote writes and has its own mind about them.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	requests int
	sizes    []int // of the messages
	samples  map[string][]prompb.Sample
	answer   func(n int, request *prompb.WriteRequest) (status int, body string, header http.Header)
}

// newReceiver answers as answer says; what it answers with 2xx it keeps.
func newReceiver(t *testing.T, answer func(n int, request *prompb.WriteRequest) (int, string, http.Header)) *receiver {
	t.Helper()
	r := &receiver{samples: map[string][]prompb.Sample{}, answer: answer}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	message, err := decode(request)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil || request.Header.Get("X-Prometheus-Remote-Write-Version") != "0.1.0" || request.Header.Get("Content-Encoding") != "snappy" || request.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, "no remote write", http.StatusTeapot)
		return
	}
	r.requests++
	r.sizes = append(r.sizes, message.Size())
	status, body, header := r.answer(r.requests, message)
	if status/100 == 2 {
		for _, s := range message.Timeseries {
			name := nameOf(s.Labels)
			r.samples[name] = append(r.samples[name], s.Samples...)
		}
	}
	for name, values := range header {
		w.Header()[name] = values
	}
	http.Error(w, body, status)
}

func decode(r *http.Request) (*prompb.WriteRequest, error) {
	var body strings.Builder
	if _, err := io.Copy(&body, r.Body); err != nil {
		return nil, err
	}
	message, err := snappy.Decode(nil, []byte(body.String()))
	if err != nil {
		return nil, err
	}
	var request prompb.WriteRequest
	return &request, request.Unmarshal(message)
}

// nameOf is a series in short: its name, and the label n if it has that.
func nameOf(labels []prompb.Label) string {
	var name, n string
	for _, l := range labels {
		switch l.Name {
		case "__name__":
			name = l.Value
		case "n":
			n = "/" + l.Value
		}
	}
	return name + n
}

// arrived counts the series that arrived, and the samples.
func (r *receiver) arrived() (series, samples int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, all := range r.samples {
		series, samples = series+1, samples+len(all)
	}
	return series, samples
}

func (r *receiver) asked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests
}

func always(status int, body string) func(int, *prompb.WriteRequest) (int, string, http.Header) {
	return func(int, *prompb.WriteRequest) (int, string, http.Header) { return status, body, nil }
}

// world is the two clouds, on sockets, with the environment that leads there.
func world(t *testing.T, options sandbox.Options) *sandbox.Sandbox {
	t.Helper()
	s, err := sandbox.New(sandbox.Demo(), options)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for _, variable := range s.Env() {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	return s
}

// identity is the machine's, as the extension that auth names.
func identity(t *testing.T, values block) host {
	t.Helper()
	factory := keylessextension.NewFactory()
	cfg := factory.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(values).Unmarshal(cfg); err != nil {
		t.Fatal(err)
	}
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

func forAzure(t *testing.T) host {
	t.Helper()
	return identity(t, block{"source": block{"managed_identity": nil}, "scope": "https://monitor.azure.com/.default", "hosts": []any{"127.0.0.1"}})
}

func forAmazon(t *testing.T) host {
	t.Helper()
	return identity(t, block{
		"source": block{"managed_identity": nil}, "audience": sandbox.DemoAudience, "aws": block{"role_arn": sandbox.DemoRoleARN},
		"mode": "sigv4", "sigv4": block{"region": "us-east-1", "service": "aps"}, "hosts": []any{"127.0.0.1"},
	})
}

func authenticated(cfg *Config) *Config {
	cfg.ClientConfig.Auth = configoptional.Some(configauth.Config{AuthenticatorID: component.MustNewID("keyless")})
	return cfg
}

func azure(s *sandbox.Sandbox) string {
	return s.URL(sandbox.Workspace)
}

func amazon(s *sandbox.Sandbox) string {
	return s.URL(sandbox.AMP) + "/workspaces/" + sandbox.DemoWorkspaceID + "/api/v1/remote_write"
}
