package kafkareceiver

import (
	"bytes"
	"context"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver/receiverhelper"

	"github.com/keyless-id/keyless/collector/internal/jsonvalue"
)

// sink hands records to the pipeline as one. It fails for good where one of them cannot be
// decoded.
type sink interface {
	consume(ctx context.Context, records []*kgo.Record) error
}

// signal is the sink of logs, metrics or traces.
type signal[T any] struct {
	encoding Encoding
	decode   func(record *kgo.Record) (T, error)
	merge    func(from, into T)
	pass     func(ctx context.Context, all T) error
}

func (s signal[T]) consume(ctx context.Context, records []*kgo.Record) error {
	var all T
	for i, record := range records {
		one, err := s.decode(record)
		if err != nil {
			// Decoders quote what they stumble over, and that belongs into no log.
			return consumererror.NewPermanent(errors.New("a record is not encoded as " + string(s.encoding)))
		}
		if i == 0 {
			all = one
			continue
		}
		s.merge(one, all)
	}
	return s.pass(ctx, all)
}

func logsSink(encoding Encoding, next consumer.Logs, report *receiverhelper.ObsReport) sink {
	return signal[plog.Logs]{
		encoding: encoding,
		decode:   logsDecoder(encoding),
		merge:    func(from, into plog.Logs) { from.ResourceLogs().MoveAndAppendTo(into.ResourceLogs()) },
		pass: func(ctx context.Context, all plog.Logs) error {
			ctx = report.StartLogsOp(ctx)
			n := all.LogRecordCount() // the pipeline may take them out
			err := next.ConsumeLogs(ctx, all)
			report.EndLogsOp(ctx, string(encoding), n, err)
			return err
		},
	}
}

func logsDecoder(encoding Encoding) func(*kgo.Record) (plog.Logs, error) {
	switch encoding {
	case EncodingOTLPProto:
		return valueOf((&plog.ProtoUnmarshaler{}).UnmarshalLogs)
	case EncodingOTLPJSON:
		return valueOf((&plog.JSONUnmarshaler{}).UnmarshalLogs)
	case EncodingJSON:
		return decodeObject
	default:
		return decodeText
	}
}

func valueOf[T any](decode func([]byte) (T, error)) func(*kgo.Record) (T, error) {
	return func(record *kgo.Record) (T, error) { return decode(record.Value) }
}

func decodeObject(record *kgo.Record) (plog.Logs, error) {
	fields, err := jsonvalue.Object(record.Value)
	if err != nil {
		return plog.Logs{}, err
	}
	logs, body := oneLog(record)
	jsonvalue.SetMap(body.SetEmptyMap(), fields)
	return logs, nil
}

func decodeText(record *kgo.Record) (plog.Logs, error) {
	logs, body := oneLog(record)
	text := record.Value
	if !utf8.Valid(text) { // OTLP has no other strings
		text = bytes.ToValidUTF8(text, []byte("\ufffd"))
	}
	body.SetStr(string(text))
	return logs, nil
}

func oneLog(record *kgo.Record) (plog.Logs, pcommon.Value) {
	logs := plog.NewLogs()
	one := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	one.SetTimestamp(pcommon.NewTimestampFromTime(record.Timestamp))
	one.SetObservedTimestamp(pcommon.NewTimestampFromTime(time.Now()))
	return logs, one.Body()
}

func metricsSink(encoding Encoding, next consumer.Metrics, report *receiverhelper.ObsReport) sink {
	decode := (&pmetric.ProtoUnmarshaler{}).UnmarshalMetrics
	if encoding == EncodingOTLPJSON {
		decode = (&pmetric.JSONUnmarshaler{}).UnmarshalMetrics
	}
	return signal[pmetric.Metrics]{
		encoding: encoding,
		decode:   valueOf(decode),
		merge:    func(from, into pmetric.Metrics) { from.ResourceMetrics().MoveAndAppendTo(into.ResourceMetrics()) },
		pass: func(ctx context.Context, all pmetric.Metrics) error {
			ctx = report.StartMetricsOp(ctx)
			n := all.DataPointCount()
			err := next.ConsumeMetrics(ctx, all)
			report.EndMetricsOp(ctx, string(encoding), n, err)
			return err
		},
	}
}

func tracesSink(encoding Encoding, next consumer.Traces, report *receiverhelper.ObsReport) sink {
	decode := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces
	if encoding == EncodingOTLPJSON {
		decode = (&ptrace.JSONUnmarshaler{}).UnmarshalTraces
	}
	return signal[ptrace.Traces]{
		encoding: encoding,
		decode:   valueOf(decode),
		merge:    func(from, into ptrace.Traces) { from.ResourceSpans().MoveAndAppendTo(into.ResourceSpans()) },
		pass: func(ctx context.Context, all ptrace.Traces) error {
			ctx = report.StartTracesOp(ctx)
			n := all.SpanCount()
			err := next.ConsumeTraces(ctx, all)
			report.EndTracesOp(ctx, string(encoding), n, err)
			return err
		},
	}
}
