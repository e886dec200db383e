package kafkaexporter

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/keyless-id/keyless/collector/internal/kafkaclient"
	"github.com/keyless-id/keyless/collector/internal/lossless"
)

// Config has the names of contrib's Kafka exporter where it has the same settings.
type Config struct {
	kafkaclient.Config `mapstructure:",squash"`

	QueueConfig configoptional.Optional[exporterhelper.QueueBatchConfig] `mapstructure:"sending_queue"`
	RetryConfig configretry.BackOffConfig                                `mapstructure:"retry_on_failure"`

	Logs    Signal `mapstructure:"logs"`
	Metrics Signal `mapstructure:"metrics"`
	Traces  Signal `mapstructure:"traces"`

	Producer Producer `mapstructure:"producer"`

	// Timeout is how long one try may take.
	Timeout time.Duration `mapstructure:"timeout"`
}

// Signal is where one goes, and how.
type Signal struct {
	Topic    string `mapstructure:"topic"`
	Encoding string `mapstructure:"encoding"` // otlp_proto or otlp_json
}

// Producer says how records are written.
type Producer struct {
	// MaxMessageBytes is what a broker takes in one record batch (message.max.bytes there).
	MaxMessageBytes int32 `mapstructure:"max_message_bytes"`
	// RequiredAcks is all, -1 or nothing for all in-sync replicas, 1 for the leader alone. 0 is
	// not offered: nobody would know what arrived.
	RequiredAcks any    `mapstructure:"required_acks"`
	Compression  string `mapstructure:"compression"` // none, gzip, snappy, lz4 or zstd
	// AllowAutoTopicCreation makes a topic that is missing, if the broker does that.
	AllowAutoTopicCreation bool `mapstructure:"allow_auto_topic_creation"`
}

// leaderOnly reports whether a record may be lost with the leader.
func (p Producer) leaderOnly() bool { return p.RequiredAcks == 1 }

const (
	otlpProto = "otlp_proto"
	otlpJSON  = "otlp_json"
)

// room is left in a record batch for what Kafka and a larger encoding add.
const room = 100_000

func createDefaultConfig() component.Config {
	queue := lossless.Queue(exporterhelper.BatchConfig{ // records stay in order
		Sizer: exporterhelper.RequestSizerTypeBytes, FlushTimeout: 200 * time.Millisecond, MinSize: 500_000, MaxSize: 1_000_000 - room,
	})
	return &Config{
		Config:      kafkaclient.Default(),
		QueueConfig: configoptional.Some(queue),
		RetryConfig: lossless.Retry(),
		Logs:        Signal{Topic: "otlp_logs", Encoding: otlpProto},
		Metrics:     Signal{Topic: "otlp_metrics", Encoding: otlpProto},
		Traces:      Signal{Topic: "otlp_spans", Encoding: otlpProto},
		Producer:    Producer{MaxMessageBytes: 1_000_000, Compression: "zstd"},
		Timeout:     10 * time.Second,
	}
}

// Validate reports what cannot work, all of it.
func (c *Config) Validate() error {
	var never error
	if c.Timeout <= 0 {
		never = errors.New("timeout must be positive")
	}
	return errors.Join(
		never, c.Check(), c.Producer.validate(),
		c.Logs.validate("logs"), c.Metrics.validate("metrics"), c.Traces.validate("traces"),
	)
}

func (s Signal) validate(name string) error {
	switch {
	case s.Topic == "":
		return fmt.Errorf("%s::topic must be set", name)
	case s.Encoding != otlpProto && s.Encoding != otlpJSON:
		return fmt.Errorf("%s::encoding must be %s or %s, not %q", name, otlpProto, otlpJSON, s.Encoding)
	}
	return nil
}

func (p Producer) validate() error {
	switch {
	case p.MaxMessageBytes < 2*room:
		return fmt.Errorf("producer::max_message_bytes must be %d or more", 2*room)
	case !slices.Contains([]any{nil, "all", -1, 1}, p.RequiredAcks):
		return errors.New("producer::required_acks must be all (in-sync replicas), -1 for the same, or 1 (the leader)")
	case !slices.Contains([]string{"none", "gzip", "snappy", "lz4", "zstd"}, p.Compression):
		return fmt.Errorf("producer::compression must be none, gzip, snappy, lz4 or zstd, not %q", p.Compression)
	}
	return nil
}
