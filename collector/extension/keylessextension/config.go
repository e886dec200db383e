package keylessextension

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/confmap"

	"github.com/keyless-id/keyless/profile"
	"github.com/keyless-id/keyless/transport"
)

// The ways to say to a server who the client is.
const (
	modeBearer = "bearer"
	modeSigV4  = "sigv4"
)

// Config says whose identity it is. Beside these keys stand those of a profile of
// keyless.yaml (source, audience, aws and so on), unless Config names the file.
type Config struct {
	// File is a configuration file of keyless, and Profile one of its profiles; it may be
	// empty where the file has one profile only, or one called default.
	File    string `mapstructure:"config"`
	Profile string `mapstructure:"profile"`

	// Mode is how a request shows who sends it: bearer, by a token of the profile's
	// audience, or sigv4, by AWS's signature.
	Mode  string      `mapstructure:"mode"`
	SigV4 SigV4Config `mapstructure:"sigv4"`

	// Hosts are where tokens and signatures may go, as in transport.Bearer: "host",
	// "host:port" or "*.suffix". Empty: the hosts of Azure Monitor for a token whose
	// audience is that, those of AWS for signatures, and otherwise none.
	Hosts []string `mapstructure:"hosts"`

	// InsecureLoopbackGRPC lets gRPC send tokens without TLS to this machine.
	InsecureLoopbackGRPC bool `mapstructure:"insecure_loopback_grpc"`

	// Server says whom a receiver lets in.
	Server configoptional.Optional[ServerConfig] `mapstructure:"server"`

	identity *profile.Selected // the profile, if it stands here
}

// SigV4Config is what a signature is good for, for example eu-west-1 and aps.
type SigV4Config struct {
	Region  string `mapstructure:"region"`
	Service string `mapstructure:"service"`
}

// ServerConfig says which tokens a receiver takes.
type ServerConfig struct {
	// Issuer is the iss claim, to the letter. Instead of it Tenant, the id of a tenant of
	// the public cloud, stands for both of its issuers, that of v1.0 and that of v2.0
	// tokens. With both, tid must be that tenant, too.
	Issuer string `mapstructure:"issuer"`
	Tenant string `mapstructure:"tenant"`

	Audience []string `mapstructure:"audience"` // one of these
	Roles    []string `mapstructure:"roles"`    // at least one of these; empty: whatever
	Subjects []string `mapstructure:"subjects"` // sub or oid is one of these; empty: whoever

	// JWKSURL is where the issuer's keys are; empty: where its discovery document says.
	JWKSURL string `mapstructure:"jwks_url"`
	// CAFile has the certificates to trust for that, in PEM; empty: those of the system.
	CAFile string `mapstructure:"ca_file"`
	// Leeway is how far the clocks of issuer and receiver may be apart.
	Leeway time.Duration `mapstructure:"leeway"`
}

var (
	_ component.Config    = (*Config)(nil)
	_ confmap.Unmarshaler = (*Config)(nil)
	_ confmap.Validator   = (*Config)(nil)
	_ confmap.Validator   = (*ServerConfig)(nil)
)

func createDefaultConfig() component.Config {
	return &Config{Mode: modeBearer, Server: configoptional.Default(ServerConfig{Leeway: time.Minute})}
}

// Unmarshal takes the extension's own keys, and reads all others as a profile.
func (c *Config) Unmarshal(conf *confmap.Conf) error {
	if err := conf.Unmarshal(c, confmap.WithIgnoreUnused()); err != nil {
		return err
	}
	values := texts(conf, "")
	for _, own := range ownKeys() {
		delete(values, own)
	}
	if len(values) == 0 {
		return nil
	}
	identity, err := profile.Inline(values, ownKeys()...)
	if err != nil {
		return explained(err)
	}
	c.identity = identity
	return nil
}

func ownKeys() []string {
	var keys []string
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		if key := field.Tag.Get("mapstructure"); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

// explained appends the hint of what the profile package finds wrong.
func explained(err error) error {
	var wrong *profile.Error
	if !errors.As(err, &wrong) || wrong.Hint == "" {
		return err
	}
	return fmt.Errorf("%w (%s)", err, wrong.Hint)
}

// texts is a block with all that came out of ${env:NAME} as it was written there: a client
// secret of digits is no number.
func texts(conf *confmap.Conf, below string) map[string]any {
	block := conf
	if below != "" {
		sub, err := conf.Sub(below)
		if err != nil {
			return nil
		}
		block = sub
	}
	values := block.ToStringMap()
	for key, value := range values {
		switch value.(type) {
		case map[string]any:
			values[key] = texts(block, key)
		case nil, string, []any:
		default:
			values[key] = text(block, key, value)
		}
	}
	return values
}

// text asks confmap for the value as a string, which is the one way to have it unchanged.
func text(block *confmap.Conf, key string, value any) any {
	into := reflect.New(reflect.StructOf([]reflect.StructField{{
		Name: "Text", Type: reflect.TypeFor[string](), Tag: reflect.StructTag(`mapstructure:"` + key + `"`),
	}}))
	if block.Unmarshal(into.Interface(), confmap.WithIgnoreUnused()) != nil {
		return value // a number that stands in the file itself
	}
	return into.Elem().Field(0).String()
}

// Validate looks at nothing but the configuration.
func (c *Config) Validate() error {
	if c.File != "" && c.identity != nil {
		return errors.New("config stands beside a profile of its own: keep one of the two")
	}
	if c.Profile != "" && c.File == "" {
		return errors.New("profile names one of a file: say which file in config")
	}
	if !c.hasIdentity() && !c.Server.HasValue() {
		return errors.New("neither an identity nor server is configured: for example source: { managed_identity: {} } and scope: https://monitor.azure.com/.default")
	}
	if err := c.mode(); err != nil {
		return err
	}
	return checkHosts(c.Hosts)
}

func (c *Config) hasIdentity() bool { return c.File != "" || c.identity != nil }

func (c *Config) mode() error {
	switch {
	case c.Mode != modeBearer && c.Mode != modeSigV4:
		return fmt.Errorf("mode: %q is neither %s nor %s", c.Mode, modeBearer, modeSigV4)
	case c.Mode == modeBearer && c.SigV4 != (SigV4Config{}):
		return errors.New("sigv4 goes with mode: sigv4")
	case c.Mode == modeBearer:
		return nil
	case c.SigV4.Region == "" || c.SigV4.Service == "":
		return errors.New("sigv4: region and service are missing, for example { region: eu-west-1, service: aps }")
	case c.identity != nil && c.identity.AWS == nil:
		return errors.New("mode: sigv4 needs the role that the token is traded for: aws: { role_arn: … }")
	}
	return nil
}

// checkHosts finds the entries that the guard of package transport would refuse.
func checkHosts(hosts []string) error {
	for _, host := range hosts {
		if host == "" || strings.ContainsAny(host, "/@ ") {
			return fmt.Errorf("hosts: %q: want a host name, *.suffix, or either with :port", host)
		}
	}
	return nil
}

// maxLeeway is more than any clock should need: what has expired should stay so.
const maxLeeway = 10 * time.Minute

// Validate implements [confmap.Validator].
func (s *ServerConfig) Validate() error {
	switch {
	case s.Issuer == "" && s.Tenant == "":
		return errors.New("issuer is missing, or tenant, which stands for the issuers of a tenant of Entra")
	case s.Tenant != "" && !isGUID(s.Tenant):
		return fmt.Errorf("tenant: %q is no tenant id: common and organizations would let everybody in", s.Tenant)
	case len(s.Audience) == 0:
		return errors.New("audience is missing: without it the tokens of any service would do")
	case s.Leeway < 0 || s.Leeway > maxLeeway:
		return fmt.Errorf("leeway: %s is not between 0 and %s", s.Leeway, maxLeeway)
	}
	for key, values := range map[string][]string{"audience": s.Audience, "roles": s.Roles, "subjects": s.Subjects} {
		for _, value := range values {
			if value == "" {
				return fmt.Errorf("%s: an entry is empty: is a variable not set?", key)
			}
		}
	}
	return errors.Join(encrypted("issuer", s.Issuer), encrypted("jwks_url", s.JWKSURL))
}

// encrypted refuses addresses at which somebody on the way could answer instead.
func encrypted(key, address string) error {
	if address == "" {
		return nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || !transport.Encrypted(u) {
		return fmt.Errorf("%s: want an https address", key)
	}
	return nil
}

func isGUID(text string) bool {
	parts := strings.Split(text, "-")
	if len(text) != 36 || len(parts) != 5 {
		return false
	}
	for i, length := range []int{8, 4, 4, 4, 12} {
		if len(parts[i]) != length || strings.Trim(strings.ToLower(parts[i]), "0123456789abcdef") != "" {
			return false
		}
	}
	return true
}
