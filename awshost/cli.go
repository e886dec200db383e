package awshost

import (
	"context"
	"errors"
	"fmt"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/command"
	"github.com/keyless-id/keyless/internal/oauth"
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
	obtained := time.Now()
	out, err := c.command().Output(ctx)
	if err != nil {
		return keyless.Credentials{}, c.failed(err)
	}
	var d document
	if err := oauth.Decode(out, &d); err != nil {
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

func (c CLI) command() command.Command {
	path := c.Path
	if path == "" {
		path = "aws"
	}
	arguments := []string{"configure", "export-credentials", "--format", "process"}
	if c.Profile != "" {
		arguments = append(arguments, "--profile", c.Profile)
	}
	return command.Command{Path: path, Args: arguments, Env: c.Env, Set: []string{InsideCLI + "=1", "AWS_PAGER="}, Timeout: cliTimeout}
}

func (c CLI) failed(err error) *keyless.Error {
	e := wrong(opCLI, err)
	var ended *command.Error
	if errors.As(err, &ended) {
		e.Message, e.Temporary = ended.Complaint, ended.TooLate
	}
	switch {
	case e.Temporary:
		e.Hint = "the AWS CLI did not answer in time; does it wait for somebody to sign in?"
	case command.Missing(err):
		e.Hint = "install version 2 of the AWS CLI, or choose another provider"
	default:
		e.Hint = "the AWS CLI has no credentials either; aws configure list says where it looks (export-credentials needs version 2)"
	}
	return e
}
