package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/delivery"
	"github.com/keyless-id/keyless/profile"
)

func newToken(p *program) *cobra.Command {
	c := &choice{getenv: p.getenv}
	var claims string
	var w watch
	cmd := &cobra.Command{
		Use:   "token [PROFILE]",
		Short: "Print an identity token, or what it says",
		Long: "Print the token with which the profile's source proves who the workload is. With\n" +
			"--claims print what the token says instead, and what AWS makes of it, for people, or\n" +
			"for programs with --claims=json; nothing is verified.\n\n" +
			"With --out the token goes into a file that is replaced whole, and with --watch as well it\n" +
			"is kept fresh there until SIGTERM, for any program that reads its token from a file again\n" +
			"and again. The file is gone afterwards.",
		Example: "  keyless token deploy --watch --out /run/agent/token",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := w.check(claims, c.socket); err != nil {
				return err
			}
			if w.on {
				return p.watchToken(cmd.Context(), c, args, w.file())
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), processLimit)
			defer cancel()
			return p.token(ctx, c, args, claims, w.file())
		},
	}
	if p.wantsFlags(cmd.Name()) {
		c.addTo(cmd)
	}
	cmd.Flags().StringVar(&claims, "claims", "", "print the token's claims instead of the token, as `text` or json")
	cmd.Flags().Lookup("claims").NoOptDefVal = claimsText
	cmd.Flags().StringVar(&w.out, "out", "", "write the token into this `file`, without a line end, instead of to stdout")
	cmd.Flags().BoolVar(&w.on, "watch", false, "keep the file fresh until SIGTERM; goes with --out")
	return cmd
}

func (p *program) token(ctx context.Context, c *choice, args []string, claims string, file *delivery.File) error {
	if claims != "" && claims != claimsText && claims != claimsJSON {
		return usageError{fmt.Errorf("--claims=%s: want %s or %s", claims, claimsText, claimsJSON)}
	}
	token, found, err := p.askToken(ctx, c, args)
	switch {
	case err != nil:
		return err
	case file != nil:
		return file.Write([]byte(token.Reveal()))
	case claims == "":
		_, err = fmt.Fprintf(p.stdout, "%s\n", token.Reveal())
		return err
	}
	return p.printClaims(token.Reveal(), claims, found)
}

// askToken asks the daemon, the cache or the source; found is whom a source that looks
// around asked.
func (p *program) askToken(ctx context.Context, c *choice, args []string) (token keyless.Secret, found string, err error) {
	if d := c.daemon(); d != nil {
		token, err = d.Token(ctx, p.named(args))
		return token, "", err
	}
	selected, built, err := p.build(c, args)
	if err != nil {
		return token, "", err
	}
	cache, warn := p.cache(c)
	entry, err := profile.Memory{Cache: cache, Warn: warn.note}.Token(ctx, built)
	if err != nil {
		return token, "", err
	}
	warn.print(p, selected.Warnings)
	return keyless.NewSecret(string(entry.Payload)), whence(ctx, built), nil
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
