package kafkaexporter

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"

	"github.com/keyless-id/keyless/collector/exporter/kafkaexporter/internal/metadata"
)

func load(t *testing.T, name string) (*Config, error) {
	t.Helper()
	conf, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	entry, err := conf.Sub(component.NewIDWithName(metadata.Type, name).String())
	if err != nil {
		t.Fatal(err)
	}
	config := createDefaultConfig().(*Config)
	if err := entry.Unmarshal(config); err != nil {
		t.Fatal(err)
	}
	return config, confmap.Validate(config)
}

func TestEveryOptionIsRead(t *testing.T) {
	c, err := load(t, "all")
	if err != nil {
		t.Fatal(err)
	}
	want := Producer{MaxMessageBytes: 2_000_000, RequiredAcks: 1, Compression: "lz4", AllowAutoTopicCreation: true}
	if c.Producer != want || c.Timeout != 5*time.Second || c.Logs != (Signal{"l", otlpJSON}) || c.Metrics != (Signal{"m", otlpJSON}) || c.Traces != (Signal{"t", otlpJSON}) {
		t.Errorf("%+v", c)
	}
	if len(c.Brokers) != 2 || c.ClientID != "edge" || !c.TLS.HasValue() || c.Auth.SASL.Get().Username != "u" {
		t.Errorf("%+v", c.Config)
	}
	if c.QueueConfig.Get().NumConsumers != 2 || c.RetryConfig.InitialInterval != 2*time.Second {
		t.Errorf("%+v %+v", c.QueueConfig.Get(), c.RetryConfig)
	}
}

func TestTheDefaultsGiveNothingUp(t *testing.T) {
	c, err := load(t, "")
	if err != nil {
		t.Fatal(err)
	}
	if c.RetryConfig.MaxElapsedTime != 0 || !c.QueueConfig.Get().BlockOnOverflow || c.Producer.leaderOnly() {
		t.Errorf("%+v", c)
	}
}

func TestWhatCannotWorkIsRefused(t *testing.T) {
	for name, want := range map[string]string{
		"bad":   "brokers must be set|logs::topic|metrics::encoding|traces::topic|required_acks",
		"small": "max_message_bytes", "codec": "compression", "time": "timeout",
	} {
		_, err := load(t, name)
		for part := range strings.SplitSeq(want, "|") {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: got %v, want %s", name, err, part)
			}
		}
	}
}
