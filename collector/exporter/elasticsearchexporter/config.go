package elasticsearchexporter

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/config/configcompression"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/keyless-id/keyless/collector/internal/deadletter"
	"github.com/keyless-id/keyless/collector/internal/lossless"
	"github.com/keyless-id/keyless/collector/internal/strict"
	"github.com/keyless-id/keyless/transport"
)

// Config is the configuration of the exporter.
type Config struct {
	ClientConfig confighttp.ClientConfig                                  `mapstructure:",squash"` // named: embedded, its Unmarshal would be ours
	QueueConfig  configoptional.Optional[exporterhelper.QueueBatchConfig] `mapstructure:"sending_queue"`
	RetryConfig  configretry.BackOffConfig                                `mapstructure:"retry_on_failure"`

	// At most one of: an API key, as Kibana shows it or as ID:KEY, and a user with a
	// password. Files are read for every request, so that they can be replaced.
	APIKey       configopaque.String `mapstructure:"api_key"`
	APIKeyFile   string              `mapstructure:"api_key_file"`
	User         string              `mapstructure:"user"`
	Password     configopaque.String `mapstructure:"password"`
	PasswordFile string              `mapstructure:"password_file"`

	Mapping    Mapping          `mapstructure:"mapping"`
	Index      string           `mapstructure:"index"` // instead of a data stream
	DataStream DataStreamConfig `mapstructure:"data_stream"`
	Setup      SetupConfig      `mapstructure:"setup"`

	// MaxRequestBytes is the size of a request before compression. What an engine refuses
	// with 413 is halved.
	MaxRequestBytes int               `mapstructure:"max_request_bytes"`
	DeadLetter      deadletter.Config `mapstructure:"dead_letter"`
}

// Mapping is the shape of documents.
type Mapping string

// The shapes: that of Metricbeat's module aws, that of the integration aws of Elastic Agent,
// and that of OpenTelemetry in Elasticsearch.
const (
	Metricbeat   Mapping = "metricbeat"
	ElasticAgent Mapping = "elastic_agent"
	OTel         Mapping = "otel"
)

// DataStreamConfig names the data stream TYPE-DATASET-NAMESPACE ("An introduction to the
// Elastic data stream naming scheme").
type DataStreamConfig struct {
	Dataset   string `mapstructure:"dataset"` // empty: that of what is written, such as aws.ec2_metrics
	Namespace string `mapstructure:"namespace"`
	// TimeSeries says that the data stream of metrics has the index mode time_series: no ids
	// are sent then. It follows from Setup if that is tsds.
	TimeSeries bool `mapstructure:"time_series"`
}

// SetupConfig says what is put into the engine before the first document.
type SetupConfig struct {
	Templates string `mapstructure:"templates"` // none, tsds or plain
}

var _ confmap.Unmarshaler = (*Config)(nil)

const (
	defaultRequestBytes = 5 << 20 // of the 5 to 15 MB that "Tune for indexing speed" begins with
	leastRequestBytes   = 4 << 10
)

func createDefaultConfig() *Config {
	client := confighttp.NewDefaultClientConfig()
	client.Timeout = 60 * time.Second // of one request
	client.Compression = configcompression.TypeGzip
	return &Config{
		ClientConfig:    client,
		QueueConfig:     configoptional.Some(lossless.ByteQueue(defaultRequestBytes/2, defaultRequestBytes)),
		RetryConfig:     lossless.Retry(),
		Mapping:         ElasticAgent,
		DataStream:      DataStreamConfig{Namespace: "default"},
		Setup:           SetupConfig{Templates: "none"},
		MaxRequestBytes: defaultRequestBytes,
		DeadLetter:      deadletter.Config{MaxBytes: 100 << 20, MaxFiles: 3},
	}
}

// Unmarshal refuses unknown keys, which a client's configuration among the fields would let
// pass.
func (c *Config) Unmarshal(conf *confmap.Conf) error {
	if err := conf.Unmarshal(c); err != nil {
		return err
	}
	return strict.Keys[Config](conf)
}

// Validate looks at the configuration only, at no file and no network.
func (c *Config) Validate() error {
	return errors.Join(c.checkEndpoint(), c.checkCredentials(), c.checkTarget(), c.checkSetup(), c.checkLimits())
}

func (c *Config) checkEndpoint() error {
	at, err := url.Parse(c.ClientConfig.Endpoint)
	switch {
	case c.ClientConfig.Endpoint == "":
		return errors.New("`endpoint` must be the address of Elasticsearch")
	case err != nil || at.Host == "" || at.Scheme != "https" && at.Scheme != "http" || at.RawQuery != "" || at.Fragment != "":
		return errors.New("`endpoint` must be an address like https://elastic.example:9200")
	case at.User != nil:
		return errors.New("`endpoint` must have no credentials: see `api_key_file` and `password_file`")
	case at.Scheme == "http" && c.hasCredentials() && !transport.Loopback(at):
		return errors.New("`endpoint` must begin with https://, or the credentials could be read on the way")
	}
	return nil
}

func (c *Config) hasCredentials() bool {
	return c.APIKey != "" || c.APIKeyFile != "" || c.User != "" || c.ClientConfig.Auth.HasValue()
}

func (c *Config) checkCredentials() error {
	given := 0
	for _, one := range []bool{c.APIKey != "", c.APIKeyFile != "", c.User != "", c.ClientConfig.Auth.HasValue()} {
		if one {
			given++
		}
	}
	hasPassword := c.Password != "" || c.PasswordFile != ""
	switch {
	case given > 1:
		return errors.New("of `auth`, `api_key`, `api_key_file` and `user` there can be one only")
	case hasPassword != (c.User != ""), c.Password != "" && c.PasswordFile != "":
		return errors.New("`user` goes with one of `password` and `password_file`")
	}
	return nil
}

func (c *Config) checkTarget() error {
	for _, part := range []string{c.DataStream.Dataset, c.DataStream.Namespace} {
		if !isStreamPart(part) {
			return fmt.Errorf("`data_stream`: %q must be lower case, printable and at most 100 characters, without - and %s", part, forbidden)
		}
	}
	switch {
	case !slices.Contains([]Mapping{Metricbeat, ElasticAgent, OTel}, c.Mapping):
		return fmt.Errorf("`mapping` must be metricbeat, elastic_agent or otel, not %q", c.Mapping)
	case c.DataStream.Namespace == "":
		return errors.New("`data_stream` must have a `namespace`")
	case c.Index != "" && (c.DataStream.Dataset != "" || c.timeSeries()):
		return errors.New("`index` does not go with `data_stream`")
	case !isIndexPart(c.Index):
		return fmt.Errorf("`index` must be lower case and printable, without %s", forbidden)
	}
	return nil
}

// forbidden cannot be in the names of indices ("Create index API").
const forbidden = "\\/*?\"<>| ,#:"

func isStreamPart(text string) bool {
	return len(text) <= 100 && !strings.Contains(text, "-") && isIndexPart(text)
}

func isIndexPart(text string) bool {
	return text == strings.ToLower(text) && !strings.ContainsAny(text, forbidden) && isPlain(text)
}

func (c *Config) checkSetup() error {
	switch {
	case !slices.Contains([]string{"none", "tsds", "plain"}, c.Setup.Templates):
		return fmt.Errorf("`setup` must have `templates` none, tsds or plain, not %q", c.Setup.Templates)
	case c.Setup.Templates == "plain" && c.DataStream.TimeSeries:
		return errors.New("`setup` would make plain data streams, but `data_stream` says `time_series`")
	case c.Setup.Templates != "none" && c.Index != "":
		return errors.New("`setup` makes templates of data streams, and not of an `index`")
	case c.Setup.Templates == "tsds" && c.Mapping == OTel:
		return errors.New("`setup`: Elasticsearch brings templates for the mapping otel along; set `templates` to none")
	}
	return nil
}

// timeSeries reports whether the data streams of metrics are of time series.
func (c *Config) timeSeries() bool { return c.DataStream.TimeSeries || c.Setup.Templates == "tsds" }

func (c *Config) checkLimits() error {
	if c.MaxRequestBytes < leastRequestBytes {
		return fmt.Errorf("`max_request_bytes` must be at least %d", leastRequestBytes)
	}
	return c.DeadLetter.Validate()
}
