package azurelogsingestionexporter

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configauth"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"

	"github.com/keyless-id/keyless/collector/exporter/azurelogsingestionexporter/internal/metadata"
)

func TestTheFileHasEveryOption(t *testing.T) {
	file, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	storage := component.MustNewID("file_storage")
	for name, change := range map[string]func(c *Config){
		"": func(c *Config) {
			c.ClientConfig.Auth = configoptional.Some(configauth.Config{AuthenticatorID: component.MustNewID("keyless")})
		},
		"all": func(c *Config) {
			c.ClientConfig.Endpoint, c.Cloud, c.AllowEndpoint = "https://dce.example.org", "china", true
			c.ClientConfig.Timeout = 30 * time.Second
			c.APIVersion = "2021-11-01-preview"
			c.DCRFrom, c.StreamFrom = "azure.dcr", "azure.stream"
			c.MaxRequestBytes, c.MaxRawBytes, c.GzipLevel, c.MaxInFlight = 1_000_000, 20_000_000, 6, 4
			c.Body = BodyConfig{Column: "Message", JSON: true}
			c.Columns.Keep, c.Columns.Drop = []string{"Message", "a", "b"}, []string{"b"}
			c.Columns.Rename = map[string]string{"a": "A"}
			c.Columns.Attributes.Prefix, c.Columns.Scope, c.Columns.Resource = "x_", SourceConfig{Prefix: "s_"}, SourceConfig{Enabled: true, Prefix: "r_"}
			c.Time = TimeConfig{Column: "EventTime", OriginalColumn: ""}
			c.RowIDColumn = "RowId"
			c.DeadLetter = DeadLetterConfig{Path: "/var/lib/otelcol/dead.json", MaxBytes: 1_000_000, MaxFiles: 1}
			c.RetryConfig.MaxInterval = time.Minute
			c.QueueConfig.Get().StorageID = &storage
			c.QueueConfig.Get().QueueSize = 1_000_000_000
			c.QueueConfig.Get().NumConsumers = 32
			c.QueueConfig.Get().Batch.Get().FlushTimeout = 5 * time.Second
		},
	} {
		t.Run(name, func(t *testing.T) {
			sub, err := file.Sub(component.NewIDWithName(metadata.Type, name).String())
			if err != nil {
				t.Fatal(err)
			}
			got := NewFactory().CreateDefaultConfig()
			if err := sub.Unmarshal(got); err != nil {
				t.Fatal(err)
			}
			if err := confmap.Validate(got); err != nil {
				t.Error(err)
			}
			want := testConfig(change)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestAConfigurationThatCannotWorkIsRefused(t *testing.T) {
	for name, row := range map[string]struct {
		change func(c *Config)
		want   string
	}{
		"no endpoint":            {func(c *Config) { c.ClientConfig.Endpoint = "" }, "endpoint"},
		"another host":           {func(c *Config) { c.ClientConfig.Endpoint = "https://dce.example.org" }, "allow_endpoint"},
		"a host that looks like": {func(c *Config) { c.ClientConfig.Endpoint = "https://ingest.monitor.azure.com.example.org" }, "allow_endpoint"},
		"no TLS":                 {func(c *Config) { c.ClientConfig.Endpoint = "http://x.ingest.monitor.azure.com" }, "allow_endpoint"},
		"another cloud":          {func(c *Config) { c.Cloud = "china" }, "allow_endpoint"},
		"no cloud":               {func(c *Config) { c.Cloud = "moon" }, "cloud"},
		"a query":                {func(c *Config) { c.ClientConfig.Endpoint += "?x=y" }, "endpoint"},
		"a password":             {func(c *Config) { c.ClientConfig.Endpoint = "https://u:secret@x.ingest.monitor.azure.com" }, "endpoint"},
		"compression":            {func(c *Config) { c.ClientConfig.Compression = "gzip" }, "compression"},
		"no rule":                {func(c *Config) { c.DCR = "dcr-1" }, "dcr"},
		"a rule by name":         {func(c *Config) { c.DCR = "my-rule" }, "dcr"},
		"no stream":              {func(c *Config) { c.Stream = "" }, "stream"},
		"a table":                {func(c *Config) { c.Stream = "X_CL" }, "stream"},
		"a path":                 {func(c *Config) { c.Stream = "Custom-../x" }, "stream"},
		"no version":             {func(c *Config) { c.APIVersion = "" }, "api_version"},
		"small requests":         {func(c *Config) { c.MaxRequestBytes = 100 }, "max_request_bytes"},
		"small raw requests":     {func(c *Config) { c.MaxRawBytes = 100 }, "max_raw_bytes"},
		"no level":               {func(c *Config) { c.GzipLevel = 10 }, "gzip_level"},
		"no requests":            {func(c *Config) { c.MaxInFlight = 0 }, "max_in_flight"},
		"a reserved column":      {func(c *Config) { c.Body.Column = "Title" }, "Title"},
		"a bad column":           {func(c *Config) { c.Columns.Rename = map[string]string{"a": "b.c"} }, "b.c"},
		"a long column":          {func(c *Config) { c.RowIDColumn = strings.Repeat("x", 46) }, "column"},
		"one column for two":     {func(c *Config) { c.RowIDColumn = "TimeGenerated" }, "row_id_column"},
		"no dead letters":        {func(c *Config) { c.DeadLetter = DeadLetterConfig{Path: "x"} }, "dead_letter"},
	} {
		t.Run(name, func(t *testing.T) {
			err := testConfig(row.change).Validate()
			if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v, want something about %s", err, row.want)
			}
		})
	}
	for cloud, host := range map[string]string{"public": "com", "usgovernment": "us", "china": "cn"} {
		config := testConfig(func(c *Config) {
			c.Cloud, c.ClientConfig.Endpoint = cloud, "https://DCE.x-1.ingest.monitor.azure."+host+"/"
		})
		if err := config.Validate(); err != nil {
			t.Errorf("%s: %v", cloud, err)
		}
	}
}
