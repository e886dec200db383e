package elasticsearchexporter

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/collector/exporter/elasticsearchexporter/internal/metadata"
	"github.com/keyless-id/keyless/collector/internal/deadletter"
	"github.com/keyless-id/keyless/collector/internal/holding"
	"github.com/keyless-id/keyless/collector/internal/reply"
)

// bulkExporter is the exporter behind the queue.
type bulkExporter struct {
	config    *Config
	set       exporter.Settings
	telemetry *metadata.TelemetryBuilder
	shape     shaper
	client    client
	dead      deadletter.File
	holding   holding.Reason
	ready     atomic.Bool  // the templates are there
	limit     atomic.Int64 // of a request, in bytes; learned from 413s
}

func newBulkExporter(config *Config, set exporter.Settings) (*bulkExporter, error) {
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	e := &bulkExporter{
		config: config, set: set, telemetry: telemetry, shape: shaper{config},
		client: client{config: config, agent: set.BuildInfo.Command + "/" + set.BuildInfo.Version},
		dead:   deadletter.File{Config: config.DeadLetter},
	}
	e.limit.Store(int64(config.MaxRequestBytes))
	e.ready.Store(config.Setup.Templates == "none")
	return e, nil
}

func (e *bulkExporter) start(ctx context.Context, host component.Host) error {
	client, err := e.config.ClientConfig.ToClient(ctx, host.GetExtensions(), e.set.TelemetrySettings)
	if err != nil {
		return err
	}
	// A redirect would carry the key to a host that nobody has looked at.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	e.client.http = client
	return nil
}

func (e *bulkExporter) shutdown(context.Context) error {
	if e.client.http != nil {
		e.client.http.CloseIdleConnections()
	}
	e.telemetry.Shutdown()
	return e.dead.Close()
}

func (e *bulkExporter) fromMetrics(_ context.Context, metrics pmetric.Metrics) (xexporterhelper.Request, error) {
	docs, err := e.shape.metrics(metrics)
	return &request{docs: docs}, err
}

func (e *bulkExporter) fromLogs(_ context.Context, logs plog.Logs) (xexporterhelper.Request, error) {
	docs, err := e.shape.logs(logs)
	return &request{docs: docs}, err
}

// push sends what is left of a request, and says why if that cannot be done now.
func (e *bulkExporter) push(ctx context.Context, req xexporterhelper.Request) error {
	r, ok := req.(*request)
	if !ok {
		return errForeign
	}
	err := e.deliver(ctx, r)
	if err == nil {
		e.holding.Over(e.tell)
	} else if ctx.Err() == nil {
		e.holding.GoesOn(codeOf(err), time.Now(), e.tell)
	}
	return later(err)
}

// tell says in the metrics how long documents have been held back.
func (e *bulkExporter) tell(code string, since time.Duration) {
	e.telemetry.ExporterElasticsearchHeld.Record(context.Background(), since.Seconds(),
		metric.WithAttributes(attribute.String("exporter", e.set.ID.String()), attribute.String("code", code)))
}

// codeOf is the reason to hold documents back, in a word.
func codeOf(err error) string {
	if errors.Is(err, errBury) {
		return "dead_letter"
	}
	if status := statusOf(err); status > 0 {
		return strconv.Itoa(status)
	}
	return "send"
}

// deliver is push without that. The request remembers what was taken, so that the next try
// goes on where this one ended.
func (e *bulkExporter) deliver(ctx context.Context, r *request) error {
	if err := e.prepare(ctx); err != nil {
		return err
	}
	for len(r.docs) > 0 {
		if err := e.step(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// later lets the engine say when.
func later(err error) error {
	var e *keyless.Error
	if errors.As(err, &e) && e.RetryAfter > 0 {
		return exporterhelper.NewThrottleRetry(err, e.RetryAfter)
	}
	return err
}

// step sends the first documents, as many as go into a request.
func (e *bulkExporter) step(ctx context.Context, r *request) error {
	n := fitting(r.docs, int(e.limit.Load()), (*document).size)
	if r.most > 0 {
		n = min(n, r.most)
	}
	sent := r.docs[:n:n]
	items, err := e.client.send(ctx, sent)
	switch {
	case err != nil && statusOf(err) == http.StatusRequestEntityTooLarge:
		return e.shrink(ctx, r, sent, err)
	case err != nil:
		e.telemetry.ExporterElasticsearchRequestsRefused.Add(ctx, 1, metric.WithAttributes(attribute.Int("status", statusOf(err))))
		return err
	}
	left, err := e.settle(ctx, sent, items)
	r.docs = append(left, r.docs[n:]...)
	return err
}

// learnable is how many times smaller than configured requests become for ever after a 413:
// one document that nothing can hold must not make all requests tiny.
const learnable = 64

// shrink halves what is too large, and remembers. A document that is too large by itself is
// kept elsewhere.
func (e *bulkExporter) shrink(ctx context.Context, r *request, sent []document, err error) error {
	e.telemetry.ExporterElasticsearchRequestsRefused.Add(ctx, 1, metric.WithAttributes(attribute.Int("status", http.StatusRequestEntityTooLarge)))
	if len(sent) > 1 {
		r.most = len(sent) / 2
		size := (&request{docs: sent}).BytesSize()
		e.limit.Store(min(e.limit.Load(), int64(max(size/2, e.config.MaxRequestBytes/learnable))))
		return nil
	}
	if err := e.bury(&sent[0], http.StatusRequestEntityTooLarge, err.Error()); err != nil {
		return err
	}
	e.count(ctx, deadLettered, 1)
	r.docs = r.docs[1:]
	return nil
}

// settle returns the documents that are not written yet, in order, and the error for which
// they have to wait.
func (e *bulkExporter) settle(ctx context.Context, sent []document, items []item) ([]document, error) {
	var left []document
	var wait error
	counts := map[fate]int{}
	for i := range sent {
		d, f := sent[i], items[i].judge(&sent[i])
		switch f {
		case created, duplicate:
		case moved:
			d.Stream, d.ID, d.Late, d.LateID = d.Late, d.LateID, "", ""
			left = append(left, d)
		case deadLettered:
			if err := e.bury(&d, items[i].Status, items[i].why()); err != nil {
				left, wait = append(left, d), err
				continue
			}
		default:
			left, wait = append(left, d), itemRefusal(&d, items[i])
		}
		counts[f]++
	}
	for f, n := range counts {
		e.count(ctx, f, n)
	}
	return left, wait
}

func itemRefusal(d *document, i item) error {
	return &keyless.Error{
		Hop: keyless.HopDelivery, Op: "write to " + d.Stream, Code: fmt.Sprint(i.Status), Message: reply.Printable(i.why(), 500), Hint: hint(i.Status), Temporary: true,
	}
}

func (e *bulkExporter) count(ctx context.Context, f fate, n int) {
	outcome := [...]string{created: "created", duplicate: "duplicate", retried: "retried", held: "retried", moved: "moved", deadLettered: "dead_lettered"}[f]
	e.telemetry.ExporterElasticsearchDocuments.Add(ctx, int64(n), metric.WithAttributes(attribute.String("exporter", e.set.ID.String()), attribute.String("outcome", outcome)))
}

// deadLetter is a line of the file.
type deadLetter struct {
	Time   time.Time       `json:"time"`
	Stream string          `json:"stream"`
	ID     string          `json:"id,omitempty"`
	Status int             `json:"status"`
	Reason string          `json:"reason"`
	Source json.RawMessage `json:"source"`
}

var errBury = errors.New("write a dead letter")

// bury keeps a document that will never be taken. If that fails, it is not given up. The log
// does not say what is in it, and neither may the reason: engines quote values.
func (e *bulkExporter) bury(d *document, status int, why string) error {
	if e.config.DeadLetter.Path == "" {
		e.set.Logger.Warn("A document was given up; dead_letter would keep it.", zap.String("stream", d.Stream), zap.Int("status", status), zap.Int("bytes", len(d.Source)))
		return nil
	}
	line, err := json.Marshal(deadLetter{time.Now().UTC(), d.Stream, d.ID, status, reply.Printable(why, 1000), d.Source})
	if err != nil {
		return err
	}
	if err := e.dead.Append(append(line, '\n')); err != nil {
		return fmt.Errorf("%w: %w", errBury, err)
	}
	return nil
}
