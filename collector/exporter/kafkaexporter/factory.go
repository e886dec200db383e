package kafkaexporter

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/keyless-id/keyless/collector/exporter/kafkaexporter/internal/metadata"
)

// NewFactory returns the factory of the exporter.
func NewFactory() exporter.Factory {
	return exporter.NewFactory(metadata.Type, createDefaultConfig,
		exporter.WithLogs(createLogs, metadata.LogsStability),
		exporter.WithMetrics(createMetrics, metadata.MetricsStability),
		exporter.WithTraces(createTraces, metadata.TracesStability))
}

// options are the same for each signal.
func (w *writer) options() []exporterhelper.Option {
	return []exporterhelper.Option{
		exporterhelper.WithStart(w.start),
		exporterhelper.WithShutdown(w.shutdown),
		exporterhelper.WithQueue(w.config.QueueConfig),
		exporterhelper.WithRetry(w.config.RetryConfig),
		exporterhelper.WithTimeout(exporterhelper.TimeoutConfig{}), // the client has its own
	}
}

func createLogs(ctx context.Context, set exporter.Settings, config component.Config) (exporter.Logs, error) {
	w := newWriter(config, set.Logger)
	marshal := (&plog.ProtoMarshaler{}).MarshalLogs
	if w.config.Logs.Encoding == otlpJSON {
		marshal = (&plog.JSONMarshaler{}).MarshalLogs
	}
	logs, err := exporterhelper.NewLogs(ctx, set, config, push(w, w.config.Logs.Topic, marshal), w.options()...)
	return logsExporter{logs, w}, err
}

func createMetrics(ctx context.Context, set exporter.Settings, config component.Config) (exporter.Metrics, error) {
	w := newWriter(config, set.Logger)
	marshal := (&pmetric.ProtoMarshaler{}).MarshalMetrics
	if w.config.Metrics.Encoding == otlpJSON {
		marshal = (&pmetric.JSONMarshaler{}).MarshalMetrics
	}
	metrics, err := exporterhelper.NewMetrics(ctx, set, config, push(w, w.config.Metrics.Topic, marshal), w.options()...)
	return metricsExporter{metrics, w}, err
}

func createTraces(ctx context.Context, set exporter.Settings, config component.Config) (exporter.Traces, error) {
	w := newWriter(config, set.Logger)
	marshal := (&ptrace.ProtoMarshaler{}).MarshalTraces
	if w.config.Traces.Encoding == otlpJSON {
		marshal = (&ptrace.JSONMarshaler{}).MarshalTraces
	}
	traces, err := exporterhelper.NewTraces(ctx, set, config, push(w, w.config.Traces.Topic, marshal), w.options()...)
	return tracesExporter{traces, w}, err
}

// An exporter that is to stop lets go of the try that is under way, which would take as long
// as a broker is silent otherwise. The queue still has what it was about.
type (
	logsExporter struct {
		exporter.Logs
		*writer
	}
	metricsExporter struct {
		exporter.Metrics
		*writer
	}
	tracesExporter struct {
		exporter.Traces
		*writer
	}
)

func (e logsExporter) Shutdown(ctx context.Context) error {
	e.letGo()
	return e.Logs.Shutdown(ctx)
}

func (e metricsExporter) Shutdown(ctx context.Context) error {
	e.letGo()
	return e.Metrics.Shutdown(ctx)
}

func (e tracesExporter) Shutdown(ctx context.Context) error {
	e.letGo()
	return e.Traces.Shutdown(ctx)
}
