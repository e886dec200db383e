package azurelogsingestionexporter

import (
	"context"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/keyless-id/keyless/collector/exporter/azurelogsingestionexporter/internal/metadata"
)

// report tells the operator how it goes: by metrics, by the log when something changes,
// and by the status of the component, which has the last error.
type report struct {
	exporter  string // its name
	telemetry *metadata.TelemetryBuilder
	logger    *zap.Logger
	host      component.Host

	mu      sync.Mutex
	holding map[*stream]bool
}

func where(s *stream, more ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributes(append(more, attribute.String("dcr", s.dcr), attribute.String("stream", s.stream))...)
}

func (r *report) accepted(ctx context.Context, s *stream, b *body) {
	r.telemetry.ExporterAzureLogsIngestionRowsSent.Add(ctx, int64(b.count()), where(s))
	r.telemetry.ExporterAzureLogsIngestionBytesRaw.Add(ctx, int64(b.raw), where(s))
	r.telemetry.ExporterAzureLogsIngestionBytesWire.Add(ctx, int64(len(b.wire)), where(s))
	r.telemetry.ExporterAzureLogsIngestionBatches.Add(ctx, 1, where(s, attribute.String("reason", string(b.reason))))
	if code := s.accept(b); code != "" {
		r.holds(ctx, s, code, 0)
		r.logger.Info("The stream takes rows again.", zap.String("dcr", s.dcr), zap.String("stream", s.stream))
		r.release(s)
	}
}

func (r *report) holds(ctx context.Context, s *stream, code string, seconds float64) {
	r.telemetry.ExporterAzureLogsIngestionHeld.Record(ctx, seconds, where(s, attribute.String("code", code), attribute.String("exporter", r.exporter)))
}

func (r *report) release(s *stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.holding, s)
	if len(r.holding) == 0 {
		r.status(componentstatus.NewEvent(componentstatus.StatusOK))
	}
}

func (r *report) refused(ctx context.Context, s *stream, a *answer) {
	r.telemetry.ExporterAzureLogsIngestionRequestsRefused.Add(ctx, 1, where(s, attribute.String("code", a.name())))
}

func (r *report) throttled(ctx context.Context, s *stream) {
	r.telemetry.ExporterAzureLogsIngestionRequestsThrottled.Add(ctx, 1, metric.WithAttributes(attribute.String("dcr", s.dcr)))
}

func (r *report) buried(ctx context.Context, s *stream, code string, rows int) {
	r.telemetry.ExporterAzureLogsIngestionRowsDeadLettered.Add(ctx, int64(rows), where(s, attribute.String("code", code), attribute.String("exporter", r.exporter)))
}

func (r *report) truncated(ctx context.Context, fields int) {
	r.telemetry.ExporterAzureLogsIngestionFieldsTruncated.Add(ctx, int64(fields))
}

// held says once for each reason that nothing gets through, and counts the seconds.
func (r *report) held(ctx context.Context, s *stream, code string, err error) {
	since, before := s.hold(code)
	if before != "" && before != code {
		r.holds(ctx, s, before, 0)
	}
	r.holds(ctx, s, code, since.Seconds())
	if before == code {
		return
	}
	r.logger.Warn("The stream takes no rows; they are kept.", zap.Error(err))
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holding == nil {
		r.holding = map[*stream]bool{}
	}
	r.holding[s] = true
	r.status(componentstatus.NewRecoverableErrorEvent(err))
}

func (r *report) status(event *componentstatus.Event) {
	if r.host != nil {
		componentstatus.ReportStatus(r.host, event)
	}
}
