package azuremonitorprometheusexporter

import (
	"context"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/resourcetotelemetry"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"

	"github.com/keyless-id/keyless/collector/exporter/azuremonitorprometheusexporter/internal/metadata"
)

// NewFactory makes exporters of the type azure_monitor_prometheus.
func NewFactory() exporter.Factory {
	return exporter.NewFactory(metadata.Type, createDefaultConfig, exporter.WithMetrics(createMetrics, metadata.MetricsStability))
}

// createMetrics puts the series themselves into the queue, and not what they were made of:
// the size of a request is known before it is sent, and a request that was taken in part
// remembers what is left.
func createMetrics(ctx context.Context, set exporter.Settings, cfg component.Config) (exporter.Metrics, error) {
	c := cfg.(*Config)
	w, err := newWriter(c, set)
	if err != nil {
		return nil, err
	}
	e, err := xexporterhelper.NewMetricsRequest(ctx, set, w.translate, w.send,
		exporterhelper.WithStart(w.start), exporterhelper.WithShutdown(w.shutdown),
		exporterhelper.WithCapabilities(consumer.Capabilities{MutatesData: false}),
		exporterhelper.WithTimeout(exporterhelper.TimeoutConfig{}), // that of the HTTP client is for each try
		exporterhelper.WithRetry(c.BackOff),
		xexporterhelper.WithQueueBatch(c.Queue, xexporterhelper.QueueBatchSettings{Encoding: encoding{}, ReferenceCounter: uncounted{}}))
	if err != nil {
		return nil, err
	}
	return resourcetotelemetry.WrapMetricsExporter(c.ResourceToTelemetry, e), nil
}
