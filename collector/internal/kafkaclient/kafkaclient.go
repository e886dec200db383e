// Package kafkaclient is what the Kafka exporter and receiver have in common: where the
// brokers are, and how to prove to them who one is.
package kafkaclient

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"github.com/twmb/franz-go/plugin/kzap"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"
	"go.uber.org/zap"
	"golang.org/x/oauth2"
)

// Mechanisms of SASL.
const (
	mechanismPlain       = "PLAIN"
	mechanismScram256    = "SCRAM-SHA-256"
	mechanismScram512    = "SCRAM-SHA-512"
	mechanismOAuthBearer = "OAUTHBEARER"
)

// Config has the names of contrib's Kafka components.
type Config struct {
	Brokers  []string                                        `mapstructure:"brokers"`
	ClientID string                                          `mapstructure:"client_id"`
	TLS      configoptional.Optional[configtls.ClientConfig] `mapstructure:"tls"`
	Auth     Auth                                            `mapstructure:"auth"`
}

// Auth is how a component proves who it is.
type Auth struct {
	SASL configoptional.Optional[SASL] `mapstructure:"sasl"`
}

// SASL is one mechanism, with a password or a token.
type SASL struct {
	Mechanism string              `mapstructure:"mechanism"`
	Username  string              `mapstructure:"username"`
	Password  configopaque.String `mapstructure:"password"`
	// OAuthBearerTokenSource is an extension that has tokens, such as keyless: no password at all.
	OAuthBearerTokenSource *component.ID `mapstructure:"oauthbearer_token_source"`
}

// Default is a broker on this machine.
func Default() Config { return Config{Brokers: []string{"localhost:9092"}, ClientID: "otel-collector"} }

// Check reports what cannot work, all of it.
func (c *Config) Check() error {
	var none error
	if len(c.Brokers) == 0 {
		none = errors.New("brokers must be set")
	}
	return errors.Join(none, c.checkAuth())
}

func (c *Config) checkAuth() error {
	if !c.Auth.SASL.HasValue() {
		return nil
	}
	sasl := c.Auth.SASL.Get()
	switch sasl.Mechanism {
	case mechanismScram256, mechanismScram512, mechanismPlain:
		if sasl.Username == "" || sasl.Password == "" {
			return fmt.Errorf("auth::sasl: %s wants username and password", sasl.Mechanism)
		}
	case mechanismOAuthBearer:
		if sasl.OAuthBearerTokenSource == nil {
			return errors.New("auth::sasl: OAUTHBEARER wants oauthbearer_token_source, an extension")
		}
	default:
		return fmt.Errorf("auth::sasl::mechanism must be %s, %s, %s or %s, not %q",
			mechanismPlain, mechanismScram256, mechanismScram512, mechanismOAuthBearer, sasl.Mechanism)
	}
	if readable := sasl.Mechanism == mechanismPlain || sasl.Mechanism == mechanismOAuthBearer; readable && !c.TLS.HasValue() {
		return fmt.Errorf("auth::sasl: %s shows its secret to whoever listens: set tls", sasl.Mechanism)
	}
	return nil
}

// Options are those of a client.
func (c *Config) Options(ctx context.Context, host component.Host, logger *zap.Logger) ([]kgo.Opt, error) {
	all := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.ClientID(c.ClientID),
		kgo.WithLogger(kzap.New(logger, kzap.Level(kgo.LogLevelWarn))),
		kgo.DisableClientMetrics(), // the broker needs not know
	}
	secure, err := c.security(ctx, host)
	return append(all, secure...), err
}

// tokens is what an extension has that can be an oauthbearer_token_source: contrib's
// oauth2client and azure_auth, and keyless.
type tokens interface {
	Token(ctx context.Context) (*oauth2.Token, error)
}

func (c *Config) security(ctx context.Context, host component.Host) ([]kgo.Opt, error) {
	var all []kgo.Opt
	if c.TLS.HasValue() {
		tls, err := c.TLS.Get().LoadTLSConfig(ctx)
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		if tls != nil { // insecure: true
			all = append(all, kgo.DialTLSConfig(tls))
		}
	}
	if c.Auth.SASL.HasValue() {
		mechanism, err := c.Auth.SASL.Get().mechanism(host)
		if err != nil {
			return nil, fmt.Errorf("auth::sasl: %w", err)
		}
		all = append(all, kgo.SASL(mechanism))
	}
	return all, nil
}

func (s *SASL) mechanism(host component.Host) (sasl.Mechanism, error) {
	switch s.Mechanism {
	case mechanismPlain:
		return plain.Auth{User: s.Username, Pass: string(s.Password)}.AsMechanism(), nil
	case mechanismScram256:
		return scram.Auth{User: s.Username, Pass: string(s.Password)}.AsSha256Mechanism(), nil
	case mechanismScram512:
		return scram.Auth{User: s.Username, Pass: string(s.Password)}.AsSha512Mechanism(), nil
	case mechanismOAuthBearer:
		return s.bearer(host)
	default:
		return nil, errors.New("no such mechanism")
	}
}

// bearer asks for a token for each connection, so that it is never an old one.
func (s *SASL) bearer(host component.Host) (sasl.Mechanism, error) {
	extension, ok := host.GetExtensions()[*s.OAuthBearerTokenSource]
	if !ok {
		return nil, fmt.Errorf("extension %s is not among service::extensions", s.OAuthBearerTokenSource)
	}
	source, ok := extension.(tokens)
	if !ok {
		return nil, fmt.Errorf("extension %s has no tokens", s.OAuthBearerTokenSource)
	}
	return oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
		token, err := source.Token(ctx)
		if err != nil {
			return oauth.Auth{}, err
		}
		return oauth.Auth{Token: token.AccessToken}, nil
	}), nil
}
