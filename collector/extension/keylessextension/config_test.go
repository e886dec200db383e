package keylessextension

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/confmap/provider/envprovider"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"

	"github.com/keyless-id/keyless/collector/extension/keylessextension/internal/metadata"
)

// load reads one entry of testdata/config.yaml and validates it.
func load(t *testing.T, name string) (*Config, error) {
	t.Helper()
	file, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	sub, err := file.Sub(component.NewIDWithName(metadata.Type, name).String())
	if err != nil {
		t.Fatal(err)
	}
	return read(sub)
}

func read(conf *confmap.Conf) (*Config, error) {
	cfg := createDefaultConfig().(*Config)
	if err := conf.Unmarshal(cfg); err != nil {
		return cfg, err
	}
	return cfg, confmap.Validate(cfg)
}

func TestAClientsConfiguration(t *testing.T) {
	cfg, err := load(t, "all")
	if err != nil {
		t.Fatal(err)
	}
	p := cfg.identity
	if cfg.Mode != modeSigV4 || cfg.SigV4 != (SigV4Config{"eu-west-1", "aps"}) || len(cfg.Hosts) != 1 || !cfg.InsecureLoopbackGRPC || cfg.Server.HasValue() {
		t.Errorf("%+v", cfg)
	}
	if p.Source.Kind() != "client_secret" || p.Source.ClientSecret.ClientSecret.File != "/etc/keyless/secret" || p.Audience != "api://aws" || p.AWS.Duration != time.Hour || p.CAFile == "" || p.ExpectedAud == "" {
		t.Errorf("%+v", p.Profile)
	}
	if cfg, err = load(t, ""); err != nil || cfg.Mode != modeBearer || cfg.identity.Scope != "https://monitor.azure.com/.default" {
		t.Errorf("%+v, %v", cfg, err)
	}
	if cfg, err = load(t, "file"); err != nil || cfg.File != "/etc/keyless/keyless.yaml" || cfg.Profile != "metrics" {
		t.Errorf("%+v, %v", cfg, err)
	}
}

func TestAServersConfiguration(t *testing.T) {
	cfg, err := load(t, "server")
	if err != nil {
		t.Fatal(err)
	}
	s := cfg.Server.Get()
	if s.Issuer == "" || s.Tenant == "" || len(s.Audience) != 2 || len(s.Roles) != 1 || len(s.Subjects) != 1 || s.JWKSURL == "" || s.CAFile == "" || s.Leeway != 30*time.Second {
		t.Errorf("%+v", s)
	}
}

func TestWhatIsWrongInAConfigurationIsSaid(t *testing.T) {
	for name, want := range map[string]string{
		"nothing": "neither an identity nor server", "both": "keep one of the two", "no_file": "say which file",
		"typo": `hots: unknown key (did you mean "hosts"?)`, "no_audience": "audience: is missing (it is the App ID URI",
		"mode": `"basic"`, "no_region": "region and service are missing", "no_role": "role_arn", "idle_sigv4": "mode: sigv4", "host": `"https://x"`,
		"no_issuer": "issuer is missing", "common": "no tenant id", "any_audience": "audience is missing", "empty_role": "roles: an entry is empty",
		"plain_issuer": "issuer: want an https", "plain_keys": "jwks_url: want an https", "leeway": "leeway: 1h0m0s",
	} {
		if _, err := load(t, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// A YAML parser makes a number of digits, of 0123 even another one.
func TestASecretOfDigitsStaysAsItIs(t *testing.T) {
	t.Setenv("DIGITS", "0123456")
	resolver, err := confmap.NewResolver(confmap.ResolverSettings{
		URIs:              []string{`yaml:{source: {client_secret: {tenant_id: t, client_id: 42, client_secret: "${env:DIGITS}"}}, audience: "api://x", aws: {role_arn: "arn:aws:iam::111122223333:role/x", fips: true}}`},
		ProviderFactories: []confmap.ProviderFactory{envprovider.NewFactory(), yamlprovider.NewFactory()},
		DefaultScheme:     "env",
	})
	if err != nil {
		t.Fatal(err)
	}
	conf, err := resolver.Resolve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := read(conf)
	if err != nil {
		t.Fatal(err)
	}
	app := cfg.identity.Source.ClientSecret
	if app.ClientSecret.Value.Reveal() != "0123456" || app.ClientID != "42" || !cfg.identity.AWS.FIPS {
		t.Errorf("secret %q, client %q", app.ClientSecret.Value.Reveal(), app.ClientID)
	}
	if printed := fmt.Sprintf("%v %+v %#v", cfg, *cfg, app); strings.Contains(printed, "0123456") {
		t.Errorf("the secret is to be seen: %s", printed)
	}
}
