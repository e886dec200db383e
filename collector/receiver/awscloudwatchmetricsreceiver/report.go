package awscloudwatchmetricsreceiver

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/keyless-id/keyless/collector/receiver/awscloudwatchmetricsreceiver/internal/metadata"
)

// report counts for a receiver. A nil one counts nothing.
type report struct {
	telemetry *metadata.TelemetryBuilder
	receiver  string
}

// of says of what: always of the receiver, as a program can have several.
func (r *report) of(more ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributes(append(more, attribute.String("receiver", r.receiver))...)
}

func (r *report) ofCall(s *service, op string) metric.MeasurementOption {
	return r.of(attribute.String("operation", op), attribute.String("account", s.Account), attribute.String("region", s.Region))
}

func (r *report) called(ctx context.Context, s *service, op string) {
	if r != nil {
		r.telemetry.ReceiverAwsCloudwatchMetricsCalls.Add(ctx, 1, r.ofCall(s, op))
	}
}

func (r *report) throttled(ctx context.Context, s *service, op string) {
	if r != nil {
		r.telemetry.ReceiverAwsCloudwatchMetricsThrottled.Add(ctx, 1, r.ofCall(s, op))
	}
}

func (r *report) retried(ctx context.Context, op string) {
	if r != nil {
		r.telemetry.ReceiverAwsCloudwatchMetricsRetries.Add(ctx, 1, r.of(attribute.String("operation", op)))
	}
}

// billed counts what an answered request costs: GetMetricData by its queries, others by one.
func (r *report) billed(ctx context.Context, op string, queries int) {
	switch {
	case r == nil:
		return
	case op == opMetricData:
		r.telemetry.ReceiverAwsCloudwatchMetricsQueries.Add(ctx, int64(queries), r.of())
	case op != opListMetrics && op != opMetricStatistics:
		return
	}
	r.telemetry.ReceiverAwsCloudwatchMetricsDollars.Add(ctx, float64(queries)*dollarsEach, r.of())
}

func (r *report) failed(ctx context.Context, account, region string) {
	if r != nil {
		r.telemetry.ReceiverAwsCloudwatchMetricsFailed.Add(ctx, 1, r.of(attribute.String("account", account), attribute.String("region", region)))
	}
}

func (r *report) refused(ctx context.Context, queries int) {
	if r != nil {
		r.telemetry.ReceiverAwsCloudwatchMetricsRefused.Add(ctx, int64(queries), r.of())
	}
}

func (r *report) left(ctx context.Context, queries int) {
	if r != nil {
		r.telemetry.ReceiverAwsCloudwatchMetricsBudgetLeft.Record(ctx, int64(queries), r.of())
	}
}

// tally is what a batch has brought.
type tally struct{ points, late, empty, revised, rereads int }

func (r *report) read(ctx context.Context, t tally) {
	if r == nil {
		return
	}
	of := r.of()
	r.telemetry.ReceiverAwsCloudwatchMetricsPoints.Add(ctx, int64(t.points), of)
	r.telemetry.ReceiverAwsCloudwatchMetricsLate.Add(ctx, int64(t.late), of)
	r.telemetry.ReceiverAwsCloudwatchMetricsEmpty.Add(ctx, int64(t.empty), of)
	r.telemetry.ReceiverAwsCloudwatchMetricsRevised.Add(ctx, int64(t.revised), of)
	r.telemetry.ReceiverAwsCloudwatchMetricsRereads.Add(ctx, int64(t.rereads), of)
}
