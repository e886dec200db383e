package azurelogsingestionexporter

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"

	"github.com/keyless-id/keyless/collector/exporter/azurelogsingestionexporter/internal/metadata"
)

// NewFactory returns the factory of the exporter azure_logs_ingestion.
func NewFactory() exporter.Factory {
	return exporter.NewFactory(
		metadata.Type,
		func() component.Config { return createDefaultConfig() },
		exporter.WithLogs(createLogs, metadata.LogsStability),
	)
}

func createLogs(ctx context.Context, set exporter.Settings, cfg component.Config) (exporter.Logs, error) {
	config := cfg.(*Config)
	e, err := newLogsExporter(config, set)
	if err != nil {
		return nil, err
	}
	queued, err := xexporterhelper.NewLogsRequest(ctx, set, e.convert, e.push,
		exporterhelper.WithStart(e.start),
		exporterhelper.WithShutdown(e.shutdown),
		exporterhelper.WithTimeout(exporterhelper.TimeoutConfig{}), // the client has one, for each request of a batch that is split
		exporterhelper.WithRetry(config.RetryConfig),
		xexporterhelper.WithQueueBatch(config.QueueConfig, xexporterhelper.QueueBatchSettings{
			Encoding:    e,
			Partitioner: partitioner{},
		}),
	)
	if err != nil {
		return nil, err
	}
	if queue := config.QueueConfig.Get(); queue != nil && !queue.WaitForResult {
		e.putBack.queue, e.putBack.most, e.putBack.others = queued, int64(queue.NumConsumers/2), e.hasStreams
	}
	return &router{Logs: queued, config: config}, nil
}
