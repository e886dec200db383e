package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyless-id/keyless/internal/filecache"
	"github.com/keyless-id/keyless/internal/warm"
	"github.com/keyless-id/keyless/profile"
)

// processLimit bounds the whole of credential-process: most SDKs wait for ever.
const processLimit = 24 * time.Second

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
	document, _, err := p.credentials(ctx, c, args)
	if err != nil {
		return err
	}
	_, err = p.stdout.Write(document)
	return err
}

// credentials are the profile's, in the form of a credential process, from the daemon or
// from the cache if there is one; and the region that goes with them.
func (p *program) credentials(ctx context.Context, c *choice, args []string) (document []byte, region string, err error) {
	if d := c.daemon(); d != nil {
		document, err = d.Process(ctx, p.named(args))
		return document, "", err
	}
	selected, built, err := p.build(c, args)
	if err != nil {
		return nil, "", err
	}
	if built.Exchanger == nil {
		return nil, "", noRole(selected)
	}
	cache, warn := p.cache(c)
	entry, err := profile.Memory{Cache: cache, Warn: warn.note}.Credentials(ctx, built)
	if err != nil {
		return nil, "", err
	}
	if !built.Unsettled {
		p.remember(cache, selected, built.CredentialsKey)
	}
	warn.print(p, selected.Warnings)
	return entry.Payload, selected.AWS.Region, nil
}

// named is the profile that a daemon is asked for.
func (p *program) named(args []string) string {
	if len(args) > 0 {
		return args[0]
	}
	return p.getenv("KEYLESS_PROFILE")
}

func noRole(selected *profile.Selected) error {
	return &profile.Error{File: selected.Path, Path: selected.Name, Message: "the profile names no role", Hint: "add aws: { role_arn: … }"}
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

// remember lets the next call with the same words take the warm path. What makes the
// meaning of the words depend on the working directory is not remembered.
func (p *program) remember(cache *filecache.Cache, selected *profile.Selected, key string) {
	if cache == nil || p.args[0] != warm.Command || len(selected.Warnings) > 0 || selected.Path != "" && !filepath.IsAbs(selected.Path) {
		return
	}
	_ = warm.Remember(cache, p.args, p.environ, warm.Shortcut{Key: key, Config: selected.Path, Env: selected.Used})
}
