package azurelogsingestionexporter

import (
	"context"
	"testing"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"

	"github.com/keyless-id/keyless/collector/exporter/azurelogsingestionexporter/internal/metadata"
)

func TestTheDefaultsGiveNothingUp(t *testing.T) {
	config := NewFactory().CreateDefaultConfig().(*Config)
	if err := componenttest.CheckConfigStruct(config); err != nil {
		t.Error(err)
	}
	queue := config.QueueConfig.Get()
	if queue == nil || !queue.BlockOnOverflow || !queue.Batch.HasValue() || !config.RetryConfig.Enabled || config.RetryConfig.MaxElapsedTime != 0 {
		t.Errorf("%+v", config)
	}
	if err := config.Validate(); err == nil {
		t.Error("a configuration without an endpoint is taken")
	}
}

func TestAnExporterIsMadeWithoutItsQueueToo(t *testing.T) {
	config := testConfig()
	for _, queued := range []bool{true, false} {
		if !queued {
			config.QueueConfig = (&Config{}).QueueConfig
		}
		if _, err := NewFactory().CreateLogs(context.Background(), exportertest.NewNopSettings(metadata.Type), config); err != nil {
			t.Errorf("queue %v: %v", queued, err)
		}
	}
}
