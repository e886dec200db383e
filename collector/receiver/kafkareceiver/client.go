package kafkareceiver

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
	"go.uber.org/zap"
	"golang.org/x/oauth2"
)

// tokens is what an extension has that can be an oauthbearer_token_source: contrib's
// oauth2client and azure_auth, and keyless.
type tokens interface {
	Token(ctx context.Context) (*oauth2.Token, error)
}

// options are what the client of a group is made of. Nothing is committed unless the receiver
// says so, and partitions do not change hands while it hands records out.
func (c *Config) options(ctx context.Context, host component.Host, logger *zap.Logger) ([]kgo.Opt, error) {
	start := kgo.NewOffset().AtStart()
	if c.InitialOffset == "latest" {
		start = kgo.NewOffset().AtEnd()
	}
	all := []kgo.Opt{
		kgo.SeedBrokers(c.Brokers...),
		kgo.ClientID(c.ClientID),
		kgo.WithLogger(kzap.New(logger, kzap.Level(kgo.LogLevelWarn))),
		kgo.ConsumerGroup(c.GroupID),
		kgo.SessionTimeout(c.SessionTimeout),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.ConsumeStartOffset(start),
		// Where retention has taken what was not read yet, what is left is not given up, too.
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMinBytes(c.MinFetchSize),
		kgo.FetchMaxBytes(c.MaxFetchSize),
		kgo.FetchMaxPartitionBytes(c.MaxPartitionFetchSize),
		kgo.FetchMaxWait(c.MaxFetchWait),
		kgo.MaxDecompressBatchBytes(largestFetch),
		kgo.DisableClientMetrics(), // the broker needs not know
	}
	if c.GroupInstanceID != "" {
		all = append(all, kgo.InstanceID(c.GroupInstanceID))
	}
	secure, err := c.security(ctx, host)
	return append(all, secure...), err
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
