package keylessextension

import (
	"testing"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/keyless-id/keyless/collector/extension/keylessextension/internal/metadata"
	"github.com/keyless-id/keyless/sandbox"
)

func TestTheCollectorsOwnMetricsTellOfTokens(t *testing.T) {
	w, telemetry := newWorld(t), componenttest.NewTelemetry()
	set := extensiontest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = telemetry.NewTelemetrySettings()
	cfg, err := read(confmap.NewFromStringMap(inAWS(nil)))
	if err != nil {
		t.Fatal(err)
	}
	e, err := newExtension(cfg, set, func(name string) string { return w.env[name] })
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	w.SetFault(sandbox.STS, sandbox.Fault{Code: "AccessDenied", Times: 1})
	if _, err := e.Retrieve(t.Context()); err == nil {
		t.Error("credentials in spite of the refusal")
	}
	asked, err := telemetry.GetMetric("otelcol_extension_keyless_requests")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, point := range asked.Data.(metricdata.Sum[int64]).DataPoints {
		kind, _ := point.Attributes.Value("kind")
		outcome, _ := point.Attributes.Value("outcome")
		got[kind.AsString()+" "+outcome.AsString()] = point.Value
	}
	if got["token success"] != 1 || got["credentials failure"] != 1 || len(got) != 2 {
		t.Errorf("%v", got)
	}
	left, err := telemetry.GetMetric("otelcol_extension_keyless_token_remaining")
	if err != nil {
		t.Fatal(err)
	}
	if points := left.Data.(metricdata.Gauge[float64]).DataPoints; len(points) != 1 || points[0].Value < 60 {
		t.Errorf("%+v", points)
	}
	if err := e.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := telemetry.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
