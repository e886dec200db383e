package kafkaexporter

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/keyless-id/keyless/collector/exporter/kafkaexporter/internal/metadata"
)

// broker is a fake one, with the topics of the defaults.
func broker(t *testing.T) *kfake.Cluster {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "otlp_logs", "otlp_metrics", "otlp_spans"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster
}

func configured(cluster *kfake.Cluster) *Config {
	config := createDefaultConfig().(*Config)
	config.Brokers = cluster.ListenAddrs()
	config.RetryConfig.InitialInterval, config.RetryConfig.MaxInterval = 10*time.Millisecond, 50*time.Millisecond
	config.Timeout = time.Second
	return config
}

func started[T component.Component](t *testing.T, running T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if err := running.Start(t.Context(), componenttest.NewNopHost()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = running.Shutdown(context.Background()) })
	return running
}

func lines(bodies ...string) plog.Logs {
	logs := plog.NewLogs()
	records := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for _, body := range bodies {
		records.AppendEmpty().Body().SetStr(body)
	}
	return logs
}

// values reads so many records of a topic.
func values(t *testing.T, cluster *kfake.Cluster, topic string, n int) (all [][]byte) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ConsumeTopics(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for len(all) < n {
		fetched := client.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			t.Fatal(err)
		}
		fetched.EachRecord(func(r *kgo.Record) { all = append(all, r.Value) })
	}
	return all
}

func TestEachSignalArrivesInItsTopic(t *testing.T) {
	cluster := broker(t)
	for _, encoding := range []string{otlpProto, otlpJSON} {
		config, set := configured(cluster), exportertest.NewNopSettings(metadata.Type)
		config.Logs.Encoding, config.Metrics.Encoding, config.Traces.Encoding = encoding, encoding, encoding
		logs, err := NewFactory().CreateLogs(t.Context(), set, config)
		must(t, started(t, logs, err).ConsumeLogs(t.Context(), lines("a", "b")))
		metrics, err := NewFactory().CreateMetrics(t.Context(), set, config)
		points := pmetric.NewMetrics()
		gauge := points.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
		gauge.SetName("load")
		gauge.SetEmptyGauge().DataPoints().AppendEmpty().SetIntValue(1)
		must(t, started(t, metrics, err).ConsumeMetrics(t.Context(), points))
		traces, err := NewFactory().CreateTraces(t.Context(), set, config)
		spans := ptrace.NewTraces()
		spans.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty().SetName("GET /")
		must(t, started(t, traces, err).ConsumeTraces(t.Context(), spans))
	}
	for topic, want := range map[string]string{"otlp_logs": "a", "otlp_metrics": "load", "otlp_spans": "GET /"} {
		all := values(t, cluster, topic, 2)
		if len(all) != 2 || !strings.Contains(string(all[0]), want) || !strings.Contains(string(all[1]), want) || (all[0][0] == '{') == (all[1][0] == '{') {
			t.Errorf("%s: %q", topic, all)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatATopicThatIsMissingWouldHaveGotItGetsLater(t *testing.T) {
	cluster := broker(t)
	config := configured(cluster)
	config.Logs.Topic = "late"
	core, log := observer.New(zap.InfoLevel)
	set := exportertest.NewNopSettings(metadata.Type)
	set.Logger = zap.New(core)
	logs, err := NewFactory().CreateLogs(t.Context(), set, config)
	must(t, started(t, logs, err).ConsumeLogs(t.Context(), lines("kept")))
	for log.FilterMessageSnippet("Will retry").Len() == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	if fault := log.All()[0].ContextMap()["error"]; !strings.Contains(fmt.Sprint(fault), `topic "late"`) {
		t.Errorf("%v", fault)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	must(t, err)
	defer client.Close()
	_, err = kadm.NewClient(client).CreateTopic(t.Context(), 1, 1, nil, "late")
	must(t, err)
	if all := values(t, cluster, "late", 1); !strings.Contains(string(all[0]), "kept") {
		t.Errorf("%q", all)
	}
}

// A request is cut before it is larger than a record may be, and each part arrives once.
func TestALargeRequestBecomesSeveralRecords(t *testing.T) {
	cluster := broker(t)
	logs, err := NewFactory().CreateLogs(t.Context(), exportertest.NewNopSettings(metadata.Type), configured(cluster))
	var bodies []string
	for i := range 30 {
		bodies = append(bodies, fmt.Sprintf("%02d%s", i, strings.Repeat("x", 100_000)))
	}
	must(t, started(t, logs, err).ConsumeLogs(t.Context(), lines(bodies...)))
	seen := 0
	for _, value := range values(t, cluster, "otlp_logs", 4) {
		part, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(value)
		must(t, err)
		seen += part.LogRecordCount()
		if len(value) > 1_000_000 {
			t.Errorf("a record of %d bytes", len(value))
		}
	}
	if seen != 30 {
		t.Errorf("%d lines", seen)
	}
}

func TestOnlyWhatIsTooLargeIsGivenUp(t *testing.T) {
	for code, permanent := range map[*kerr.Error]bool{
		kerr.MessageTooLarge: true, kerr.RecordListTooLarge: true, kerr.UnknownTopicOrPartition: false, kerr.SaslAuthenticationFailed: false, kerr.NotLeaderForPartition: false,
	} {
		if err := explained(code, "t", 7); consumererror.IsPermanent(err) != permanent || !strings.Contains(err.Error(), `topic "t"`) {
			t.Errorf("%s: %v", code.Message, err)
		}
	}
	if err := explained(nil, "t", 7); err != nil {
		t.Error(err)
	}
}
