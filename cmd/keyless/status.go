package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyless-id/keyless/daemon"
	"github.com/keyless-id/keyless/internal/filecache"
	"github.com/keyless-id/keyless/profile"
)

func newStatus(p *program) *cobra.Command {
	c := &choice{getenv: p.getenv}
	var asJSON bool
	var socket, collector string
	cmd := &cobra.Command{
		Use:   "status [PROFILE]",
		Short: "Say what is remembered of each profile, and how the last try went",
		Long: "Say for each profile, or for one, how long what is remembered is good for, and the\n" +
			"last failure of calls whose stderr an SDK has swallowed. Nobody is asked. The exit\n" +
			"code is 1 if a profile cannot be used: its last try failed, and nothing that is still good\n" +
			"is remembered. With --socket the daemon is asked what it keeps; then the exit code is 1 too\n" +
			"if it has nothing to hand out yet, so that the command can be a probe.\n\n" +
			"With --collector a keyless-collector is asked: what each exporter has sent, how full its\n" +
			"queue is, and what it holds back and why, and what a receiver that pays for what it reads has\n" +
			"read; the exit code is 1 if anything is held back.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if collector != "" {
				return p.collectorStatus(cmd.Context(), collector, asJSON)
			}
			all, err := p.standings(cmd.Context(), c, socket, args)
			if err != nil {
				return err
			}
			return p.status(all, asJSON)
		},
	}
	c.addConfig(cmd)
	cmd.Flags().StringVar(&socket, "socket", p.getenv("KEYLESS_SOCKET"), "ask the daemon at this `path` instead; $KEYLESS_SOCKET if set")
	cmd.Flags().StringVar(&collector, "collector", p.getenv("KEYLESS_COLLECTOR"), "ask the Collector whose metrics are at this `address` instead, usually 127.0.0.1:8888; $KEYLESS_COLLECTOR if set")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.ValidArgsFunction = c.complete
	return cmd
}

// standings are of the profile that args names, or of all.
func (p *program) standings(ctx context.Context, c *choice, socket string, args []string) ([]daemon.Standing, error) {
	if socket != "" {
		return ofDaemon(ctx, daemon.Client{Socket: socket}, args)
	}
	names := args
	if len(names) == 1 {
		if _, _, err := p.build(c, names); err != nil {
			return nil, err
		}
	} else {
		config, err := profile.Read(profile.Find(c.config, p.getenv))
		if err != nil {
			return nil, err
		}
		names = config.Names()
	}
	cache, err := p.openCache()
	if err != nil {
		return nil, err
	}
	all := []daemon.Standing{}
	for _, name := range names {
		all = append(all, p.standing(c, cache, name))
	}
	return all, nil
}

func ofDaemon(ctx context.Context, client daemon.Client, args []string) ([]daemon.Standing, error) {
	ctx, cancel := context.WithTimeout(ctx, processLimit)
	defer cancel()
	status, err := client.Status(ctx)
	if err != nil {
		return nil, err
	}
	if len(args) == 0 {
		return status.Profiles, nil
	}
	for _, s := range status.Profiles {
		if s.Profile == args[0] {
			return []daemon.Standing{s}, nil
		}
	}
	return nil, failedError{fmt.Errorf("status: the daemon serves no profile %q", args[0])}
}

func (p *program) status(all []daemon.Standing, asJSON bool) error {
	if err := p.printStatus(all, asJSON); err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(s daemon.Standing) bool { return !s.Ready }) {
		return exitError(exitFailed)
	}
	return nil
}

func (p *program) standing(c *choice, cache *filecache.Cache, name string) daemon.Standing {
	s := daemon.Standing{Profile: name}
	_, built, err := p.build(c, []string{name})
	if err != nil {
		fail(&s, err)
		return s
	}
	s.Token = good(cache, built.SourceKey)
	s.Credentials = good(cache, built.CredentialsKey)
	for _, key := range []string{built.SourceKey, built.CredentialsKey} {
		if failure, ok := (profile.Memory{Cache: cache}).LastFailure(built, key); ok {
			s.FailedAt = &failure.At
			fail(&s, failure.Err)
		}
	}
	s.Ready = s.Error == "" || s.Credentials != nil || built.Exchanger == nil && s.Token != nil
	return s
}

func fail(s *daemon.Standing, err error) {
	s.Error, s.Hint = oneLine(err.Error()), oneLine(hintOf(err))
}

// good is until when an entry may be handed out; nil if there is none.
func good(cache *filecache.Cache, key string) *time.Time {
	entry, err := cache.ReadEntry(key)
	if key == "" || err != nil || !entry.Usable(time.Now()) {
		return nil
	}
	return &entry.Expiry
}

func (p *program) printStatus(all []daemon.Standing, asJSON bool) error {
	if asJSON {
		return printJSON(p.stdout, map[string]any{"profiles": all})
	}
	page := newPage(p.stdout, p.getenv)
	for _, s := range all {
		page.line("%s %s", page.mark(s.Ready), page.paint(bold, s.Profile))
		page.until("credentials", s.Credentials)
		page.until("token", s.Token)
		if s.Credentials == nil && s.Token == nil && s.Error == "" {
			page.line("    nothing is remembered")
		}
		if s.Error != "" {
			page.line("    %s %s", page.paint(red, "error"+ago(s.FailedAt)), page.wrap(s.Error, 6))
		}
		if s.Hint != "" {
			page.line("    hint %s", page.wrap(s.Hint, 9))
		}
	}
	return page.out.Flush()
}

func (p *page) until(what string, end *time.Time) {
	if end != nil {
		p.line("    %-12s until %s, for %s", what, clock(*end), time.Until(*end).Round(time.Second))
	}
}

func ago(at *time.Time) string {
	if at == nil {
		return ":"
	}
	return fmt.Sprintf(", %s ago:", time.Since(*at).Round(time.Second))
}

func newCache(p *program) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cache",
		Short: "List or forget what is remembered",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		&cobra.Command{
			Use: "ls", Short: "List the files of the cache", Args: asUsage(cobra.NoArgs),
			RunE: func(*cobra.Command, []string) error { return p.listCache() },
		},
		&cobra.Command{
			Use: "clear", Short: "Forget all tokens, credentials and failures", Args: asUsage(cobra.NoArgs),
			Long: "Forget all tokens, credentials and failures that are remembered for this user.\nCredentials that were handed out are good until they expire nevertheless.",
			RunE: func(*cobra.Command, []string) error { return p.clearCache() },
		},
	)
	return cmd
}

func (p *program) openCache() (*filecache.Cache, error) {
	cache, err := filecache.Open(filecache.Dirs(p.getenv))
	if err != nil {
		return nil, failedError{fmt.Errorf("cache: there is none: %w", err)}
	}
	return cache, nil
}

func (p *program) listCache() error {
	cache, err := p.openCache()
	if err != nil {
		return err
	}
	files, err := cache.List()
	if err != nil {
		return failedError{fmt.Errorf("cache: %w", err)}
	}
	fmt.Fprintln(p.stdout, "# "+cache.Dir())
	for _, file := range files {
		expiry := "-"
		if !file.Expiry.IsZero() {
			expiry = clock(file.Expiry)
		}
		fmt.Fprintf(p.stdout, "%-8s  %s  %-20s  %s\n", file.Kind, clock(file.Written), expiry, file.Name)
	}
	return nil
}

func (p *program) clearCache() error {
	cache, err := p.openCache()
	if err != nil {
		return err
	}
	forgotten, err := cache.Clear()
	if err != nil {
		return failedError{errors.Join(errors.New("cache: not everything could be removed"), err)}
	}
	fmt.Fprintf(p.stdout, "forgotten: %d\n", forgotten)
	return nil
}
