package kafkareceiver

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"

	"github.com/keyless-id/keyless/collector/receiver/kafkareceiver/internal/metadata"
)

// NewFactory makes receivers of type kafka.
func NewFactory() receiver.Factory {
	return receiver.NewFactory(metadata.Type, createDefaultConfig,
		receiver.WithLogs(createLogs, metadata.LogsStability),
		receiver.WithMetrics(createMetrics, metadata.MetricsStability),
		receiver.WithTraces(createTraces, metadata.TracesStability))
}

func createLogs(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Logs) (receiver.Logs, error) {
	config := cfg.(*Config)
	report, err := newReport(set)
	if err != nil {
		return nil, err
	}
	return newGroup(set, config, config.Logs.Topics, logsSink(config.Logs.Encoding, next, report))
}

func createMetrics(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Metrics) (receiver.Metrics, error) {
	config := cfg.(*Config)
	report, err := newReport(set)
	if err != nil {
		return nil, err
	}
	return newGroup(set, config, config.Metrics.Topics, metricsSink(config.Metrics.Encoding, next, report))
}

func createTraces(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Traces) (receiver.Traces, error) {
	config := cfg.(*Config)
	report, err := newReport(set)
	if err != nil {
		return nil, err
	}
	return newGroup(set, config, config.Traces.Topics, tracesSink(config.Traces.Encoding, next, report))
}

func newReport(set receiver.Settings) (*receiverhelper.ObsReport, error) {
	return receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{
		ReceiverID: set.ID, Transport: "kafka", LongLivedCtx: true, ReceiverCreateSettings: set,
	})
}
