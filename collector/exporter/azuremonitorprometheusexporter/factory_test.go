package azuremonitorprometheusexporter

import (
	"path/filepath"
	"testing"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"

	"github.com/keyless-id/keyless/collector/exporter/azuremonitorprometheusexporter/internal/metadata"
)

func TestADeadLetterFileThatCannotBeOpenedStopsTheStart(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.ClientConfig.Endpoint = "https://127.0.0.1:1/api/v1/write"
	cfg.DeadLetter.Path = filepath.Join(t.TempDir(), "no", "such", "folder")
	e, err := NewFactory().CreateMetrics(t.Context(), exportertest.NewNopSettings(metadata.Type), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context(), componenttest.NewNopHost()); err == nil {
		t.Error("started")
	}
	_ = e.Shutdown(t.Context())
}
