package kafkareceiver

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/keyless-id/keyless/collector/receiver/kafkareceiver/internal/metadata"
)

// sinks are one for each signal and encoding, with what arrives.
func sinks(t *testing.T) (logs map[Encoding]sink, metrics map[Encoding]sink, traces map[Encoding]sink, count func() int) {
	t.Helper()
	report, err := newReport(receivertest.NewNopSettings(metadata.Type))
	must(t, err)
	var (
		l consumertest.LogsSink
		m consumertest.MetricsSink
		s consumertest.TracesSink
	)
	logs, metrics, traces = map[Encoding]sink{}, map[Encoding]sink{}, map[Encoding]sink{}
	for _, encoding := range []Encoding{EncodingOTLPProto, EncodingOTLPJSON} {
		logs[encoding], metrics[encoding], traces[encoding] = logsSink(encoding, &l, report), metricsSink(encoding, &m, report), tracesSink(encoding, &s, report)
	}
	for _, encoding := range []Encoding{EncodingJSON, EncodingText} {
		logs[encoding] = logsSink(encoding, &l, report)
	}
	return logs, metrics, traces, func() int {
		n := l.LogRecordCount() + m.DataPointCount() + s.SpanCount()
		l.Reset()
		m.Reset()
		s.Reset()
		return n
	}
}

// values are two items of each signal in each encoding.
func values(t *testing.T) (logs, metrics, traces map[Encoding][]byte) {
	t.Helper()
	l, m, s := plog.NewLogs(), pmetric.NewMetrics(), ptrace.NewTraces()
	for range 2 {
		l.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetStr("a")
		m.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty().SetEmptyGauge().DataPoints().AppendEmpty().SetIntValue(1)
		s.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty().SetName("a")
	}
	written := func(text []byte, err error) []byte {
		must(t, err)
		return text
	}
	logs = map[Encoding][]byte{
		EncodingOTLPProto: written((&plog.ProtoMarshaler{}).MarshalLogs(l)), EncodingOTLPJSON: written((&plog.JSONMarshaler{}).MarshalLogs(l)),
	}
	metrics = map[Encoding][]byte{
		EncodingOTLPProto: written((&pmetric.ProtoMarshaler{}).MarshalMetrics(m)), EncodingOTLPJSON: written((&pmetric.JSONMarshaler{}).MarshalMetrics(m)),
	}
	traces = map[Encoding][]byte{
		EncodingOTLPProto: written((&ptrace.ProtoMarshaler{}).MarshalTraces(s)), EncodingOTLPJSON: written((&ptrace.JSONMarshaler{}).MarshalTraces(s)),
	}
	return logs, metrics, traces
}

func TestRecordsAreHandedOnTogether(t *testing.T) {
	logs, metrics, traces, count := sinks(t)
	l, m, s := values(t)
	for encoding := range l {
		for name, c := range map[string]struct {
			to    sink
			value []byte
		}{"logs": {logs[encoding], l[encoding]}, "metrics": {metrics[encoding], m[encoding]}, "traces": {traces[encoding], s[encoding]}} {
			records := []*kgo.Record{{Value: c.value}, {Value: c.value}, {Value: c.value}}
			if err, n := c.to.consume(t.Context(), records), count(); err != nil || n != 6 {
				t.Errorf("%s as %s: got %d, %v, want 6", name, encoding, n, err)
			}
			broken := append(records[:2:2], &kgo.Record{Value: []byte("\x0a\xff")})
			if err, n := c.to.consume(t.Context(), broken), count(); !consumererror.IsPermanent(err) || n != 0 {
				t.Errorf("%s as %s: got %d, %v, want a permanent error", name, encoding, n, err)
			}
		}
	}
}

func TestALineIsARecordOfItsTime(t *testing.T) {
	at := time.Date(2026, 11, 21, 17, 0, 0, 0, time.UTC)
	for encoding, c := range map[Encoding]struct{ value, want string }{
		EncodingText: {"a\xff", "a\ufffd"},
		EncodingJSON: {`{"n":9007199254740993}`, `{"n":9007199254740993}`},
	} {
		logs, err := logsDecoder(encoding)(&kgo.Record{Value: []byte(c.value), Timestamp: at})
		must(t, err)
		record := logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
		if got := record.Body().AsString(); got != c.want || record.Timestamp().AsTime() != at || record.ObservedTimestamp() == 0 {
			t.Errorf("%s: got %s at %v", encoding, got, record.Timestamp().AsTime())
		}
	}
}

// FuzzSinks holds that no value ends the program, and that what cannot be decoded is refused
// for good, not tried again for ever.
func FuzzSinks(f *testing.F) {
	for _, seed := range []string{"", "\x0a\x00", `{"resourceLogs":[{}]}`, `{"a":[1]}`, "text", "\xff\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		logs, metrics, traces, _ := sinks(t)
		for _, signal := range []map[Encoding]sink{logs, metrics, traces} {
			for encoding, sink := range signal {
				if err := sink.consume(t.Context(), []*kgo.Record{{Value: value}}); err != nil && !consumererror.IsPermanent(err) {
					t.Errorf("%s: %v", encoding, err)
				}
			}
		}
	})
}
