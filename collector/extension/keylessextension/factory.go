package keylessextension

import (
	"context"
	"os"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"

	"github.com/keyless-id/keyless/collector/extension/keylessextension/internal/metadata"
)

// NewFactory makes extensions of the type keyless.
func NewFactory() extension.Factory {
	return extension.NewFactory(metadata.Type, createDefaultConfig, create, metadata.ExtensionStability)
}

func create(_ context.Context, set extension.Settings, cfg component.Config) (extension.Extension, error) {
	return newExtension(cfg.(*Config), set, os.Getenv) //nolint:forbidigo // the collector hands its components no environment
}
