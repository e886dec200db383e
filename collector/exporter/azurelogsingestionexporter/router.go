package azurelogsingestionexporter

import (
	"context"

	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// router gives the exporter logs of one destination at a time, because a request of the
// queue has one.
type router struct {
	exporter.Logs
	config *Config
}

// ConsumeLogs is part of consumer.Logs. If some destinations get through and others do
// not, the error has the logs of the others only.
func (r *router) ConsumeLogs(ctx context.Context, logs plog.Logs) error {
	if logs.LogRecordCount() == 0 {
		return nil
	}
	if !r.config.routes() {
		return r.Logs.ConsumeLogs(ctx, logs)
	}
	left, failed := plog.NewLogs(), error(nil)
	for _, part := range split(r.config, logs) {
		if err := r.Logs.ConsumeLogs(ctx, part); err != nil {
			part.ResourceLogs().MoveAndAppendTo(left.ResourceLogs())
			failed = err
		}
	}
	if failed != nil {
		return consumererror.NewLogs(failed, left)
	}
	return nil
}

func (c *Config) routes() bool { return c.DCRFrom != "" || c.StreamFrom != "" }

// split copies logs to one Logs for each destination.
func split(config *Config, logs plog.Logs) []plog.Logs {
	var parts []plog.Logs
	known := map[destination]int{}
	for _, resource := range logs.ResourceLogs().All() {
		for _, scope := range resource.ScopeLogs().All() {
			last := map[destination]plog.LogRecordSlice{}
			for _, record := range scope.LogRecords().All() {
				to := config.destination(resource.Resource(), record)
				if _, found := known[to]; !found {
					known[to] = len(parts)
					parts = append(parts, plog.NewLogs())
				}
				records, found := last[to]
				if !found {
					records = appendScope(parts[known[to]], resource, scope)
					last[to] = records
				}
				record.CopyTo(records.AppendEmpty())
			}
		}
	}
	return parts
}

func appendScope(logs plog.Logs, resource plog.ResourceLogs, scope plog.ScopeLogs) plog.LogRecordSlice {
	to := logs.ResourceLogs().AppendEmpty()
	resource.Resource().CopyTo(to.Resource())
	to.SetSchemaUrl(resource.SchemaUrl())
	in := to.ScopeLogs().AppendEmpty()
	scope.Scope().CopyTo(in.Scope())
	in.SetSchemaUrl(scope.SchemaUrl())
	return in.LogRecords()
}

// destination is where a record goes. A name that is none goes to the stream of the
// configuration: an attribute may be anything, and must not become a path.
func (c *Config) destination(resource pcommon.Resource, record plog.LogRecord) destination {
	var to destination
	if dcr := lookUp(c.DCRFrom, resource, record); isRule(dcr) {
		to.dcr = dcr
	}
	if stream := lookUp(c.StreamFrom, resource, record); isStream(stream) {
		to.stream = stream
	}
	return to
}

func lookUp(name string, resource pcommon.Resource, record plog.LogRecord) string {
	if name == "" {
		return ""
	}
	if value, found := record.Attributes().Get(name); found {
		return value.AsString()
	}
	if value, found := resource.Attributes().Get(name); found {
		return value.AsString()
	}
	return ""
}

func firstDestination(config *Config, logs plog.Logs) destination {
	if !config.routes() {
		return destination{}
	}
	for _, resource := range logs.ResourceLogs().All() {
		for _, scope := range resource.ScopeLogs().All() {
			if scope.LogRecords().Len() > 0 {
				return config.destination(resource.Resource(), scope.LogRecords().At(0))
			}
		}
	}
	return destination{}
}
