package elasticsearchexporter

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/keyless-id/keyless/collector/exporter/elasticsearchexporter/internal/metadata"
	"github.com/keyless-id/keyless/sandbox"
)

// block is a part of a configuration.
type block = map[string]any

// configured is the default configuration with a key and quick retries, and something said
// about it.
func configured(t *testing.T, address string, more block) *Config {
	t.Helper()
	values := block{
		"endpoint": address, "api_key": sandbox.DemoSearchAPIKey,
		"retry_on_failure": block{"initial_interval": "5ms", "max_interval": "20ms"}, "sending_queue": block{"batch": block{"flush_timeout": "5ms"}},
	}
	for key, value := range more {
		values[key] = value
	}
	cfg := createDefaultConfig()
	if err := confmap.NewFromStringMap(values).Unmarshal(cfg); err != nil {
		t.Fatal(err)
	}
	if err := confmap.Validate(cfg); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// engine is the sandbox's Elasticsearch.
func engine(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	s, err := sandbox.New(sandbox.Demo(), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// host has the extensions under their names.
type host map[component.ID]component.Component

func (h host) GetExtensions() map[component.ID]component.Component { return h }

// running can be shut down by a test, and then by its end.
type running struct {
	exporter.Metrics
	once sync.Once
}

func (r *running) Shutdown(ctx context.Context) (err error) {
	r.once.Do(func() { err = r.Metrics.Shutdown(ctx) })
	return err
}

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

// instance appends the resource of an instance, and returns its metrics.
func instance(all pmetric.Metrics, id string) pmetric.MetricSlice {
	r := all.ResourceMetrics().AppendEmpty()
	for name, value := range map[string]string{
		"cloud.provider": "aws", "cloud.account.id": "111122223333", "cloud.region": "eu-west-1", "cloud.availability_zone": "eu-west-1a",
		"host.id": id, "host.name": "web-" + id, "host.type": "m7g.large", "host.image.id": "ami-1", "aws.tag.team.name": "blue",
	} {
		r.Resource().Attributes().PutStr(name, value)
	}
	return r.ScopeMetrics().AppendEmpty().Metrics()
}

// value appends a point of five minutes, as the receiver aws_cloudwatch_metrics emits it.
func value(to pmetric.MetricSlice, named, id string, at time.Time, v float64) {
	name, stat, _ := strings.Cut(named, " ")
	m := to.AppendEmpty()
	m.SetName("amazonaws.com/AWS/EC2/" + name)
	p := m.SetEmptyGauge().DataPoints().AppendEmpty()
	p.SetTimestamp(pcommon.NewTimestampFromTime(at))
	p.SetStartTimestamp(pcommon.NewTimestampFromTime(at.Add(-5 * time.Minute)))
	p.SetDoubleValue(v)
	p.Attributes().PutStr("stat", stat)
	p.Attributes().PutEmptyMap("Dimensions").PutStr("InstanceId", id)
}

// usage is the load of instances number from to from+n at one time.
func usage(from, n int, at time.Time) pmetric.Metrics {
	all := pmetric.NewMetrics()
	for i := range n {
		id := fmt.Sprintf("i-%04d", from+i)
		value(instance(all, id), "CPUUtilization Average", id, at, float64(i))
	}
	return all
}

const stream = "metrics-aws.ec2_metrics-default"

// once is how many documents there are, each of which must be there once.
func once(t *testing.T, s *sandbox.Sandbox, of string) int {
	t.Helper()
	counts := s.DocumentCounts(of, func(d sandbox.Document) string { return canonical([]any{d.Source["@timestamp"], d.Source["aws"]}) })
	for id, n := range counts {
		if n != 1 {
			t.Errorf("%d times: %s", n, id)
		}
	}
	return len(counts)
}
