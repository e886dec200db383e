package elasticsearchexporter

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/keyless-id/keyless/collector/exporter/elasticsearchexporter/internal/metadata"
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
	cfg := createDefaultConfig()
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
	queue := cfg.QueueConfig.Get()
	if cfg.RetryConfig.MaxElapsedTime != 0 || !queue.BlockOnOverflow || queue.NumConsumers != 1 || queue.Batch.Get().Sizer != exporterhelper.RequestSizerTypeBytes {
		t.Errorf("%+v, %+v", cfg.RetryConfig, queue)
	}
	if cfg.Mapping != ElasticAgent || cfg.timeSeries() || cfg.DataStream.Namespace != "default" {
		t.Errorf("%+v", cfg)
	}
}

func TestEveryOptionIsRead(t *testing.T) {
	cfg, err := load(t, "all")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.ClientConfig.Timeout != 10*time.Second || cfg.APIKeyFile != "/etc/keyless/elastic.key" || cfg.Mapping != Metricbeat || cfg.DataStream != (DataStreamConfig{"aws.ec2", "edge", true}) ||
		cfg.Setup.Templates != "tsds" || !cfg.timeSeries() || cfg.MaxRequestBytes != 1_000_000 || cfg.DeadLetter != (deadletter.Config{Path: "/var/lib/otelcol/dead.jsonl", MaxBytes: 1_000_000, MaxFiles: 1}) ||
		cfg.RetryConfig.InitialInterval != 2*time.Second || cfg.QueueConfig.Get().StorageID.String() != "file_storage" || cfg.QueueConfig.Get().Batch.Get().MaxSize != 900_000 {
		t.Errorf("%+v", cfg)
	}
	cfg, err = load(t, "password")
	if err != nil || cfg.User != "writer" || string(cfg.Password) != "not-a-secret" || cfg.Index != "plain" || cfg.Mapping != OTel {
		t.Errorf("%+v, %v", cfg, err)
	}
}

func TestWhatIsWrongInAConfigurationIsSaid(t *testing.T) {
	for name, want := range map[string]string{
		"nothing": "`endpoint` must be", "scheme": "`endpoint` must be", "userinfo": "no credentials", "readable": "could be read on the way",
		"two": "one only", "half": "goes with", "both": "goes with", "mapping": "`mapping` must be", "dataset": "`data_stream`", "namespace": "`namespace`",
		"index": "lower case", "index_control": "printable", "dataset_control": "printable", "index_and_stream": "does not go with", "templates": "none, tsds or plain", "plain_series": "time_series", "index_setup": "not of an `index`",
		"otel_series": "brings templates", "small": "max_request_bytes", "letters": "max_bytes", "key": "flush",
	} {
		if _, err := load(t, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}
