package lumberjackreceiver

import (
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confignet"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"
)

// Body says what becomes of an event.
type Body string

const (
	// BodyRaw keeps the JSON text of an event as the body.
	BodyRaw Body = "raw"
	// BodyMap makes the whole event the body, as a map.
	BodyMap Body = "map"
	// BodyMessage makes the field message the body and the other fields attributes.
	BodyMessage Body = "message"
)

// Refusal says what is done with events that the pipeline refuses for good.
type Refusal string

const (
	// RefusalDrop acknowledges them, with a line in the log and a counter: the pipeline says
	// that sending them again cannot help.
	RefusalDrop Refusal = "drop"
	// RefusalResend lets the sender send them until they are taken. One such event holds up
	// its sender until somebody changes the pipeline.
	RefusalResend Refusal = "resend"
)

// Config is how the receiver listens, what it takes and how much of it.
type Config struct {
	confignet.TCPAddrConfig `mapstructure:",squash"`

	// TLS, with a client CA when senders must show certificates. Without it the receiver
	// speaks plain TCP.
	TLS configoptional.Optional[configtls.ServerConfig] `mapstructure:"tls"`

	// Keepalive is how often a sender hears that its window is still being worked on.
	Keepalive time.Duration `mapstructure:"keepalive"`
	// IdleTimeout is how long a connection may be silent between windows.
	IdleTimeout time.Duration `mapstructure:"idle_timeout"`
	// ReadTimeout is how long one event may take to arrive, an acknowledgement to be written,
	// and a TLS handshake to be made.
	ReadTimeout time.Duration `mapstructure:"read_timeout"`
	// RetryDelay is how long a sender waits, its connection kept, before the connection is
	// closed for it to send again what the pipeline could not take.
	RetryDelay time.Duration `mapstructure:"retry_delay"`

	// MaxConnections are served at a time; one more is closed at once.
	MaxConnections int `mapstructure:"max_connections"`
	// MaxWindow is how many events a window may announce.
	MaxWindow uint32 `mapstructure:"max_window"`
	// MaxWindowBytes is how long the frames of a window may be, decompressed.
	MaxWindowBytes int64 `mapstructure:"max_window_bytes"`
	// MaxEventBytes is how long the JSON text of an event may be.
	MaxEventBytes int64 `mapstructure:"max_event_bytes"`
	// MaxBatchBytes is how much of a window is passed on at a time; each part is acknowledged.
	MaxBatchBytes int64 `mapstructure:"max_batch_bytes"`
	// MaxMemoryBytes is what the events of all connections may take together until they are
	// passed on. Connections then wait for each other.
	MaxMemoryBytes int64 `mapstructure:"max_memory_bytes"`

	// Body is raw, map or message.
	Body Body `mapstructure:"body"`
	// OnPermanentError is drop or resend.
	OnPermanentError Refusal `mapstructure:"on_permanent_error"`
}

func createDefaultConfig() component.Config {
	return &Config{
		TCPAddrConfig:    confignet.TCPAddrConfig{Endpoint: "localhost:5044"},
		Keepalive:        3 * time.Second, // half of what go-lumber's and Logstash's senders wait at the least
		IdleTimeout:      5 * time.Minute,
		ReadTimeout:      30 * time.Second,
		RetryDelay:       time.Second,
		MaxConnections:   1024,
		MaxWindow:        1 << 16,
		MaxWindowBytes:   256 << 20,
		MaxEventBytes:    10 << 20,
		MaxBatchBytes:    8 << 20,
		MaxMemoryBytes:   256 << 20,
		Body:             BodyRaw,
		OnPermanentError: RefusalDrop,
	}
}

// Validate reports what cannot work, all of it.
func (c *Config) Validate() error {
	return errors.Join(c.validateChoices(), c.validateTimes(), c.validateSizes())
}

func (c *Config) validateChoices() error {
	var all []error
	if c.Endpoint == "" {
		all = append(all, errors.New("endpoint must be set"))
	}
	switch c.Body {
	case BodyRaw, BodyMap, BodyMessage:
	default:
		all = append(all, fmt.Errorf("body must be raw, map or message, not %q", c.Body))
	}
	switch c.OnPermanentError {
	case RefusalDrop, RefusalResend:
	default:
		all = append(all, fmt.Errorf("on_permanent_error must be drop or resend, not %q", c.OnPermanentError))
	}
	return errors.Join(all...)
}

func (c *Config) validateTimes() error {
	var all []error
	for _, option := range []struct {
		name  string
		value time.Duration
	}{{"keepalive", c.Keepalive}, {"idle_timeout", c.IdleTimeout}, {"read_timeout", c.ReadTimeout}} {
		if option.value <= 0 {
			all = append(all, fmt.Errorf("%s must be positive", option.name))
		}
	}
	if c.RetryDelay < 0 {
		all = append(all, errors.New("retry_delay must not be negative"))
	}
	return errors.Join(all...)
}

func (c *Config) validateSizes() error {
	var all []error
	for _, option := range []struct {
		name  string
		value int64
	}{
		{"max_connections", int64(c.MaxConnections)},
		{"max_window", int64(c.MaxWindow)},
		{"max_event_bytes", c.MaxEventBytes},
		{"max_batch_bytes", c.MaxBatchBytes},
	} {
		if option.value <= 0 {
			all = append(all, fmt.Errorf("%s must be positive", option.name))
		}
	}
	if c.MaxWindowBytes < c.MaxEventBytes {
		all = append(all, errors.New("max_window_bytes must not be less than max_event_bytes"))
	}
	// One event must fit, or its connection would wait for ever.
	if c.MaxMemoryBytes < c.MaxEventBytes+eventOverhead {
		all = append(all, fmt.Errorf("max_memory_bytes must be at least %d more than max_event_bytes", eventOverhead))
	}
	return errors.Join(all...)
}
