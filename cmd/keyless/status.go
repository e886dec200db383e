package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyless-id/keyless/internal/filecache"
	"github.com/keyless-id/keyless/profile"
)

func newStatus(p *program) *cobra.Command {
	c := &choice{getenv: p.getenv}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status [PROFILE]",
		Short: "Say what is remembered of each profile, and how the last try went",
		Long: "Say for each profile, or for one, how long what is remembered is good for, and the\n" +
			"last failure of calls whose stderr an SDK has swallowed. Nobody is asked. The exit\n" +
			"code is 1 if a profile cannot be used, or its last try failed.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return p.status(c, args, asJSON) },
	}
	cmd.Flags().StringVar(&c.config, "config", "", "configuration `file`; otherwise $KEYLESS_CONFIG, ~/.config/keyless/keyless.yaml, /etc/keyless/keyless.yaml")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.ValidArgsFunction = c.complete
	return cmd
}

// standing is what is known of a profile without asking anybody.
type standing struct {
	Profile     string     `json:"profile"`
	Token       *time.Time `json:"token_expires,omitempty"`
	Credentials *time.Time `json:"credentials_expire,omitempty"`
	FailedAt    *time.Time `json:"failed_at,omitempty"`
	Error       string     `json:"error,omitempty"`
	Hint        string     `json:"hint,omitempty"`
}

func (p *program) status(c *choice, args []string, asJSON bool) error {
	names := args
	if len(names) == 1 {
		if _, _, err := p.build(c, names); err != nil {
			return err
		}
	} else {
		config, err := profile.Read(profile.Find(c.config, p.getenv))
		if err != nil {
			return err
		}
		names = config.Names()
	}
	cache, err := p.openCache()
	if err != nil {
		return err
	}
	all := []standing{}
	well := true
	for _, name := range names {
		s := p.standing(c, cache, name)
		well = well && s.Error == ""
		all = append(all, s)
	}
	if err := p.printStatus(all, asJSON); err != nil {
		return err
	}
	if !well {
		return exitError(exitFailed)
	}
	return nil
}

func (p *program) standing(c *choice, cache *filecache.Cache, name string) standing {
	s := standing{Profile: name}
	_, built, err := p.build(c, []string{name})
	if err != nil {
		s.fail(err)
		return s
	}
	s.Token = good(cache, built.SourceKey)
	s.Credentials = good(cache, built.CredentialsKey)
	for _, key := range []string{built.SourceKey, built.CredentialsKey} {
		if failure, ok := (profile.Memory{Cache: cache}).LastFailure(built, key); ok {
			s.FailedAt = &failure.At
			s.fail(failure.Err)
		}
	}
	return s
}

func (s *standing) fail(err error) { s.Error, s.Hint = oneLine(err.Error()), oneLine(hintOf(err)) }

// good is until when an entry may be handed out; nil if there is none.
func good(cache *filecache.Cache, key string) *time.Time {
	entry, err := cache.ReadEntry(key)
	if key == "" || err != nil || !entry.Usable(time.Now()) {
		return nil
	}
	return &entry.Expiry
}

func (p *program) printStatus(all []standing, asJSON bool) error {
	if asJSON {
		return printJSON(p.stdout, map[string]any{"profiles": all})
	}
	page := newPage(p.stdout, p.getenv)
	for _, s := range all {
		page.line("%s %s", page.mark(s.Error == ""), page.paint(bold, s.Profile))
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
