package azurelogsingestionexporter

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/keyless-id/keyless/collector/exporter/azurelogsingestionexporter/internal/metadata"
	"github.com/keyless-id/keyless/collector/internal/deadletter"
)

// logsExporter is the exporter behind the queue.
type logsExporter struct {
	config *Config
	set    exporter.Settings
	deliverer
	putBack  putBack
	encoders sync.Pool

	mu      sync.Mutex
	streams map[destination]*stream
	rules   map[string]*gate
	pushing sync.WaitGroup
}

func newLogsExporter(config *Config, set exporter.Settings) (*logsExporter, error) {
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	e := &logsExporter{
		config: config, set: set,
		deliverer: deliverer{
			sender:  sender{endpoint: config.ClientConfig.Endpoint, version: config.APIVersion},
			packers: &packers{level: config.GzipLevel},
			dead:    &deadLetters{file: deadletter.File{Config: config.DeadLetter}, logger: set.Logger},
			report:  &report{exporter: set.ID.String(), telemetry: telemetry, logger: set.Logger},
			longest: config.RetryConfig.MaxInterval,
		},
		streams: map[destination]*stream{}, rules: map[string]*gate{},
	}
	plan := newPlan(config)
	e.encoders.New = func() any { return newEncoder(plan) }
	return e, nil
}

func (e *logsExporter) start(ctx context.Context, host component.Host) error {
	client, err := e.config.ClientConfig.ToClient(ctx, host.GetExtensions(), e.set.TelemetrySettings)
	if err != nil {
		return err
	}
	// A redirect would carry the token to a host that nobody has looked at.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	e.sender.client, e.report.host = client, host
	return nil
}

// shutdown waits for what is on its way: the queue forgets to, of a stream that has been
// idle but for one slow request, and would keep its files open.
func (e *logsExporter) shutdown(context.Context) error {
	e.pushing.Wait()
	if e.sender.client != nil {
		e.sender.client.CloseIdleConnections()
	}
	e.report.telemetry.Shutdown()
	return e.dead.file.Close()
}

// convert writes the rows, once for all. All records have the same destination: see
// [router].
func (e *logsExporter) convert(ctx context.Context, logs plog.Logs) (xexporterhelper.Request, error) {
	if r, found := offeredRequest(ctx); found {
		return r, nil
	}
	r := e.request(firstDestination(e.config, logs))
	r.rows = e.packers.emptyRows()
	encoder := e.encoders.Get().(*encoder)
	defer e.encoders.Put(encoder)
	encoder.encode(&r.rows, logs, time.Now())
	if encoder.truncated > 0 {
		e.report.truncated(ctx, encoder.truncated)
		encoder.truncated = 0
	}
	return r, nil
}

func (e *logsExporter) request(to destination) *request {
	return &request{to: to, stream: e.stream(to), packers: e.packers, original: e.config.Time.OriginalColumn}
}

// push sends a batch. What cannot be sent now is in the error.
func (e *logsExporter) push(ctx context.Context, req xexporterhelper.Request) error {
	e.pushing.Add(1)
	defer e.pushing.Done()
	r := req.(*request)
	r.closeAll()
	d := delivery{deliverer: &e.deliverer, stream: r.stream, left: r.closed}
	err := d.run(ctx)
	return e.putBack.settle(ctx, r, r.with(d.left), err)
}

// stream returns what is known about a destination.
func (e *logsExporter) stream(to destination) *stream {
	e.mu.Lock()
	defer e.mu.Unlock()
	if known := e.streams[to]; known != nil {
		return known
	}
	named := destination{dcr: orText(to.dcr, e.config.DCR), stream: orText(to.stream, e.config.Stream)}
	rule := e.rules[named.dcr]
	if rule == nil {
		rule = &gate{max: e.config.MaxInFlight}
		e.rules[named.dcr] = rule
	}
	s := &stream{destination: named, rule: rule, wire: ceiling{max: e.config.MaxRequestBytes}, raw: ceiling{max: e.config.MaxRawBytes}}
	e.streams[to] = s
	return s
}

// hasStreams reports whether there are several.
func (e *logsExporter) hasStreams() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.streams) > 1
}

func orText(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}

// Marshal is part of exporterhelper.QueueBatchEncoding. Only requests that have not been
// in a batch are stored.
func (e *logsExporter) Marshal(_ context.Context, req xexporterhelper.Request) ([]byte, error) {
	r := req.(*request)
	if len(r.open)+len(r.closed) > 0 {
		return nil, errors.New("a batch cannot be stored")
	}
	out := make([]byte, 0, len(r.rows.data)+8*len(r.rows.ends)+128)
	out = append(out, format...)
	out = appendName(out, r.to.dcr)
	out = appendName(out, r.to.stream)
	return r.rows.appendTo(out), nil
}

// Unmarshal is part of exporterhelper.QueueBatchEncoding. The queue deletes what it cannot
// read, so that is said here. Nothing at all was deleted before: it was delivered.
func (e *logsExporter) Unmarshal(stored []byte) (context.Context, xexporterhelper.Request, error) {
	to, all, err := readRequest(stored)
	if err != nil && len(stored) > 0 {
		e.set.Logger.Error("A stored request cannot be read, and is lost. Was it stored by a later version?")
	}
	if err != nil {
		return context.Background(), nil, err
	}
	r := e.request(to)
	r.rows = all
	return context.Background(), r, nil
}
