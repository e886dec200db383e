package kafkareceiver

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/collector/component"

	"github.com/keyless-id/keyless/collector/internal/kafkaclient"
)

// Encoding is how the value of a record is written.
type Encoding string

const (
	// EncodingOTLPProto is OTLP as Protobuf.
	EncodingOTLPProto Encoding = "otlp_proto"
	// EncodingOTLPJSON is OTLP as JSON.
	EncodingOTLPJSON Encoding = "otlp_json"
	// EncodingJSON is one JSON object, which becomes the body of a log record.
	EncodingJSON Encoding = "json"
	// EncodingText is the body of a log record.
	EncodingText Encoding = "text"
)

// Refusal says what is done with a record that nobody can decode, or that the pipeline
// refuses for good.
type Refusal string

const (
	// RefusalStop leaves it where it is. Its partition waits until somebody does something.
	RefusalStop Refusal = "stop"
	// RefusalDeadLetter writes it to another topic.
	RefusalDeadLetter Refusal = "dead_letter"
	// RefusalSkip goes on with the next one; the record is lost to the pipeline.
	RefusalSkip Refusal = "skip"
)

// Config has the names of contrib's Kafka receiver where it has the same settings.
type Config struct {
	kafkaclient.Config `mapstructure:",squash"`

	GroupID string `mapstructure:"group_id"`
	// GroupInstanceID keeps the partitions of a member that starts anew within SessionTimeout.
	GroupInstanceID string `mapstructure:"group_instance_id"`
	// InitialOffset is where a group begins that has committed nothing: earliest or latest.
	InitialOffset string `mapstructure:"initial_offset"`
	// SessionTimeout is after how long without a sign of life a member's partitions go to others.
	SessionTimeout time.Duration `mapstructure:"session_timeout"`

	// MinFetchSize, MaxFetchSize and MaxPartitionFetchSize are bytes of one answer of a broker.
	MinFetchSize          int32         `mapstructure:"min_fetch_size"`
	MaxFetchSize          int32         `mapstructure:"max_fetch_size"`
	MaxPartitionFetchSize int32         `mapstructure:"max_partition_fetch_size"`
	MaxFetchWait          time.Duration `mapstructure:"max_fetch_wait"`

	Logs    Topics `mapstructure:"logs"`
	Metrics Topics `mapstructure:"metrics"`
	Traces  Topics `mapstructure:"traces"`

	// ErrorBackOff is between deliveries that the pipeline could not take. There is no last one.
	ErrorBackOff BackOff `mapstructure:"error_backoff"`
	// OnPermanentError is stop, dead_letter or skip.
	OnPermanentError Refusal `mapstructure:"on_permanent_error"`
	DeadLetterTopic  string  `mapstructure:"dead_letter_topic"`
}

// Topics are those of one signal.
type Topics struct {
	Topics   []string `mapstructure:"topics"`
	Encoding Encoding `mapstructure:"encoding"`
}

// BackOff is a wait that doubles.
type BackOff struct {
	InitialInterval time.Duration `mapstructure:"initial_interval"`
	MaxInterval     time.Duration `mapstructure:"max_interval"`
}

func createDefaultConfig() component.Config {
	return &Config{
		Config:  kafkaclient.Default(),
		GroupID: "otel-collector",
		// Contrib begins at the latest: what was written before the first start is never read.
		InitialOffset:         "earliest",
		SessionTimeout:        45 * time.Second,
		MinFetchSize:          1,
		MaxFetchSize:          16 << 20,
		MaxPartitionFetchSize: 1 << 20,
		MaxFetchWait:          250 * time.Millisecond,
		Logs:                  Topics{Topics: []string{"otlp_logs"}, Encoding: EncodingOTLPProto},
		Metrics:               Topics{Topics: []string{"otlp_metrics"}, Encoding: EncodingOTLPProto},
		Traces:                Topics{Topics: []string{"otlp_spans"}, Encoding: EncodingOTLPProto},
		ErrorBackOff:          BackOff{InitialInterval: time.Second, MaxInterval: 30 * time.Second},
		OnPermanentError:      RefusalStop,
	}
}

// Validate reports what cannot work, all of it.
func (c *Config) Validate() error {
	return errors.Join(c.validateGroup(), c.validateSizes(), c.validateTopics(), c.validateRefusal(), c.Check())
}

func (c *Config) validateGroup() error {
	var all []error
	if c.GroupID == "" {
		all = append(all, errors.New("group_id must be set"))
	}
	if c.InitialOffset != "earliest" && c.InitialOffset != "latest" {
		all = append(all, fmt.Errorf("initial_offset must be earliest or latest, not %q", c.InitialOffset))
	}
	if c.SessionTimeout < time.Second {
		all = append(all, errors.New("session_timeout must be a second or more"))
	}
	if c.ErrorBackOff.InitialInterval <= 0 || c.ErrorBackOff.MaxInterval < c.ErrorBackOff.InitialInterval {
		all = append(all, errors.New("error_backoff: initial_interval must be positive, and not more than max_interval"))
	}
	return errors.Join(all...)
}

// largestFetch is what the client library reads of a broker's answer.
const largestFetch = 100 << 20

func (c *Config) validateSizes() error {
	var all []error
	if c.MinFetchSize < 1 || c.MaxFetchSize < c.MinFetchSize || c.MaxFetchSize > largestFetch {
		all = append(all, fmt.Errorf("max_fetch_size must be between min_fetch_size and %d, and that be 1 or more", largestFetch))
	}
	if c.MaxPartitionFetchSize < 1 || c.MaxPartitionFetchSize > c.MaxFetchSize {
		all = append(all, errors.New("max_partition_fetch_size must be positive, and not more than max_fetch_size"))
	}
	if c.MaxFetchWait <= 0 {
		all = append(all, errors.New("max_fetch_wait must be positive"))
	}
	return errors.Join(all...)
}

func (c *Config) validateTopics() error {
	otlp := []Encoding{EncodingOTLPProto, EncodingOTLPJSON}
	return errors.Join(
		c.Logs.validate("logs", append(otlp, EncodingJSON, EncodingText)),
		c.Metrics.validate("metrics", otlp),
		c.Traces.validate("traces", otlp),
	)
}

func (t Topics) validate(name string, known []Encoding) error {
	if len(t.Topics) == 0 || slices.Contains(t.Topics, "") {
		return fmt.Errorf("%s::topics must be set", name)
	}
	if !slices.Contains(known, t.Encoding) {
		return fmt.Errorf("%s::encoding must be one of %v, not %q", name, known, t.Encoding)
	}
	return nil
}

func (c *Config) validateRefusal() error {
	switch c.OnPermanentError {
	case RefusalStop, RefusalSkip, RefusalDeadLetter:
	default:
		return fmt.Errorf("on_permanent_error must be stop, dead_letter or skip, not %q", c.OnPermanentError)
	}
	if (c.OnPermanentError == RefusalDeadLetter) != (c.DeadLetterTopic != "") {
		return errors.New("dead_letter_topic and on_permanent_error: dead_letter go together")
	}
	for _, topics := range []Topics{c.Logs, c.Metrics, c.Traces} {
		// Each record would come back, for ever.
		if c.DeadLetterTopic != "" && slices.Contains(topics.Topics, c.DeadLetterTopic) {
			return errors.New("dead_letter_topic must not be among the topics that are read")
		}
	}
	return nil
}
