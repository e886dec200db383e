package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/keyless-id/keyless/convert"
	"github.com/keyless-id/keyless/daemon"
	"github.com/keyless-id/keyless/profile"
)

// oneProxy is what a command line of proxy says.
type oneProxy struct {
	choice
	ofProxy []profile.Setting // and of its route
	print   bool
}

func newProxy(p *program) *cobra.Command {
	c := &oneProxy{choice: choice{getenv: p.getenv}}
	cmd := &cobra.Command{
		Use:   "proxy [PROFILE]",
		Short: "Send what agents post on with a token or a signature",
		Long: "Listen on loopback, and send what an agent posts on to one upstream with the token of the\n" +
			"profile, or signed with its AWS credentials. Without a profile it is the identity of the\n" +
			"host, or the one that flags describe.\n\n" +
			"Without --upstream the environment says it all, as it does for the sidecars that this\n" +
			"command replaces: aad-auth-proxy (TARGET_HOST, AUDIENCE, …) and the remote-write container\n" +
			"of Azure Monitor (INGESTION_URL, …). --print-config writes what either amounts to as a\n" +
			"configuration for keyless serve, which serves several upstreams at once.",
		Example: "  keyless proxy --preset azure-monitor-workspace --upstream https://….metrics.ingest.monitor.azure.com/…\n" +
			"  keyless proxy amp --listen 127.0.0.1:8081 --preset amazon-managed-prometheus --path /api/v1/write --upstream https://…\n" +
			"  TARGET_HOST=https://… AUDIENCE=https://monitor.azure.com/.default IDENTITY_TYPE=systemassigned keyless proxy",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return p.proxy(cmd.Context(), c, args) },
	}
	if p.wantsFlags(cmd.Name()) {
		c.addProfile(cmd)
		c.ofProxy = profile.ProxySettings()
		addSettings(c.flags, c.ofProxy)
		c.flags.BoolVar(&c.print, "print-config", false, "write what the environment amounts to as a configuration, and end")
	}
	return cmd
}

func (p *program) proxy(ctx context.Context, c *oneProxy, args []string) error {
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	given := c.among(c.ofProxy)
	if len(given) > 0 || len(c.given()) > 0 || name != "" {
		if c.print {
			return usageError{errors.New("--print-config is for what the environment says, not for flags")}
		}
		return p.serve(ctx, &c.choice, &daemon.Daemon{ProxyOnly: true, Read: func() (*profile.Config, error) {
			return profile.OneProxy(name, c.config, c.given(), given, p.getenv)
		}})
	}
	return p.sidecar(ctx, c)
}

// sidecar does what the environment says, as one of the programs that know it would.
func (p *program) sidecar(ctx context.Context, c *oneProxy) error {
	result, known, err := convert.Environment(p.getenv)
	switch {
	case err != nil:
		return usageError{err}
	case !known:
		return usageError{&profile.Error{Path: "--upstream", Message: "is missing, and neither TARGET_HOST nor INGESTION_URL is set", Hint: "for example --preset azure-monitor-workspace --upstream https://…"}}
	case c.print:
		_, err := p.stdout.Write(result.Config)
		return err
	}
	for _, note := range result.Notes {
		p.warn(note.String())
	}
	return p.serve(ctx, &c.choice, &daemon.Daemon{ProxyOnly: true, Read: func() (*profile.Config, error) {
		return profile.Parse("", result.Config)
	}})
}
