package filestorageextension

import (
	"context"
	"fmt"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/storage/filestorage"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/xextension/storage"

	"github.com/keyless-id/keyless/collector/extension/filestorageextension/internal/metadata"
)

// NewFactory returns the factory of the extension. Its configuration is contrib's; the
// directory is made if there is none, and a damaged file is put aside instead of ending the
// program.
func NewFactory() extension.Factory {
	return extension.NewFactory(metadata.Type, createDefaultConfig, create, metadata.ExtensionStability)
}

func createDefaultConfig() component.Config {
	config := filestorage.NewFactory().CreateDefaultConfig().(*filestorage.Config)
	config.CreateDirectory, config.DirectoryPermissions = true, "0700"
	config.Recreate = true
	return config
}

func create(ctx context.Context, settings extension.Settings, config component.Config) (extension.Extension, error) {
	stock := filestorage.NewFactory()
	settings.ID = component.NewIDWithName(stock.Type(), settings.ID.Name())
	made, err := stock.Create(ctx, settings, config)
	if err != nil {
		return nil, err
	}
	files, ok := made.(storage.Extension)
	if !ok {
		return nil, fmt.Errorf("contrib's file storage is a %T, and no storage", made)
	}
	return &fileStorage{files}, nil
}
