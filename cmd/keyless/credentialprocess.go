package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/delivery"
	"github.com/keyless-id/keyless/internal/filecache"
	"github.com/keyless-id/keyless/internal/refresh"
	"github.com/keyless-id/keyless/internal/warm"
	"github.com/keyless-id/keyless/profile"
)

// processLimit bounds the whole of credential-process: most SDKs wait for ever.
const processLimit = 24 * time.Second

// AWS SDKs start the process again at every call once less than 15 minutes are left.
var credentialsPolicy = refresh.Policy{MinLeft: 20 * time.Minute, Margin: time.Minute} //nolint:gochecknoglobals // a constant in all but name

func newCredentialProcess(p *program) *cobra.Command {
	c := &choice{getenv: p.getenv}
	cmd := &cobra.Command{
		Use:   warm.Command + " [PROFILE]",
		Short: "Print AWS credentials for the credential_process of an AWS profile",
		Long: "Print AWS credentials as the JSON object that AWS SDKs and the AWS CLI expect of a\n" +
			"credential_process. The answer is kept in a cache that only this user can read, so\n" +
			"that all programs together cause one request.",
		Example: "  # ~/.aws/config\n  [profile deploy]\n  credential_process = \"/usr/local/bin/keyless\" credential-process deploy",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p.oneLine = !isTerminal(p.stderr)
			ctx, cancel := context.WithTimeout(cmd.Context(), processLimit)
			defer cancel()
			return p.credentialProcess(ctx, c, args)
		},
	}
	if p.wantsFlags(cmd.Name()) {
		c.addTo(cmd)
	}
	return cmd
}

func (p *program) credentialProcess(ctx context.Context, c *choice, args []string) error {
	_, entry, err := p.credentials(ctx, c, args)
	if err != nil {
		return err
	}
	_, err = p.stdout.Write(entry.Payload)
	return err
}

// credentials are the profile's, in the form of a credential process, from the cache if
// it has them.
func (p *program) credentials(ctx context.Context, c *choice, args []string) (*profile.Selected, filecache.Entry, error) {
	selected, built, err := p.build(c, args)
	if err != nil {
		return nil, filecache.Entry{}, err
	}
	if built.Exchanger == nil {
		return nil, filecache.Entry{}, noRole(selected)
	}
	provider := keyless.Federate(built.Source, built.Exchanger)
	cache, warn := p.cache(c)
	query := p.query(built.CredentialsKey, built.Attempt, warn)
	query.Policy = credentialsPolicy
	query.Fetch = func(ctx context.Context) (filecache.Answer, error) {
		go built.Prepare()
		return fetchCredentials(ctx, provider)
	}
	entry, err := cache.Get(ctx, query)
	if err != nil {
		return nil, entry, deadOnArrival(keyless.HopExchange, err)
	}
	if !built.Unsettled {
		p.remember(cache, selected, built.CredentialsKey)
	}
	warn.print(p, selected.Warnings)
	return selected, entry, nil
}

func noRole(selected *profile.Selected) error {
	return &profile.Error{File: selected.Path, Path: selected.Name, Message: "the profile names no role", Hint: "add aws: { role_arn: … }"}
}

func fetchCredentials(ctx context.Context, provider keyless.CredentialsProvider) (filecache.Answer, error) {
	credentials, err := provider.Credentials(ctx)
	if err != nil {
		return filecache.Answer{}, err
	}
	payload, err := delivery.Process(credentials)
	return filecache.Answer{Times: refresh.Times{Obtained: credentials.Obtained, Expiry: credentials.Expiry}, Payload: payload}, err
}

// build reads the profile that the command line means.
func (p *program) build(c *choice, args []string) (*profile.Selected, *profile.Built, error) {
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	selected, err := profile.Select(name, c.config, c.given(), p.getenv)
	if err != nil {
		return nil, nil, err
	}
	built, err := selected.Build(p.getenv)
	return selected, built, err
}

// warnings are what did no harm: at most one of a kind is printed, and none at all
// when there is an error to print.
type warnings struct{ first error }

func (w *warnings) note(err error) {
	if w.first == nil {
		w.first = err
	}
}

func (w *warnings) print(p *program, others []string) {
	for _, text := range others {
		p.warn(text)
	}
	if w.first != nil {
		p.warn(w.first.Error())
	}
}

// cache opens the cache of this user; nil if there is none to be had or wanted.
func (p *program) cache(c *choice) (*filecache.Cache, *warnings) {
	warn := &warnings{}
	if c.noCache {
		return nil, warn
	}
	cache, err := filecache.Open(filecache.Dirs(p.getenv))
	if err != nil {
		warn.note(errors.Join(errors.New("working without a cache"), err))
	}
	return cache, warn
}

func (p *program) query(key, attempt string, warn *warnings) filecache.Query {
	return filecache.Query{Key: key, Attempt: attempt, Failure: encodeFailure, Failed: decodeFailure, Warn: warn.note}
}

// remember lets the next call with the same words take the warm path. What makes the
// meaning of the words depend on the working directory is not remembered.
func (p *program) remember(cache *filecache.Cache, selected *profile.Selected, key string) {
	if cache == nil || p.args[0] != warm.Command || len(selected.Warnings) > 0 || selected.Path != "" && !filepath.IsAbs(selected.Path) {
		return
	}
	_ = warm.Remember(cache, p.args, p.environ, warm.Shortcut{Key: key, Config: selected.Path, Env: selected.Used})
}

// deadOnArrival gives an answer that had expired when it came a hop and a hint.
func deadOnArrival(hop keyless.Hop, err error) error {
	var dead *refresh.DeadOnArrivalError
	if !errors.As(err, &dead) {
		return err
	}
	return &keyless.Error{Hop: hop, Op: "cache", Message: "dead on arrival", Hint: "set the clock (timedatectl, chronyc makestep)", Err: dead}
}
