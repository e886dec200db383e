package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/filecache"
	"github.com/keyless-id/keyless/internal/jwtpeek"
	"github.com/keyless-id/keyless/internal/refresh"
)

func newToken(p *program) *cobra.Command {
	c := &choice{getenv: p.getenv}
	var claims bool
	cmd := &cobra.Command{
		Use:   "token [PROFILE]",
		Short: "Print an identity token, or what it says",
		Long: "Print the token with which the profile's source proves who the workload is. With\n" +
			"--claims print what the token says instead, for people; nothing is verified.",
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
	cmd.Flags().BoolVar(&claims, "claims", false, "print the token's claims as JSON instead of the token")
	return cmd
}

func (p *program) token(ctx context.Context, c *choice, args []string, claims bool) error {
	selected, built, err := p.build(c, args)
	if err != nil {
		return err
	}
	cache, warn := p.cache(c)
	if built.Fleeting {
		cache = nil
	}
	query := p.query(built.SourceKey, built.Attempt, warn)
	query.Fetch = func(ctx context.Context) (filecache.Answer, error) { return fetchToken(ctx, built.Source) }
	entry, err := cache.Get(ctx, query)
	if err != nil {
		return deadOnArrival(keyless.HopSource, err)
	}
	warn.print(p, selected.Warnings)
	if !claims {
		_, err = fmt.Fprintf(p.stdout, "%s\n", entry.Payload)
		return err
	}
	return p.printClaims(string(entry.Payload))
}

func fetchToken(ctx context.Context, source keyless.TokenSource) (filecache.Answer, error) {
	token, err := source.Token(ctx)
	if err != nil {
		return filecache.Answer{}, err
	}
	return filecache.Answer{
		Times:   refresh.Times{Obtained: token.Obtained, RefreshAt: token.RefreshAt, Expiry: token.Expiry},
		Payload: []byte(token.Value.Reveal()),
	}, nil
}

func (p *program) printClaims(token string) error {
	claims, err := jwtpeek.Unverified(token)
	if err != nil {
		return &keyless.Error{Hop: keyless.HopSource, Op: "claims", Message: "the token cannot be read", Err: err}
	}
	encoder := json.NewEncoder(p.stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(claims.All)
}
