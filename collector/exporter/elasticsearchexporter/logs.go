package elasticsearchexporter

import (
	"crypto/rand"
	"encoding/json"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// logs makes documents of log records, in the shape of OpenTelemetry whatever the mapping is.
// An id is drawn by lot and kept in the queue: equal lines are two.
func (s shaper) logs(logs plog.Logs) ([]document, error) {
	dataset := orText(s.config.DataStream.Dataset, datasetOther) + ".otel"
	var all []document
	for _, rl := range logs.ResourceLogs().All() {
		resource := object{"attributes": plainMap(rl.Resource().Attributes())}
		for _, sl := range rl.ScopeLogs().All() {
			for _, record := range sl.LogRecords().All() {
				body := logBody(record)
				body["resource"], body["scope"] = resource, object{"name": sl.Scope().Name()}
				if s.config.Index == "" {
					body["data_stream"] = object{"type": "logs", "dataset": dataset, "namespace": s.config.DataStream.Namespace}
				}
				source, err := json.Marshal(body)
				if err != nil {
					return nil, err
				}
				all = append(all, document{Stream: s.stream("logs", dataset), ID: rand.Text(), Source: source})
			}
		}
	}
	return all, nil
}

func logBody(record plog.LogRecord) object {
	at := record.Timestamp()
	if at == 0 {
		at = record.ObservedTimestamp()
	}
	body := object{"@timestamp": timestamp(at.AsTime()), "attributes": plainMap(record.Attributes())}
	if observed := record.ObservedTimestamp(); observed > 0 {
		body["observed_timestamp"] = timestamp(observed.AsTime())
	}
	body.setText("severity_text", record.SeverityText())
	if n := record.SeverityNumber(); n > 0 {
		body["severity_number"] = int(n)
	}
	if id := record.TraceID(); !id.IsEmpty() {
		body["trace_id"] = id.String()
	}
	if id := record.SpanID(); !id.IsEmpty() {
		body["span_id"] = id.String()
	}
	if name := record.EventName(); name != "" {
		body["event_name"] = name
	}
	switch record.Body().Type() {
	case pcommon.ValueTypeEmpty:
	case pcommon.ValueTypeMap, pcommon.ValueTypeSlice:
		body["body"] = object{"structured": plain(record.Body())}
	default:
		body["body"] = object{"text": record.Body().AsString()}
	}
	return body
}
