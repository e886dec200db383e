package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyless-id/keyless/internal/yamltree"
	"github.com/keyless-id/keyless/sandbox"
)

// stage is how a command line says what sandbox it wants.
type stage struct {
	listen  string
	dir     string
	faults  []string
	verbose bool
}

func newSandbox(p *program) *cobra.Command {
	var st stage
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Play both clouds offline: Entra, instance metadata, STS and S3 on loopback",
		Long: "Play Entra ID, the instance metadata service, AWS STS and S3 on loopback until\n" +
			"interrupted. A folder gets the files that lead programs there: env for the shell,\n" +
			"keyless.yaml, an AWS configuration, the certificates.",
		Example: "  keyless sandbox --dir sandbox &\n  . sandbox/env\n  keyless credential-process vm",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.sandbox(cmd.Context(), st) },
	}
	flags := cmd.PersistentFlags()
	flags.StringVar(&st.listen, "listen", "127.0.0.1:0", "loopback `address`; with a port other than 0 the twelve ports from there on are used")
	flags.StringVar(&st.dir, "dir", "", "`folder` to make and write the files to; a temporary one if not set, removed at the end")
	flags.StringArrayVar(&st.faults, "fault", nil, "break a far side, for example 'sts: {status: 503, times: 2}'; hops "+hopNames()+"; fields delay, reset, status, code, body, retry_after, truncate, times, skew. May be repeated.")
	flags.BoolVar(&st.verbose, "verbose", false, "log every request to stderr")
	cmd.AddCommand(newSandboxExec(p, &st))
	return cmd
}

func newSandboxExec(p *program, st *stage) *cobra.Command {
	return &cobra.Command{
		Use:     "exec -- COMMAND…",
		Short:   "Run a command inside the sandbox, by its environment",
		Long:    "Start the sandbox, run a command whose environment leads the Azure and AWS SDKs to\nit, and end with the command's exit code.",
		Example: "  keyless sandbox exec -- aws s3 ls",
		Args:    asUsage(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.sandboxExec(cmd.Context(), *st, args)
		},
	}
}

func hopNames() string {
	var names []string
	for _, hop := range sandbox.Hops() {
		names = append(names, string(hop))
	}
	return strings.Join(names, ", ")
}

// untilInterrupted is for commands that have something to clear away at their end.
// The others just end: nothing they write is ever half done.
func untilInterrupted(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}

func (p *program) sandbox(ctx context.Context, st stage) error {
	ctx, stop := untilInterrupted(ctx)
	defer stop()
	g, err := p.play(st)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "# In another shell:  . %s\n%s", g.path("env"), g.shell())
	<-ctx.Done()
	return g.remove()
}

func (p *program) sandboxExec(ctx context.Context, st stage, args []string) error {
	ctx, stop := untilInterrupted(ctx)
	defer stop()
	g, err := p.play(st)
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // what the user asked for
	command.Env = append(outside(p.environ), g.env()...)
	command.Stdin, command.Stdout, command.Stderr = p.stdin, p.stdout, p.stderr
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = 5 * time.Second
	ran := command.Run()
	return errors.Join(childError(ran), g.remove())
}

// outside is the environment without what would lead the AWS SDKs to other
// credentials, or anybody through a proxy.
func outside(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		name = strings.ToUpper(name)
		return strings.HasPrefix(name, "AWS_") || strings.HasPrefix(name, "AZURE_") || strings.HasPrefix(name, "KEYLESS_") ||
			name == "HTTP_PROXY" || name == "HTTPS_PROXY" || name == "ALL_PROXY" || name == "SSL_CERT_DIR"
	})
}

// childError keeps the exit code of a command that ran.
func childError(err error) error {
	var exited *exec.ExitError
	if errors.As(err, &exited) {
		return exitError(exited.ExitCode())
	}
	return err
}

// play starts the sandbox that the flags ask for.
func (p *program) play(st stage) (*playground, error) {
	opts := sandbox.Options{}
	if st.verbose {
		opts.Logger = slog.New(slog.NewTextHandler(p.stderr, nil))
	}
	dir, err := folder(st.dir)
	if err != nil {
		return nil, err
	}
	g, err := newPlayground(dir, st.listen, opts)
	if errors.Is(err, os.ErrExist) {
		return nil, usageError{fmt.Errorf("--dir %s exists already", dir)}
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	for _, text := range st.faults {
		if err := g.breakHop(text); err != nil {
			return nil, errors.Join(usageError{err}, g.remove())
		}
	}
	return g, nil
}

// folder names a folder that does not exist yet.
func folder(asked string) (string, error) {
	if asked != "" {
		return filepath.Abs(asked)
	}
	parent, err := os.MkdirTemp("", "keyless-sandbox-")
	if err != nil {
		return "", err
	}
	return parent, os.Remove(parent)
}

// faultFlag is one --fault.
type faultFlag struct {
	Status     int           `yaml:"status"`
	Code       string        `yaml:"code"`
	Delay      time.Duration `yaml:"delay"`
	Body       string        `yaml:"body"`
	Reset      bool          `yaml:"reset"`
	RetryAfter time.Duration `yaml:"retry_after"`
	Truncate   bool          `yaml:"truncate"`
	Times      int           `yaml:"times"`
	Skew       time.Duration `yaml:"skew"`
}

func (g *playground) breakHop(text string) error {
	faults := map[sandbox.Hop]faultFlag{}
	tree, err := yamltree.Parse([]byte(text))
	if err == nil {
		err = yamltree.Decode(tree, &faults, "--fault")
	}
	if err != nil {
		return fmt.Errorf("--fault %q: %w", text, err)
	}
	for hop, f := range faults {
		if !slices.Contains(sandbox.Hops(), hop) {
			return fmt.Errorf("--fault: unknown hop %q; want one of %s", hop, hopNames())
		}
		g.SetSkew(hop, f.Skew)
		f.Skew = 0
		if f != (faultFlag{}) {
			g.SetFault(hop, sandbox.Fault{
				Status: f.Status, Code: f.Code, Delay: f.Delay, Body: f.Body, Reset: f.Reset,
				RetryAfter: f.RetryAfter, Truncate: f.Truncate, Times: f.Times,
			})
		}
	}
	return nil
}
