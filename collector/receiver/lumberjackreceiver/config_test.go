package lumberjackreceiver

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confignet"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
)

// load reads an entry of testdata/config.yaml over the defaults.
func load(t *testing.T, id string) (*Config, error) {
	t.Helper()
	all, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	must(t, err)
	entry, err := all.Sub(id)
	must(t, err)
	config := createDefaultConfig()
	if err := entry.Unmarshal(config); err != nil {
		return nil, err
	}
	return config.(*Config), confmap.Validate(config)
}

func TestEveryOptionIsRead(t *testing.T) {
	got, err := load(t, "lumberjack/all")
	must(t, err)
	want := &Config{
		TCPAddrConfig: confignet.TCPAddrConfig{Endpoint: "0.0.0.0:5044"},
		TLS: configoptional.Some(configtls.ServerConfig{
			Config: configtls.Config{CertFile: "server.pem", KeyFile: "server.key"}, ClientCAFile: "senders.pem",
		}),
		Keepalive: time.Second, IdleTimeout: time.Minute, ReadTimeout: 10 * time.Second, RetryDelay: 2 * time.Second,
		MaxConnections: 10, MaxWindow: 4096, MaxWindowBytes: 64 << 20, MaxEventBytes: 1 << 20, MaxBatchBytes: 4 << 20, MaxMemoryBytes: 32 << 20,
		Body: BodyMessage, OnPermanentError: RefusalResend,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestTheDefaultsAreValid(t *testing.T) {
	got, err := load(t, "lumberjack")
	must(t, err)
	if want := createDefaultConfig(); !reflect.DeepEqual(component.Config(got), want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestWhatCannotWorkIsRefused(t *testing.T) {
	for id, want := range map[string]string{
		"body":     `body must be raw, map or message, not "xml"`,
		"refusal":  `on_permanent_error must be drop or resend, not "ignore"`,
		"endpoint": "endpoint must be set",
		"times":    "keepalive must be positive|idle_timeout must be positive|read_timeout must be positive|retry_delay must not be negative",
		"sizes":    "max_connections must be positive|max_window must be positive|max_batch_bytes must be positive",
		"window":   "max_window_bytes must not be less than max_event_bytes",
		"memory":   "max_memory_bytes must be at least 512 more than max_event_bytes",
		"key":      "TLS configuration must include both certificate and key",
	} {
		t.Run(id, func(t *testing.T) {
			_, err := load(t, "lumberjack/"+id)
			for part := range strings.SplitSeq(want, "|") {
				wantError(t, err, part)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}
