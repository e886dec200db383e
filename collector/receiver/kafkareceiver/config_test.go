package kafkareceiver

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"

	"github.com/keyless-id/keyless/collector/internal/kafkaclient"
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
	got, err := load(t, "kafka/all")
	must(t, err)
	secure := configtls.NewDefaultClientConfig()
	secure.CAFile = "ca.pem"
	want := &Config{
		Config: kafkaclient.Config{
			Brokers: []string{"kafka-0:9093", "kafka-1:9093"}, ClientID: "gateway", TLS: configoptional.Some(secure),
			Auth: kafkaclient.Auth{SASL: configoptional.Some(kafkaclient.SASL{Mechanism: "SCRAM-SHA-512", Username: "gateway", Password: "secret"})},
		},
		GroupID: "gateways", GroupInstanceID: "gateway-0",
		InitialOffset: "latest", SessionTimeout: 30 * time.Second,
		MinFetchSize: 1024, MaxFetchSize: 8 << 20, MaxPartitionFetchSize: 2 << 20, MaxFetchWait: time.Second,
		Logs:             Topics{[]string{"a", "b"}, EncodingText},
		Metrics:          Topics{[]string{"c"}, EncodingOTLPJSON},
		Traces:           Topics{[]string{"d"}, EncodingOTLPJSON},
		ErrorBackOff:     BackOff{2 * time.Second, time.Minute},
		OnPermanentError: RefusalDeadLetter, DeadLetterTopic: "dead",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	shown := confmap.New()
	must(t, shown.Marshal(got))
	if text := fmt.Sprint(shown.ToStringMap()); strings.Contains(text, "secret") {
		t.Errorf("the password shows in %s", text)
	}
}

func TestTheDefaultsAreValid(t *testing.T) {
	got, err := load(t, "kafka")
	must(t, err)
	if want := createDefaultConfig(); !reflect.DeepEqual(component.Config(got), want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if _, err := load(t, "kafka/keyless"); err != nil {
		t.Error(err)
	}
}

func TestWhatCannotWorkIsRefused(t *testing.T) {
	for id, want := range map[string]string{
		"group":      "brokers must be set|group_id must be set|initial_offset must be|session_timeout must be|error_backoff: initial_interval",
		"sizes":      "max_fetch_size must be|max_partition_fetch_size must be|max_fetch_wait must be",
		"large":      "max_fetch_size must be",
		"topics":     "logs::topics must be set|metrics::encoding must be one of|traces::encoding must be one of",
		"refusal":    `on_permanent_error must be stop, dead_letter or skip, not "ignore"`,
		"letters":    "go together",
		"no_letters": "go together",
		"circle":     "must not be among the topics",
		"mechanism":  `not "GSSAPI"`,
		"password":   "wants username and password",
		"open":       "set tls",
		"token":      "wants oauthbearer_token_source",
	} {
		t.Run(id, func(t *testing.T) {
			_, err := load(t, "kafka/"+id)
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
