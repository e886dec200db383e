package azurelogsingestionexporter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/keyless-id/keyless/collector/exporter/azurelogsingestionexporter/internal/metadatatest"
	"github.com/keyless-id/keyless/sandbox"
)

// watched is a host that is told the status of its components.
type watched struct {
	*far
	mu     sync.Mutex
	events []*componentstatus.Event
}

// Report is part of componentstatus.Reporter.
func (w *watched) Report(event *componentstatus.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, event)
}

// last is the latest event, of so many.
func (w *watched) last(t *testing.T) (event *componentstatus.Event, n int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.events) == 0 {
		t.Fatal("no event")
	}
	return w.events[len(w.events)-1], len(w.events)
}

// sum adds the points of a metric up whose attributes have a text.
func sum(t *testing.T, tt *componenttest.Telemetry, name, with string) float64 {
	t.Helper()
	got, err := tt.GetMetric("otelcol_exporter_azure_logs_ingestion_" + name)
	if err != nil {
		return 0
	}
	total := 0.0
	switch data := got.Data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			if strings.Contains(fmt.Sprint(p.Attributes.ToSlice()), with) {
				total += float64(p.Value)
			}
		}
	case metricdata.Gauge[float64]:
		for _, p := range data.DataPoints {
			if strings.Contains(fmt.Sprint(p.Attributes.ToSlice()), with) {
				total += p.Value
			}
		}
	}
	return total
}

func TestTheOperatorSeesHowItGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tt := componenttest.NewTelemetry()
		core, logs := observer.New(zap.WarnLevel)
		set := metadatatest.NewSettings(tt)
		set.Logger = zap.New(core)
		host := &watched{far: newFar(t, auxiliary)}
		e, err := NewFactory().CreateLogs(context.Background(), set, testConfig(toSandbox))
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Start(context.Background(), host); err != nil {
			t.Fatal(err)
		}
		host.SetFault(sandbox.DCE, sandbox.Fault{Status: 403, For: 10 * time.Minute})
		bad := lines(0, 100)
		bad.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(7).Attributes().PutEmptyMap("Level")
		bad.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(8).Attributes().PutStr("Details", strings.Repeat("x", maxField+1))
		consume(t, e, bad)
		time.Sleep(9 * time.Minute)
		if held := sum(t, tt, "held", "OperationFailed"); held < 400 || held > 560 {
			t.Errorf("held for %v s", held)
		}
		if event, n := host.last(t); n != 1 || event.Status() != componentstatus.StatusRecoverableError || !strings.Contains(event.Err().Error(), "Monitoring Metrics Publisher") {
			t.Errorf("%d events", n)
		}
		time.Sleep(10 * time.Minute)
		host.SetFault(sandbox.DCE, sandbox.Fault{Status: 429, RetryAfter: time.Second, Times: 1})
		consume(t, e, lines(100, 1))
		time.Sleep(time.Minute)
		for name, want := range map[string]float64{"rows_sent": 100, "rows_dead_lettered": 1, "fields_truncated": 1, "requests_throttled": 1, "held": 0} {
			if got := sum(t, tt, name, ""); got != want {
				t.Errorf("%s: got %v, want %v", name, got, want)
			}
		}
		if raw, wire := sum(t, tt, "bytes_raw", sandbox.DemoStream), sum(t, tt, "bytes_wire", sandbox.DemoRuleID); raw < 70_000 || wire == 0 || wire > raw {
			t.Errorf("%v bytes, %v on the wire", raw, wire)
		}
		if n := sum(t, tt, "batches", "split"); n == 0 {
			t.Error("no batch was split")
		}
		if last, _ := host.last(t); last.Status() != componentstatus.StatusOK {
			t.Errorf("the last status is %v", last.Status())
		}
		if err := e.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		for _, entry := range logs.All() {
			if text := fmt.Sprint(entry.Message, entry.Context); strings.Contains(text, "line 7") || strings.Contains(text, "eyJ") {
				t.Errorf("the log has a row, or a token: %s", text)
			}
		}
		if err := tt.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// picky takes the logs of one stream only.
type picky struct {
	exporter.Logs
	taken int
}

// ConsumeLogs is part of consumer.Logs.
func (p *picky) ConsumeLogs(_ context.Context, logs plog.Logs) error {
	if _, found := logs.ResourceLogs().At(0).Resource().Attributes().Get("stream"); found {
		return errors.New("full")
	}
	p.taken += logs.LogRecordCount()
	return nil
}

func TestWhatTheQueueDoesNotTakeIsReturnedAndNothingElse(t *testing.T) {
	next := &picky{}
	r := &router{Logs: next, config: testConfig(routing)}
	all := lines(0, 5)
	toOther(lines(5, 3)).ResourceLogs().MoveAndAppendTo(all.ResourceLogs())
	err := r.ConsumeLogs(context.Background(), all)
	var left consumererror.Logs
	if !errors.As(err, &left) || left.Data().LogRecordCount() != 3 || next.taken != 5 {
		t.Errorf("%v, %d taken", err, next.taken)
	}
	if err := r.ConsumeLogs(context.Background(), plog.NewLogs()); err != nil {
		t.Error(err)
	}
}
