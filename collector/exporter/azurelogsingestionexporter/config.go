package azurelogsingestionexporter

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/klauspost/compress/flate"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/keyless-id/keyless/collector/internal/deadletter"
	"github.com/keyless-id/keyless/collector/internal/lossless"
)

// Config is the configuration of the exporter. The endpoint is that of a data collection
// endpoint, or the logsIngestion endpoint of a data collection rule.
type Config struct {
	ClientConfig confighttp.ClientConfig                                  `mapstructure:",squash"` // named: embedded, its Unmarshal would be ours
	QueueConfig  configoptional.Optional[exporterhelper.QueueBatchConfig] `mapstructure:"sending_queue"`
	RetryConfig  configretry.BackOffConfig                                `mapstructure:"retry_on_failure"`

	// Cloud is public, usgovernment or china. A token goes to hosts of that cloud only,
	// unless AllowEndpoint is set: for a sandbox, or a proxy of one's own.
	Cloud         string `mapstructure:"cloud"`
	AllowEndpoint bool   `mapstructure:"allow_endpoint"`
	APIVersion    string `mapstructure:"api_version"`

	// DCR is the immutable id of the data collection rule, and Stream a stream of it. An
	// attribute of the record, or else of its resource, comes first if there is one.
	DCR        string `mapstructure:"dcr"`
	DCRFrom    string `mapstructure:"dcr_from"`
	Stream     string `mapstructure:"stream"`
	StreamFrom string `mapstructure:"stream_from"`

	MaxRequestBytes int `mapstructure:"max_request_bytes"` // as sent
	MaxRawBytes     int `mapstructure:"max_raw_bytes"`     // before compression
	GzipLevel       int `mapstructure:"gzip_level"`        // 1 to 9
	MaxInFlight     int `mapstructure:"max_in_flight"`     // requests to one data collection rule

	Body    BodyConfig    `mapstructure:"body"`
	Columns ColumnsConfig `mapstructure:"columns"`
	Time    TimeConfig    `mapstructure:"time"`

	// RowIDColumn, if set, gets a hash of the row that is the same however often the row
	// is sent.
	RowIDColumn string           `mapstructure:"row_id_column"`
	DeadLetter  DeadLetterConfig `mapstructure:"dead_letter"`
}

// BodyConfig says what becomes of the body of a record.
type BodyConfig struct {
	Column string `mapstructure:"column"` // of a body that is no map
	JSON   bool   `mapstructure:"json"`   // a text that is a JSON object is taken for a map
}

// ColumnsConfig says which columns a row has. Names are those before they are renamed.
type ColumnsConfig struct {
	Keep       []string          `mapstructure:"keep"` // empty: all
	Drop       []string          `mapstructure:"drop"`
	Rename     map[string]string `mapstructure:"rename"`
	Attributes SourceConfig      `mapstructure:"attributes"`
	Scope      SourceConfig      `mapstructure:"scope"`
	Resource   SourceConfig      `mapstructure:"resource"`
}

// SourceConfig is one kind of attributes.
type SourceConfig struct {
	Enabled bool   `mapstructure:"enabled"`
	Prefix  string `mapstructure:"prefix"`
}

// TimeConfig names the columns for the time of a record. OriginalColumn is written only
// when Azure would replace the time.
type TimeConfig struct {
	Column         string `mapstructure:"column"`
	OriginalColumn string `mapstructure:"original_column"`
}

// DeadLetterConfig is the file for rows that can never be delivered.
type DeadLetterConfig = deadletter.Config

// The limits of the Logs Ingestion API ("Azure Monitor service limits"). That the first is
// one of the wire is what its refusals say; the second is unverified.
const (
	serviceRequestBytes = 1 << 20
	serviceRawBytes     = 50 << 20
	leastRequestBytes   = 4 << 10
)

func createDefaultConfig() *Config {
	return &Config{
		ClientConfig:    defaultClient(),
		QueueConfig:     configoptional.Some(defaultQueue()),
		RetryConfig:     lossless.Retry(),
		Cloud:           "public",
		APIVersion:      "2023-01-01",
		MaxRequestBytes: serviceRequestBytes,
		MaxRawBytes:     serviceRawBytes,
		GzipLevel:       2,
		MaxInFlight:     8,
		Body:            BodyConfig{Column: "RawData"},
		Columns: ColumnsConfig{
			Attributes: SourceConfig{Enabled: true},
			Scope:      SourceConfig{Enabled: true, Prefix: "scope_"},
			Resource:   SourceConfig{Enabled: true, Prefix: "resource_"},
		},
		Time:       TimeConfig{Column: "TimeGenerated", OriginalColumn: "OriginalTime"},
		DeadLetter: DeadLetterConfig{MaxBytes: 100 << 20, MaxFiles: 3},
	}
}

func defaultClient() confighttp.ClientConfig {
	client := confighttp.NewDefaultClientConfig()
	client.Timeout = 60 * time.Second
	return client
}

// defaultQueue has many consumers because one that waits for a rule that is throttled is not
// there for the others. The least size of a batch is never reached: a batch is closed when the
// next row does not fit.
func defaultQueue() exporterhelper.QueueBatchConfig {
	queue := lossless.ByteQueue(serviceRequestBytes, serviceRequestBytes)
	queue.NumConsumers = 64
	return queue
}

// Validate looks at the configuration only, at no file and no network.
func (c *Config) Validate() error {
	return errors.Join(c.checkEndpoint(), c.checkDestination(), c.checkLimits(), c.checkColumns(), c.DeadLetter.Validate())
}

func cloudSuffix(cloud string) string {
	switch cloud {
	case "public":
		return ".ingest.monitor.azure.com"
	case "usgovernment":
		return ".ingest.monitor.azure.us"
	case "china":
		return ".ingest.monitor.azure.cn"
	}
	return ""
}

func (c *Config) checkEndpoint() error {
	suffix := cloudSuffix(c.Cloud)
	if suffix == "" {
		return fmt.Errorf("`cloud` must be public, usgovernment or china, not %q", c.Cloud)
	}
	at, err := url.Parse(c.ClientConfig.Endpoint)
	switch {
	case c.ClientConfig.Endpoint == "":
		return errors.New("`endpoint` must be that of a data collection endpoint or rule")
	case err != nil || at.Host == "" || at.RawQuery != "" || at.Fragment != "" || at.User != nil:
		return errors.New("`endpoint` must be an address like https://NAME.REGION-1.ingest.monitor.azure.com")
	case at.Scheme != "https" && at.Scheme != "http":
		return errors.New("`endpoint` must begin with https://")
	case c.ClientConfig.Compression.IsCompressed():
		return errors.New("`compression` must not be set: requests are gzip already, see `gzip_level`")
	case c.AllowEndpoint:
		return nil
	case at.Scheme != "https" || !strings.HasSuffix(strings.ToLower(at.Hostname()), suffix):
		return fmt.Errorf("`endpoint` must be an https address below %s in the cloud %q; set `allow_endpoint` to send tokens to another host", suffix, c.Cloud)
	}
	return nil
}

func (c *Config) checkDestination() error {
	switch {
	case !isRule(c.DCR):
		return errors.New("`dcr` must be the immutable id of a data collection rule: dcr- and 32 hexadecimal digits")
	case !isStream(c.Stream):
		return errors.New("`stream` must begin with Custom- or Microsoft-, and go on with letters, digits, _ and -")
	case c.APIVersion == "":
		return errors.New("`api_version` must not be empty")
	}
	return nil
}

func (c *Config) checkLimits() error {
	switch {
	case c.MaxRequestBytes < leastRequestBytes:
		return fmt.Errorf("`max_request_bytes` must be at least %d", leastRequestBytes)
	case c.MaxRawBytes < c.MaxRequestBytes:
		return errors.New("`max_raw_bytes` must not be less than `max_request_bytes`")
	case c.GzipLevel < flate.BestSpeed || c.GzipLevel > flate.BestCompression:
		return errors.New("`gzip_level` must be from 1 to 9")
	case c.MaxInFlight < 1:
		return errors.New("`max_in_flight` must be positive")
	}
	return nil
}

// checkColumns refuses the names that are written down; those of attributes are mended.
func (c *Config) checkColumns() error {
	names := []string{c.Time.Column, c.Body.Column}
	for _, name := range []string{c.Time.OriginalColumn, c.RowIDColumn} {
		if name != "" {
			names = append(names, name)
		}
	}
	for _, to := range c.Columns.Rename {
		names = append(names, to)
	}
	for _, name := range names {
		if !isColumn(name) {
			return fmt.Errorf("no table takes a column %q: a letter, then at most 44 letters, digits and _, and no name that Azure keeps for itself", name)
		}
	}
	if c.Time.Column == c.Time.OriginalColumn || c.Time.Column == c.RowIDColumn || c.RowIDColumn != "" && c.RowIDColumn == c.Time.OriginalColumn {
		return errors.New("`time` and `row_id_column` must name different columns")
	}
	return nil
}
