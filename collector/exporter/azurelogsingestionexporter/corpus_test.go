package azurelogsingestionexporter

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// appLogs are like those of an application: some words again and again, and ids that
// never are.
func appLogs(n int) plog.Logs {
	random := rand.New(rand.NewPCG(1, uint64(n)))
	logs := plog.NewLogs()
	resource := logs.ResourceLogs().AppendEmpty()
	resource.Resource().Attributes().PutStr("service.name", "checkout")
	resource.Resource().Attributes().PutStr("host.name", "node-17.example.org")
	in := resource.ScopeLogs().AppendEmpty()
	in.Scope().SetName("github.com/example/checkout")
	for i := range n {
		record := in.LogRecords().AppendEmpty()
		record.SetTimestamp(pcommon.NewTimestampFromTime(noon.Add(time.Duration(i) * time.Millisecond)))
		record.SetSeverityText("INFO")
		record.SetSeverityNumber(plog.SeverityNumberInfo)
		record.Body().SetStr(fmt.Sprintf("GET /api/v1/orders/%d took %d ms for customer %d", random.IntN(1_000_000), random.IntN(500), random.IntN(10_000)))
		record.Attributes().PutStr("http.method", "GET")
		record.Attributes().PutInt("http.status_code", int64(200+random.IntN(3)*100))
		record.Attributes().PutStr("http.route", "/api/v1/orders/:id")
		record.Attributes().PutDouble("duration", random.Float64())
		record.SetTraceID(pcommon.TraceID(randomBytes(random, 16)))
		record.SetSpanID(pcommon.SpanID(randomBytes(random, 8)))
	}
	return logs
}

func randomBytes(random *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// lineLogs are the same as JSON lines in the body.
func lineLogs(n int) (plog.Logs, [][]byte) {
	var lines [][]byte
	for _, row := range recordsAsMaps(appLogs(n)) {
		line, err := json.Marshal(row)
		if err != nil {
			panic(err)
		}
		lines = append(lines, line)
	}
	return records(n, func(i int, r plog.LogRecord) { r.Body().SetStr(string(lines[i])) }), lines
}

// recordsAsMaps is what people write who write an exporter in an afternoon.
func recordsAsMaps(logs plog.Logs) []map[string]any {
	var all []map[string]any
	for _, resource := range logs.ResourceLogs().All() {
		for _, scope := range resource.ScopeLogs().All() {
			for _, record := range scope.LogRecords().All() {
				row := map[string]any{
					"RawData": record.Body().AsString(), "SeverityText": record.SeverityText(),
					"SeverityNumber": int(record.SeverityNumber()), "TraceId": record.TraceID().String(), "SpanId": record.SpanID().String(), "scope_name": scope.Scope().Name(),
				}
				if !record.Timestamp().AsTime().IsZero() {
					row["TimeGenerated"] = record.Timestamp().AsTime().Format(time.RFC3339Nano)
				}
				for name, value := range record.Attributes().AsRaw() {
					row[columnName(name)] = value
				}
				for name, value := range resource.Resource().Attributes().AsRaw() {
					row["resource_"+columnName(name)] = value
				}
				all = append(all, row)
			}
		}
	}
	return all
}
