package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/keyless-id/keyless/profile"
)

func newToken(p *program) *cobra.Command {
	c := &choice{getenv: p.getenv}
	var claims string
	cmd := &cobra.Command{
		Use:   "token [PROFILE]",
		Short: "Print an identity token, or what it says",
		Long: "Print the token with which the profile's source proves who the workload is. With\n" +
			"--claims print what the token says instead, and what AWS makes of it, for people, or\n" +
			"for programs with --claims=json; nothing is verified.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), processLimit)
			defer cancel()
			return p.token(ctx, c, args, claims)
		},
	}
	if p.wantsFlags(cmd.Name()) {
		c.addTo(cmd)
	}
	cmd.Flags().StringVar(&claims, "claims", "", "print the token's claims instead of the token, as `text` or json")
	cmd.Flags().Lookup("claims").NoOptDefVal = claimsText
	return cmd
}

func (p *program) token(ctx context.Context, c *choice, args []string, claims string) error {
	if claims != "" && claims != claimsText && claims != claimsJSON {
		return usageError{fmt.Errorf("--claims=%s: want %s or %s", claims, claimsText, claimsJSON)}
	}
	selected, built, err := p.build(c, args)
	if err != nil {
		return err
	}
	cache, warn := p.cache(c)
	entry, err := profile.Memory{Cache: cache, Warn: warn.note}.Token(ctx, built)
	if err != nil {
		return err
	}
	warn.print(p, selected.Warnings)
	if claims == "" {
		_, err = fmt.Fprintf(p.stdout, "%s\n", entry.Payload)
		return err
	}
	return p.printClaims(string(entry.Payload), claims, whence(ctx, built))
}

// whence says whom a source that looks around asked; empty if the profile names it.
func whence(ctx context.Context, built *profile.Built) string {
	if built.Found == nil {
		return ""
	}
	found, err := built.Found(ctx)
	if err != nil {
		return "a memory; now the source says: " + err.Error()
	}
	return found
}
