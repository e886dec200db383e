package keylessextension

import (
	"testing"

	"go.opentelemetry.io/collector/extension/extensiontest"

	"github.com/keyless-id/keyless/collector/extension/keylessextension/internal/metadata"
)

// The first look at a collector's configuration must work on a machine without any of it.
func TestAnExtensionStartsWithoutAnythingToAsk(t *testing.T) {
	cfg, err := load(t, "server")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Server.Get().CAFile = ""
	e, err := NewFactory().Create(t.Context(), extensiontest.NewNopSettings(metadata.Type), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if err := e.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}
