package keylessextension

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awssdk"
	"github.com/keyless-id/keyless/azsdk"
	"github.com/keyless-id/keyless/collector/extension/keylessextension/internal/metadata"
	"github.com/keyless-id/keyless/entra"
	"github.com/keyless-id/keyless/profile"
)

var (
	errNotStarted = errors.New("keyless: the extension has not been started, or has no identity: say source and audience, or config")
	errNoRole     = errors.New("keyless: the profile names no role to trade the token for: aws: { role_arn: … }")
)

// keylessExtension is one identity, with all that the collector's components, and the SDKs
// that they use, look for in an extension.
type keylessExtension struct {
	cfg       *Config
	getenv    func(string) string
	logger    *zap.Logger
	telemetry *metadata.TelemetryBuilder
	verifier  *verifier // nil: no server

	// What Start makes; nil without an identity.
	tokens   *keyless.CachedSource
	azure    *azsdk.Credential
	provider *keyless.CachedProvider // nil: the profile names no role
	aws      *awssdk.Provider        // the same, for AWS's SDK
	hosts    []string
}

func newExtension(cfg *Config, set extension.Settings, getenv func(string) string) (*keylessExtension, error) {
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	e := &keylessExtension{cfg: cfg, getenv: getenv, logger: set.Logger, telemetry: telemetry}
	if server := cfg.Server.Get(); server != nil {
		e.verifier = newVerifier(*server)
	}
	return e, nil
}

// Start reads the profile, and asks nobody for anything: a collector that starts while
// Entra is out of reach gathers until it is back.
func (e *keylessExtension) Start(context.Context, component.Host) error {
	if e.verifier != nil {
		if err := e.verifier.prepare(); err != nil {
			return err
		}
	}
	if !e.cfg.hasIdentity() {
		return nil
	}
	selected, err := e.selected()
	if err != nil {
		return explained(err)
	}
	built, err := selected.Build(e.getenv)
	if err != nil {
		return explained(err)
	}
	if e.cfg.Mode == modeSigV4 && built.Exchanger == nil {
		return errNoRole
	}
	e.use(selected, built)
	return e.telemetry.RegisterExtensionKeylessTokenRemainingCallback(e.remaining)
}

// Shutdown lets the telemetry go; a request for a token that is under way ends by itself.
func (e *keylessExtension) Shutdown(context.Context) error {
	e.telemetry.Shutdown()
	return nil
}

func (e *keylessExtension) selected() (*profile.Selected, error) {
	if e.cfg.identity != nil {
		return e.cfg.identity, nil
	}
	return profile.Select(e.cfg.Profile, e.cfg.File, nil, e.getenv)
}

// use makes what the interfaces hand out.
func (e *keylessExtension) use(selected *profile.Selected, built *profile.Built) {
	e.tokens = keyless.Cached(e.counted(built.Source))
	e.azure = azsdk.NewCredential(e.sources(selected))
	if built.Exchanger != nil {
		e.provider = keyless.CachedCredentials(e.countedCredentials(keyless.Federate(e.tokens, built.Exchanger)))
		e.aws = awssdk.NewProvider(e.provider)
	}
	e.hosts = e.cfg.Hosts
	if len(e.hosts) == 0 {
		e.hosts = usualHosts(e.cfg.Mode, audience(selected))
	}
	e.announce(selected)
}

// sources makes those of the audiences that an Azure client asks for; the profile's own
// shares its cache with everything else.
func (e *keylessExtension) sources(selected *profile.Selected) func(string) keyless.TokenSource {
	return func(wanted string) keyless.TokenSource {
		if wanted == audience(selected) {
			return e.tokens
		}
		other, err := selected.For(wanted)
		if err != nil {
			return nil
		}
		built, err := other.Build(e.getenv)
		if err != nil {
			return nil
		}
		return e.counted(built.Source)
	}
}

// audience is what the profile's token is for.
func audience(selected *profile.Selected) string {
	if selected.Audience != "" {
		return selected.Audience
	}
	return entra.Audience(selected.Scope)
}

// announce says once which identity is in use.
func (e *keylessExtension) announce(selected *profile.Selected) {
	fields := []zap.Field{
		zap.String("source", selected.Source.Kind()), zap.String("audience", audience(selected)),
		zap.String("mode", e.cfg.Mode), zap.Strings("hosts", e.hosts),
	}
	if selected.Name != "" {
		fields = append(fields, zap.String("profile", selected.Name), zap.String("config", selected.Path))
	}
	if selected.AWS != nil {
		fields = append(fields, zap.String("role", selected.AWS.FinalRole()))
	}
	e.logger.Info("identity in use", fields...)
	for _, warning := range selected.Warnings {
		e.logger.Warn(warning)
	}
}

// remaining tells for how long the token is good.
func (e *keylessExtension) remaining(_ context.Context, o metric.Float64Observer) error {
	if token, err := e.tokens.Latest(); err == nil {
		o.Observe(time.Until(token.Expiry).Seconds())
	}
	return nil
}

// usualHosts are those that a token or a signature is meant for beyond doubt.
func usualHosts(mode, audience string) []string {
	if mode == modeSigV4 { // which is good for one request, of one service in one region
		return []string{"*.amazonaws.com", "*.amazonaws.com.cn", "*.api.aws"}
	}
	for _, cloud := range []string{"com", "us", "cn"} { // those of sovereign clouds are unverified
		if scope := "https://monitor.azure." + cloud; audience == scope || audience == scope+"/" {
			return []string{"*.ingest.monitor.azure." + cloud}
		}
	}
	return nil
}

// hint appends what a person can do to an error that will stand in a log.
func hint(err error) error {
	var e *keyless.Error
	if !errors.As(err, &e) || e.Hint == "" {
		return err
	}
	return fmt.Errorf("%w (%s)", err, e.Hint)
}
