package elasticsearchexporter

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"

	"github.com/keyless-id/keyless/collector/exporter/elasticsearchexporter/internal/metadata"
)

// NewFactory returns the factory of the exporter elasticsearch.
func NewFactory() exporter.Factory {
	return exporter.NewFactory(
		metadata.Type,
		func() component.Config { return createDefaultConfig() },
		exporter.WithMetrics(createMetrics, metadata.MetricsStability),
		exporter.WithLogs(createLogs, metadata.LogsStability),
	)
}

func createMetrics(ctx context.Context, set exporter.Settings, cfg component.Config) (exporter.Metrics, error) {
	e, err := newBulkExporter(cfg.(*Config), set)
	if err != nil {
		return nil, err
	}
	return xexporterhelper.NewMetricsRequest(ctx, set, e.fromMetrics, e.push, e.options()...)
}

func createLogs(ctx context.Context, set exporter.Settings, cfg component.Config) (exporter.Logs, error) {
	e, err := newBulkExporter(cfg.(*Config), set)
	if err != nil {
		return nil, err
	}
	e.ready.Store(true) // the templates are those of metrics
	return xexporterhelper.NewLogsRequest(ctx, set, e.fromLogs, e.push, e.options()...)
}

func (e *bulkExporter) options() []exporterhelper.Option {
	return []exporterhelper.Option{
		exporterhelper.WithStart(e.start), exporterhelper.WithShutdown(e.shutdown),
		exporterhelper.WithCapabilities(consumer.Capabilities{MutatesData: false}),
		exporterhelper.WithTimeout(exporterhelper.TimeoutConfig{}), // that of the HTTP client is for each request
		exporterhelper.WithRetry(e.config.RetryConfig),
		xexporterhelper.WithQueueBatch(e.config.QueueConfig, xexporterhelper.QueueBatchSettings{Encoding: encoding{}, ReferenceCounter: uncounted{}}),
	}
}
