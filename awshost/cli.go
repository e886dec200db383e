package awshost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/oauth"
	"github.com/keyless-id/keyless/internal/wire"
)

const (
	opCLI      = "aws configure export-credentials"
	cliTimeout = time.Minute
)

// InsideCLI is the variable that tells keyless that the AWS CLI was started by keyless:
// a profile whose credential_process is keyless must not ask the AWS CLI again.
const InsideCLI = "KEYLESS_INSIDE_AWS_CLI"

var _ keyless.CredentialsProvider = CLI{}

// CLI is whatever the AWS CLI has: a profile, a login by single sign-on, a process
// (`aws configure export-credentials`, version 2 of the AWS CLI).
type CLI struct {
	Path    string   // zero: aws, found in PATH
	Profile string   // zero: the CLI's own choice
	Env     []string // of the CLI; nil: this process's
}

// Credentials runs the AWS CLI. What it says on stderr is part of the error.
func (c CLI) Credentials(ctx context.Context) (keyless.Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, cliTimeout)
	defer cancel()
	command := c.command(ctx)
	var out, complaint limited
	command.Stdout, command.Stderr = &out, &complaint
	obtained := time.Now()
	if err := command.Run(); err != nil {
		return keyless.Credentials{}, c.failed(ctx, err, complaint.String())
	}
	var d document
	if err := oauth.Decode(out.Bytes(), &d); err != nil {
		return keyless.Credentials{}, wrong(opCLI, fmt.Errorf("its output: %w", err))
	}
	if d.Version != 1 {
		return keyless.Credentials{}, wrong(opCLI, fmt.Errorf("its output has version %d, want 1", d.Version))
	}
	credentials, err := d.credentials(obtained)
	if err != nil {
		return keyless.Credentials{}, wrong(opCLI, err)
	}
	return credentials, nil
}

func (c CLI) command(ctx context.Context) *exec.Cmd {
	path := c.Path
	if path == "" {
		path = "aws"
	}
	arguments := []string{"configure", "export-credentials", "--format", "process"}
	if c.Profile != "" {
		arguments = append(arguments, "--profile", c.Profile)
	}
	command := exec.CommandContext(ctx, path, arguments...) //nolint:gosec // which program is what the configuration says
	command.WaitDelay = time.Second
	command.Env = append([]string(nil), c.Env...)
	if c.Env == nil {
		command.Env = command.Environ()
	}
	command.Env = append(command.Env, InsideCLI+"=1", "AWS_PAGER=")
	return command
}

func (c CLI) failed(ctx context.Context, err error, complaint string) *keyless.Error {
	e := wrong(opCLI, err)
	e.Message = wire.Quote(complaint)
	switch {
	case ctx.Err() != nil:
		e.Err, e.Temporary, e.Hint = ctx.Err(), true, "the AWS CLI did not answer in time; does it wait for somebody to sign in?"
	case errors.Is(err, exec.ErrNotFound):
		e.Hint = "install version 2 of the AWS CLI, or choose another provider"
	default:
		e.Hint = "the AWS CLI has no credentials either; aws configure list says where it looks (export-credentials needs version 2)"
	}
	return e
}

// limited keeps the beginning of what is written to it.
type limited struct{ bytes.Buffer }

// Write never fails, so that the program is not stopped by it.
func (l *limited) Write(p []byte) (int, error) {
	if room := wire.MaxBody - l.Len(); room > 0 {
		l.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
