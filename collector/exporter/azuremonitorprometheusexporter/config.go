package azuremonitorprometheusexporter

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/resourcetotelemetry"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/keyless-id/keyless/authproxy"
	"github.com/keyless-id/keyless/collector/internal/deadletter"
	"github.com/keyless-id/keyless/collector/internal/lossless"
	"github.com/keyless-id/keyless/collector/internal/strict"
	"github.com/keyless-id/keyless/transport"
)

// Config says where the metrics go, and in which form. The keys that contrib's
// prometheus_remote_write has are called as there.
type Config struct {
	ClientConfig confighttp.ClientConfig `mapstructure:",squash"` // named: its Unmarshal must not become this type's

	// DCR is the immutable id of the data collection rule of an Azure Monitor workspace,
	// whose metrics ingestion endpoint Endpoint then is. Without it Endpoint is the whole
	// address.
	DCR string `mapstructure:"dcr"`

	Queue   configoptional.Optional[exporterhelper.QueueBatchConfig] `mapstructure:"sending_queue"`
	BackOff configretry.BackOffConfig                                `mapstructure:"retry_on_failure"`

	Namespace           string                       `mapstructure:"namespace"`
	ExternalLabels      map[string]string            `mapstructure:"external_labels"`
	ResourceToTelemetry resourcetotelemetry.Settings `mapstructure:"resource_to_telemetry_conversion"`
	AddMetricSuffixes   bool                         `mapstructure:"add_metric_suffixes"`
	SendMetadata        bool                         `mapstructure:"send_metadata"`
	TargetInfo          TargetInfo                   `mapstructure:"target_info"`
	DisableScopeInfo    bool                         `mapstructure:"disable_scope_info"`

	// MaxBatchSizeBytes is how large a request may be, before it is compressed.
	MaxBatchSizeBytes int `mapstructure:"max_batch_size_bytes"`

	DeadLetter deadletter.Config `mapstructure:"dead_letter"`
}

// TargetInfo is the metric that has the attributes of the resource.
type TargetInfo struct {
	Enabled bool `mapstructure:"enabled"`
}

var (
	_ component.Config    = (*Config)(nil)
	_ confmap.Unmarshaler = (*Config)(nil)
	_ confmap.Validator   = (*Config)(nil)
)

const (
	// defaultMaxBatch is the least of the limits that receivers are known to have, which is
	// Amazon's 1 MB. It is held before compression, and so whichever size a receiver means.
	defaultMaxBatch = 1_000_000
	minMaxBatch     = 1 << 10

	// apiVersion is that of the remote write of Azure Monitor.
	apiVersion = "2023-04-24"
)

func createDefaultConfig() component.Config {
	client := confighttp.NewDefaultClientConfig()
	client.Timeout = 30 * time.Second // of one try
	return &Config{
		ClientConfig:      client,
		Queue:             configoptional.Some(lossless.Queue(defaultBatch())), // the samples of a series must come in order
		BackOff:           lossless.Retry(),
		ExternalLabels:    map[string]string{},
		AddMetricSuffixes: true,
		TargetInfo:        TargetInfo{Enabled: true},
		MaxBatchSizeBytes: defaultMaxBatch,
		DeadLetter:        deadletter.Config{MaxBytes: 100 << 20, MaxFiles: 3},
	}
}

func defaultBatch() exporterhelper.BatchConfig {
	return exporterhelper.BatchConfig{FlushTimeout: time.Second, Sizer: exporterhelper.RequestSizerTypeItems, MinSize: 2000, MaxSize: 10_000}
}

// Unmarshal refuses unknown keys, which a client's configuration among the fields would let
// pass.
func (c *Config) Unmarshal(conf *confmap.Conf) error {
	if err := conf.Unmarshal(c); err != nil {
		return err
	}
	return strict.Keys[Config](conf)
}

// Validate looks at nothing but the configuration.
func (c *Config) Validate() error {
	if _, err := c.address(); err != nil {
		return err
	}
	for name, value := range c.ExternalLabels {
		if !isLabelName(name) || value == "" {
			return fmt.Errorf("external_labels: %q: want a name of letters, digits and _, and a value", name)
		}
	}
	switch {
	case c.MaxBatchSizeBytes < minMaxBatch:
		return fmt.Errorf("max_batch_size_bytes: %d is less than %d", c.MaxBatchSizeBytes, minMaxBatch)
	case c.ClientConfig.Compression != "" && c.ClientConfig.Compression != "none" && c.ClientConfig.Compression != "snappy":
		return errors.New("compression: remote write is compressed with snappy, and with nothing else")
	}
	return errors.Join(c.batching(), c.DeadLetter.Validate(), c.ResourceToTelemetry.Validate())
}

func (c *Config) batching() error {
	queue := c.Queue.Get()
	if queue == nil || !queue.Batch.HasValue() {
		return nil
	}
	if queue.Batch.Get().Sizer == exporterhelper.RequestSizerTypeRequests {
		return errors.New("sending_queue: batch: sizer must be items (samples) or bytes")
	}
	return nil
}

// address is where requests go.
func (c *Config) address() (*url.URL, error) {
	u, err := url.Parse(c.ClientConfig.Endpoint)
	switch {
	case c.ClientConfig.Endpoint == "":
		return nil, errors.New("endpoint is missing: the metrics ingestion endpoint of the workspace and dcr, or the whole address of remote write")
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("endpoint: want an https address")
	case u.User != nil:
		return nil, errors.New("endpoint: credentials belong into auth, not into addresses")
	case c.DCR == "":
		return u, known(u)
	case !isDCR(c.DCR):
		return nil, fmt.Errorf("dcr: %q is no immutable id: it looks like dcr-00000000000000000000000000000000, and stands in the JSON view of the rule", c.DCR)
	case u.Path != "" && u.Path != "/" || u.RawQuery != "":
		return nil, errors.New("endpoint: with dcr it is the metrics ingestion endpoint alone, without a path")
	}
	u.Path = "/dataCollectionRules/" + c.DCR + "/streams/Microsoft-PrometheusMetrics/api/v1/write"
	u.RawQuery = "api-version=" + apiVersion
	return u, nil
}

// known finds what is wrong with the path at the hosts of which that is known.
func known(u *url.URL) error {
	if transport.Loopback(u) {
		return nil
	}
	for _, name := range []string{"azure-monitor-workspace", "amazon-managed-prometheus"} {
		preset, _ := authproxy.PresetNamed(name)
		if service, _ := preset.SigV4(u); service == "" && preset.Scope(u) == "" {
			continue // another's host
		}
		if err := preset.Check(u, "/"+name); err != nil {
			return fmt.Errorf("endpoint: %w", err)
		}
	}
	return nil
}

func isDCR(id string) bool {
	digits, found := strings.CutPrefix(id, "dcr-")
	return found && len(digits) == 32 && strings.Trim(digits, "0123456789abcdef") == ""
}

func isLabelName(name string) bool {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
	return name != "" && strings.Trim(name, letters+"0123456789") == "" && strings.ContainsRune(letters, rune(name[0]))
}
