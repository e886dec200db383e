package azuremonitorprometheusexporter

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/keyless-id/keyless/collector/exporter/azuremonitorprometheusexporter/internal/metadata"
	"github.com/keyless-id/keyless/collector/internal/deadletter"
)

func load(t *testing.T, name string) (*Config, error) {
	t.Helper()
	file, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	sub, err := file.Sub(component.NewIDWithName(metadata.Type, name).String())
	if err != nil {
		t.Fatal(err)
	}
	cfg := createDefaultConfig().(*Config)
	if err := sub.Unmarshal(cfg); err != nil {
		return nil, err
	}
	return cfg, confmap.Validate(cfg)
}

func TestTheDefaultsLoseNothing(t *testing.T) {
	cfg, err := load(t, "")
	if err != nil {
		t.Fatal(err)
	}
	queue := cfg.Queue.Get()
	if cfg.BackOff.MaxElapsedTime != 0 || !queue.BlockOnOverflow || queue.NumConsumers != 1 || !queue.Batch.HasValue() || cfg.MaxBatchSizeBytes != 1_000_000 {
		t.Errorf("%+v, %+v", cfg.BackOff, queue)
	}
	const want = "https://example-abcd.westeurope-1.metrics.ingest.monitor.azure.com/dataCollectionRules/dcr-00000000000000000000000000000000/streams/Microsoft-PrometheusMetrics/api/v1/write?api-version=2023-04-24"
	if u, err := cfg.address(); err != nil || u.String() != want {
		t.Errorf("%s, %v", u, err)
	}
}

func TestEveryOptionIsRead(t *testing.T) {
	cfg, err := load(t, "all")
	if err != nil {
		t.Fatal(err)
	}
	queue := cfg.Queue.Get()
	batch := queue.Batch.Get()
	if cfg.ClientConfig.Timeout != 10*time.Second || cfg.Namespace != "edge" || cfg.ExternalLabels["cluster"] != "one" || len(cfg.ResourceToTelemetry.Included) != 1 || cfg.AddMetricSuffixes || !cfg.SendMetadata ||
		cfg.TargetInfo.Enabled || !cfg.DisableScopeInfo || cfg.MaxBatchSizeBytes != 500_000 || cfg.DeadLetter != (deadletter.Config{Path: "/var/lib/otelcol/dead.jsonl", MaxBytes: 1_000_000, MaxFiles: 1}) ||
		cfg.BackOff.InitialInterval != 2*time.Second || cfg.BackOff.MaxElapsedTime != 24*time.Hour || cfg.ClientConfig.Auth.Get().AuthenticatorID.String() != "keyless/aws" {
		t.Errorf("%+v", cfg)
	}
	if queue.StorageID.String() != "file_storage" || queue.QueueSize != 5000 || queue.NumConsumers != 2 || batch.Sizer != exporterhelper.RequestSizerTypeBytes || batch.MaxSize != 900_000 {
		t.Errorf("%+v, %+v", queue, batch)
	}
}

func TestWhatIsWrongInAConfigurationIsSaid(t *testing.T) {
	for name, want := range map[string]string{
		"nothing": "endpoint is missing", "scheme": "want an https address", "user": "credentials belong into auth", "rule": `"my-rule" is no immutable id`,
		"path_and_rule": "without a path", "azure_path": "/dataCollectionRules/dcr-", "amazon_path": "/workspaces/ws-", "label": `"a-b"`, "empty_label": `"a"`,
		"small": "max_batch_size_bytes", "gzip": "snappy", "letters": "max_bytes", "requests": "sizer must be", "key": "wal",
	} {
		if _, err := load(t, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}
