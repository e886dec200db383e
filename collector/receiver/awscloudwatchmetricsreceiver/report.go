package awscloudwatchmetricsreceiver

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/keyless-id/keyless/collector/receiver/awscloudwatchmetricsreceiver/internal/metadata"
)

// report counts. A nil one counts nothing.
type report struct{ telemetry *metadata.TelemetryBuilder }

func place(account, region string) metric.MeasurementOption {
	return metric.WithAttributes(attribute.String("account", account), attribute.String("region", region))
}

func operation(name string) metric.MeasurementOption {
	return metric.WithAttributes(attribute.String("operation", name))
}

func (r *report) called(ctx context.Context, s *service, op string) {
	if r != nil {
		r.telemetry.ReceiverAwsCloudwatchMetricsCalls.Add(ctx, 1, operation(op), place(s.Account, s.Region))
	}
}

func (r *report) throttled(ctx context.Context, s *service, op string) {
	if r != nil {
		r.telemetry.ReceiverAwsCloudwatchMetricsThrottled.Add(ctx, 1, operation(op), place(s.Account, s.Region))
	}
}

func (r *report) retried(ctx context.Context, op string) {
	if r != nil {
		r.telemetry.ReceiverAwsCloudwatchMetricsRetries.Add(ctx, 1, operation(op))
	}
}

// billed counts what an answered request costs: GetMetricData by its queries, others by one.
func (r *report) billed(ctx context.Context, op string, queries int) {
	switch {
	case r == nil:
		return
	case op == opMetricData:
		r.telemetry.ReceiverAwsCloudwatchMetricsQueries.Add(ctx, int64(queries))
	case op != opListMetrics && op != opMetricStatistics:
		return
	}
	r.telemetry.ReceiverAwsCloudwatchMetricsDollars.Add(ctx, float64(queries)*dollarsEach)
}

func (r *report) failed(ctx context.Context, account, region string) {
	if r != nil {
		r.telemetry.ReceiverAwsCloudwatchMetricsFailed.Add(ctx, 1, place(account, region))
	}
}

func (r *report) refused(ctx context.Context, queries int) {
	if r != nil {
		r.telemetry.ReceiverAwsCloudwatchMetricsRefused.Add(ctx, int64(queries))
	}
}

func (r *report) left(ctx context.Context, queries int) {
	if r != nil {
		r.telemetry.ReceiverAwsCloudwatchMetricsBudgetLeft.Record(ctx, int64(queries))
	}
}

// tally is what a batch has brought.
type tally struct{ points, late, empty, revised, rereads int }

func (r *report) read(ctx context.Context, t tally) {
	if r == nil {
		return
	}
	r.telemetry.ReceiverAwsCloudwatchMetricsPoints.Add(ctx, int64(t.points))
	r.telemetry.ReceiverAwsCloudwatchMetricsLate.Add(ctx, int64(t.late))
	r.telemetry.ReceiverAwsCloudwatchMetricsEmpty.Add(ctx, int64(t.empty))
	r.telemetry.ReceiverAwsCloudwatchMetricsRevised.Add(ctx, int64(t.revised))
	r.telemetry.ReceiverAwsCloudwatchMetricsRereads.Add(ctx, int64(t.rereads))
}
