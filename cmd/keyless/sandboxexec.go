package main

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func newSandboxExec(p *program, st *stage) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "exec -- COMMAND…",
		Short: "Run a command inside the sandbox",
		Long: "Start the sandbox, run a command whose environment leads the Azure and AWS SDKs to\n" +
			"it, and end with the command's exit code.\n\n" +
			"With --isolated the command finds the sandbox at the true names and addresses of the\n" +
			"clouds, and nothing else: it runs in a network of its own, from which nothing leaves\n" +
			"the machine. That needs Linux, and no root where users may make namespaces.",
		Example: "  keyless sandbox exec -- aws s3 ls\n  keyless sandbox exec --isolated --host ec2 -- aws sts get-caller-identity",
		Args:    asUsage(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if st.isolated && p.getenv(insideMark) == "" {
				return p.isolate(cmd.Context())
			}
			return p.sandboxExec(cmd.Context(), *st, args)
		},
	}
	cmd.Flags().BoolVar(&st.isolated, "isolated", false, "run the command in a network of its own, at the true names and addresses")
	return cmd
}

func (p *program) sandboxExec(ctx context.Context, st stage, args []string) error {
	path, err := find(args[0])
	if err != nil {
		return err
	}
	ctx, stop := untilInterrupted(ctx)
	g, err := p.play(st)
	interrupted := ctx.Err()
	stop() // from here on the command gets the signals
	switch {
	case err != nil:
		return err
	case interrupted != nil:
		return errors.Join(interrupted, g.remove())
	}
	command := exec.Command(path, args[1:]...) //nolint:gosec,noctx // what the user asked for; it ends by itself
	command.Args[0], command.Env = args[0], append(outside(p.environ), g.env...)
	if st.isolated {
		p.asOutside(command)
	}
	ran := p.supervise(command)
	return errors.Join(childError(ran), g.remove())
}

// outside is the environment without what would lead programs to other credentials,
// through a proxy, or to trust other certificates.
func outside(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		name = strings.ToUpper(name)
		for _, prefix := range []string{"AWS_", "AZURE_", "KEYLESS_", "IDENTITY_", "IMDS_", "MSI_", "SYSTEM_OIDC", "SYSTEM_ACCESSTOKEN"} {
			if strings.HasPrefix(name, prefix) {
				return true
			}
		}
		return slices.Contains(caVariables(), name) || slices.Contains([]string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_DIR"}, name)
	})
}

// caVariables are where programs read from which certificates they trust.
func caVariables() []string {
	return []string{
		"SSL_CERT_FILE",       // Go, OpenSSL
		"AWS_CA_BUNDLE",       // AWS CLI and SDKs
		"REQUESTS_CA_BUNDLE",  // Python
		"CURL_CA_BUNDLE",      // curl
		"NODE_EXTRA_CA_CERTS", // Node.js
		"GIT_SSL_CAINFO", "PIP_CERT", "HTTPLIB2_CA_CERTS", "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "NIX_SSL_CERT_FILE",
	}
}

// childError keeps the exit code of a command that ran.
func childError(err error) error {
	var exited *exec.ExitError
	if !errors.As(err, &exited) {
		return err
	}
	return exitError(exitCodeOf(exited))
}
