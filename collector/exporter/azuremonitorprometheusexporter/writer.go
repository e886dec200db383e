package azuremonitorprometheusexporter

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang/snappy"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/translator/prometheusremotewrite"
	"github.com/prometheus/prometheus/prompb"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/multierr"
	"go.uber.org/zap"

	"github.com/keyless-id/keyless/collector/exporter/azuremonitorprometheusexporter/internal/metadata"
	"github.com/keyless-id/keyless/collector/internal/deadletter"
	"github.com/keyless-id/keyless/collector/internal/holding"
)

// maxRefused is how many requests of a batch may be spent on finding the samples that a
// receiver finds fault with: enough for dozens among ten thousand. When nearly all are bad,
// after a long outage, what is then still together goes together.
const maxRefused = 1000

// writer sends batches.
type writer struct {
	cfg       *Config
	settings  prometheusremotewrite.Settings
	telemetry component.TelemetrySettings
	logger    *zap.Logger
	metrics   *metadata.TelemetryBuilder
	agent     string
	name      string
	address   string
	letters   deadLetters
	quiet     quiet
	holding   holding.Reason
	client    *http.Client

	limit atomic.Int64 // of a request, in bytes before compression; learned from 413s
}

func newWriter(cfg *Config, set exporter.Settings) (*writer, error) {
	address, err := cfg.address()
	if err != nil {
		return nil, err
	}
	metrics, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	w := &writer{
		cfg: cfg, telemetry: set.TelemetrySettings, logger: set.Logger, metrics: metrics, address: address.String(),
		agent: set.BuildInfo.Command + "/" + set.BuildInfo.Version, name: set.ID.String(), letters: deadLetters{deadletter.File{Config: cfg.DeadLetter}},
		settings: prometheusremotewrite.Settings{
			Namespace: cfg.Namespace, ExternalLabels: cfg.ExternalLabels, DisableTargetInfo: !cfg.TargetInfo.Enabled,
			DisableScopeInfo: cfg.DisableScopeInfo, AddMetricSuffixes: cfg.AddMetricSuffixes, SendMetadata: cfg.SendMetadata,
		},
	}
	w.limit.Store(int64(cfg.MaxBatchSizeBytes))
	return w, nil
}

func (w *writer) start(ctx context.Context, host component.Host) (err error) {
	if w.client, err = w.cfg.ClientConfig.ToClient(ctx, host.GetExtensions(), w.telemetry); err != nil {
		return err
	}
	// A redirect would make another request of this one, which a sign-in page answers with 200.
	w.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return w.letters.open()
}

func (w *writer) shutdown(context.Context) error {
	if w.client != nil {
		w.client.CloseIdleConnections()
	}
	w.metrics.Shutdown()
	return w.letters.file.Close()
}

// translate makes series of metrics. Those that Prometheus has no form for are counted, and
// cost the others nothing.
func (w *writer) translate(ctx context.Context, md pmetric.Metrics) (xexporterhelper.Request, error) {
	series, err := prometheusremotewrite.FromMetrics(md, w.settings)
	if bad := multierr.Errors(err); len(bad) > 0 {
		w.metrics.ExporterAzureMonitorPrometheusUntranslatedMetrics.Add(ctx, int64(len(bad)))
		w.quiet.say("translate", func(more int) {
			w.logger.Warn("metrics that Prometheus has no form for are left out; deltatocumulative mends those of delta temporality",
				zap.Error(bad[0]), zap.Int("metrics", len(bad)), zap.Int("batches_before", more))
		})
	}
	b := &batch{series: make([]prompb.TimeSeries, 0, len(series))}
	for _, s := range series {
		b.series = append(b.series, *s)
	}
	if w.cfg.SendMetadata {
		b.metadata = w.described(md)
	}
	return b, nil
}

// described are the metadata; what is wrong with a metric was said when it was translated.
func (w *writer) described(md pmetric.Metrics) []prompb.MetricMetadata {
	all, _ := prometheusremotewrite.OtelMetricsToMetadata(md, w.settings)
	described := make([]prompb.MetricMetadata, 0, len(all))
	for _, one := range all {
		described = append(described, *one)
	}
	return described
}

// send sends what is left of a batch. The batch remembers what has arrived, so the next try
// goes on where this one ended.
func (w *writer) send(ctx context.Context, r xexporterhelper.Request) error {
	b, ok := r.(*batch)
	if !ok {
		return consumererror.NewPermanent(errors.New("a request of another exporter"))
	}
	b.begin(int(w.limit.Load()))
	if err := w.describe(ctx, b); err != nil {
		return err
	}
	for len(b.work) > 0 {
		if err := w.next(ctx, b); err != nil {
			return err
		}
	}
	if b.dropped > 0 && b.dropped == b.samples {
		return consumererror.NewPermanent(errors.New("remote write: the receiver took none of the samples"))
	}
	return nil
}

// next sends the first of the requests that are left, or puts smaller ones in its place.
func (w *writer) next(ctx context.Context, b *batch) error {
	piece := b.work[0]
	verdict := w.post(ctx, &prompb.WriteRequest{Timeseries: piece}, countAll(piece))
	switch verdict.kind {
	case retried:
		return verdict.err
	case taken:
		b.work = b.work[1:]
		return nil
	case tooLarge:
		w.shrink(sizeOf(piece))
	}
	b.refused++
	if halves := bisect(piece); halves != nil && (verdict.kind == tooLarge || b.refused <= maxRefused) {
		b.work = append(halves, b.work[1:]...)
		if verdict.kind == tooLarge {
			b.recut(int(w.limit.Load()))
		}
		return nil
	}
	w.drop(ctx, b, piece, verdict)
	b.work = b.work[1:]
	return nil
}

// describe sends the metadata. They come again with the next metrics, so they are not worth
// a second look at what a receiver has against them.
func (w *writer) describe(ctx context.Context, b *batch) error {
	if len(b.metadata) == 0 {
		return nil
	}
	verdict := w.post(ctx, &prompb.WriteRequest{Metadata: unique(b.metadata)}, 0)
	if verdict.kind == retried {
		return verdict.err
	}
	if verdict.kind != taken {
		w.quiet.say("metadata", func(int) { w.logger.Warn("the receiver does not take metadata", zap.Error(verdict.err)) })
	}
	b.metadata = nil
	return nil
}

func unique(all []prompb.MetricMetadata) []prompb.MetricMetadata {
	seen := map[string]bool{}
	var kept []prompb.MetricMetadata
	for _, one := range all {
		if !seen[one.MetricFamilyName] {
			seen[one.MetricFamilyName] = true
			kept = append(kept, one)
		}
	}
	return kept
}

// learnable is how many times smaller than configured requests become for ever after a 413:
// one sample that nothing can hold must not make all requests tiny.
const learnable = 64

// shrink learns from a 413 how large requests may be.
func (w *writer) shrink(refused int) {
	if smaller := int64(max(refused/2, w.cfg.MaxBatchSizeBytes/learnable)); smaller < w.limit.Load() {
		w.limit.Store(smaller)
		w.logger.Info("the receiver takes smaller requests only", zap.Int64("max_batch_size_bytes", smaller))
	}
}

// drop lets go of samples that the receiver will never take.
func (w *writer) drop(ctx context.Context, b *batch, piece []prompb.TimeSeries, why verdict) {
	lost := countAll(piece)
	b.dropped += lost
	w.metrics.ExporterAzureMonitorPrometheusDroppedSamples.Add(ctx, int64(lost), metric.WithAttributes(attribute.String("reason", why.reason)))
	if err := w.letters.write(why.reason, why.err.Error(), piece); err != nil {
		w.quiet.say("letters", func(int) { w.logger.Error("the dead-letter file cannot be written", zap.Error(err)) })
	}
	w.quiet.say("drop "+why.reason, func(more int) {
		w.logger.Warn("the receiver will never take these samples: they are dropped",
			zap.String("reason", why.reason), zap.Int("samples", lost), zap.Int("more_since_last_said", more), zap.Error(why.err))
	})
}

// post sends one request of remote write 1.0 ("Prometheus Remote-Write Specification", 1.0).
func (w *writer) post(ctx context.Context, request *prompb.WriteRequest, samples int) verdict {
	message, err := request.Marshal()
	if err != nil {
		return verdict{kind: refused, reason: reasonRefused, err: err}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.address, bytes.NewReader(snappy.Encode(nil, message)))
	if err != nil {
		return verdict{kind: retried, err: err}
	}
	r.Header.Set("Content-Type", "application/x-protobuf")
	r.Header.Set("Content-Encoding", "snappy")
	r.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	r.Header.Set("User-Agent", w.agent)
	answer, err := w.client.Do(r)
	if err != nil {
		return w.held("send", verdict{kind: retried, err: err, hint: hintOf(err)})
	}
	defer func() { _ = answer.Body.Close() }()
	v := w.held(answer.Status, judge(answer, time.Now()))
	if v.kind == taken {
		w.compare(answer.Header, samples)
	}
	return v
}

// held tells people of what they must see to, while everything waits.
func (w *writer) held(topic string, v verdict) verdict {
	switch v.kind {
	case taken:
		w.holding.Over(w.hold)
	case retried:
		w.holding.GoesOn(topic, time.Now(), w.hold)
	}
	if v.hint != "" {
		w.quiet.say(topic, func(int) {
			w.logger.Warn("everything is held until this is seen to; nothing is dropped", zap.Error(v.err), zap.String("hint", v.hint))
		})
	}
	return v
}

// hold is what is told of holding in the metrics.
func (w *writer) hold(code string, since time.Duration) {
	w.metrics.ExporterAzureMonitorPrometheusHeld.Record(context.Background(), since.Seconds(),
		metric.WithAttributes(attribute.String("exporter", w.name), attribute.String("code", code)))
}

// compare notices a receiver that does not keep what it takes: one of remote write 2.0 alone
// answers this request with 2xx and writes nothing.
func (w *writer) compare(h http.Header, samples int) {
	written, err := strconv.Atoi(strings.TrimSpace(h.Get("X-Prometheus-Remote-Write-Samples-Written")))
	if err == nil && written < samples {
		w.quiet.say("written", func(int) {
			w.logger.Warn("the receiver says that it wrote fewer samples than it was sent", zap.Int("sent", samples), zap.Int("written", written))
		})
	}
}

// quiet says the same thing no more than once a minute. Its zero value has said nothing.
type quiet struct {
	mu   sync.Mutex
	said map[string]*saying
}

type saying struct {
	at   time.Time
	more int // times since then
}

// say calls what unless it was called for the same topic a moment ago, with how often it was
// not.
func (q *quiet) say(topic string, what func(more int)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.said[topic]
	if s != nil && time.Since(s.at) < time.Minute {
		s.more++
		return
	}
	if q.said == nil {
		q.said = map[string]*saying{}
	}
	more := 0
	if s != nil {
		more = s.more
	}
	q.said[topic] = &saying{at: time.Now()}
	what(more)
}

// throttled is an error that says when to try again.
func throttled(err error, after time.Duration) error {
	if after <= 0 {
		return err
	}
	return exporterhelper.NewThrottleRetry(err, after)
}
