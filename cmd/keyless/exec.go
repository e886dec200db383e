package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/delivery"
	"github.com/keyless-id/keyless/delivery/endpoint"
	"github.com/keyless-id/keyless/profile"
)

// Exit codes of a command that was not started, as env(1) has them.
const (
	exitCannotRun = 126
	exitNotFound  = 127
)

func newExec(p *program) *cobra.Command {
	c := &choice{getenv: p.getenv}
	var serve bool
	cmd := &cobra.Command{
		Use:   "exec [PROFILE] -- COMMAND…",
		Short: "Run a command with AWS credentials, and with no others",
		Long: "Run a command in whose environment AWS SDKs find the profile's credentials, and\n" +
			"nothing that could win over them. keyless is then out of the way: the command takes\n" +
			"its place, and its exit code and signals are its own.\n\n" +
			"Credentials in the environment end when they expire. With --endpoint the command gets\n" +
			"them from an address on loopback instead, as a container does, renewed for as long as\n" +
			"it runs; only this user's programs that know a token are answered.",
		Example: "  keyless exec deploy -- terraform apply\n  keyless exec deploy --endpoint -- ./nightly-copy.sh",
		Args: func(cmd *cobra.Command, args []string) error {
			switch at := cmd.ArgsLenAtDash(); {
			case at < 0 || at == len(args):
				return usageError{errors.New("exec: want a command after --")}
			case at > 1:
				return usageError{fmt.Errorf("exec: want one profile before --, not %d", at)}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			at := cmd.ArgsLenAtDash()
			if serve {
				return p.execServed(cmd.Context(), c, args[:at], args[at:])
			}
			return p.exec(cmd.Context(), c, args[:at], args[at:])
		},
	}
	if p.wantsFlags(cmd.Name()) {
		c.addTo(cmd)
	}
	cmd.Flags().BoolVar(&serve, "endpoint", false, "hand the credentials over at an address on loopback, and renew them")
	return cmd
}

// exec puts the command in this program's place.
func (p *program) exec(ctx context.Context, c *choice, name, command []string) error {
	ctx, cancel := context.WithTimeout(ctx, processLimit)
	defer cancel()
	path, err := find(command[0])
	if err != nil {
		return err
	}
	document, region, err := p.credentials(ctx, c, name)
	if err != nil {
		return err
	}
	credentials, err := delivery.ReadProcess(document)
	if err != nil {
		return err
	}
	environ, err := delivery.Environ(delivery.Region(p.environ, region), credentials)
	if err != nil {
		return err
	}
	return p.become(path, command, environ)
}

// find looks a command up before anybody is asked for credentials.
func find(command string) (string, error) {
	path, err := exec.LookPath(command)
	switch {
	case err == nil:
		return path, nil
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return "", notStarted{exitNotFound, fmt.Errorf("exec: %q: there is no such command", command)}
	}
	return "", notStarted{exitCannotRun, fmt.Errorf("exec: %w", err)}
}

// notStarted is a command that could not be run, with the exit code that says so.
type notStarted struct {
	code int
	error
}

func (n notStarted) Unwrap() error { return n.error }

// execServed runs the command beside an endpoint that has its credentials.
func (p *program) execServed(ctx context.Context, c *choice, name, command []string) error {
	path, err := find(command[0])
	if err != nil {
		return err
	}
	selected, provider, err := p.provider(c, name)
	if err != nil {
		return err
	}
	if err := fetchFirst(ctx, provider); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go provider.Keep(ctx, nil)
	server := &endpoint.Local{Latest: provider.Latest}
	if err := server.Start(); err != nil {
		return err
	}
	room, err := newRoom(p.getenv, server)
	if err != nil {
		return errors.Join(err, server.Close())
	}
	child := exec.Command(path, command[1:]...) //nolint:gosec,noctx // what the user asked for; it ends by itself
	child.Args[0] = command[0]
	child.Env = append(delivery.Bare(delivery.Region(p.environ, selected.AWS.Region)), room.environ(server)...)
	endsWithUs(child)
	ran := p.supervise(child)
	return errors.Join(childError(ran), room.remove(), server.Close())
}

// provider is the profile's credentials for as long as a command runs.
func (p *program) provider(c *choice, name []string) (*profile.Selected, *keyless.CachedProvider, error) {
	selected, built, err := p.build(c, name)
	if err != nil {
		return nil, nil, err
	}
	if built.Exchanger == nil {
		return nil, nil, noRole(selected)
	}
	cache, warn := p.cache(c)
	warn.print(p, selected.Warnings)
	memory := profile.Memory{Cache: cache}
	return selected, keyless.CachedCredentials(memory.Provider(built)), nil
}

// fetchFirst fails before the command has begun, if it is to fail.
func fetchFirst(ctx context.Context, provider keyless.CredentialsProvider) error {
	ctx, cancel := context.WithTimeout(ctx, processLimit)
	defer cancel()
	_, err := provider.Credentials(ctx)
	return err
}

// room is a folder with what a command is to find instead of the user's own files.
type room struct{ dir string }

func newRoom(getenv func(string) string, server *endpoint.Local) (*room, error) {
	dir, err := os.MkdirTemp("", "keyless-exec-")
	if err != nil {
		return nil, err
	}
	r := &room{dir}
	config, err := os.ReadFile(configFile(getenv))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, r.remove())
	}
	for name, content := range map[string]string{
		"config": delivery.WithoutCredentials(string(config)), "credentials": "", "token": server.Token().Reveal(),
	} {
		if err := os.WriteFile(r.path(name), []byte(content), 0o600); err != nil {
			return nil, errors.Join(err, r.remove())
		}
	}
	return r, nil
}

// configFile is where AWS's SDKs look.
func configFile(getenv func(string) string) string {
	if file := getenv("AWS_CONFIG_FILE"); file != "" {
		return file
	}
	home := getenv("HOME")
	if home == "" {
		home = getenv("USERPROFILE")
	}
	return filepath.Join(home, ".aws", "config")
}

func (r *room) path(name string) string { return filepath.Join(r.dir, name) }

func (r *room) remove() error { return os.RemoveAll(r.dir) }

// environ has the token twice: older botocore knows the first form only, and all others
// read the file each time.
func (r *room) environ(server *endpoint.Local) []string {
	return []string{
		"AWS_CONTAINER_CREDENTIALS_FULL_URI=" + server.URL(),
		"AWS_CONTAINER_AUTHORIZATION_TOKEN=" + server.Token().Reveal(),
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=" + r.path("token"),
		"AWS_CONFIG_FILE=" + r.path("config"),
		"AWS_SHARED_CREDENTIALS_FILE=" + r.path("credentials"),
	}
}
