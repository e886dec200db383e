package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keyless-id/keyless/audit"
	"github.com/keyless-id/keyless/profile"
	"github.com/keyless-id/keyless/trust"
)

func newAudit(p *program) *cobra.Command {
	var asJSON, asSARIF, rules, live bool
	failOn := audit.Low
	cmd := &cobra.Command{
		Use:   "audit FILE… | --account",
		Short: "Judge which IAM roles trust too much, and say what to write instead",
		Long: "Judge the trust policies of IAM roles: who gets in that was not meant, what is pinned to\n" +
			"the wrong claim and lets nobody in, what will stop to work, what nobody needs. Each finding\n" +
			"comes with a reason and the change to the policy.\n\n" +
			"A FILE is a trust policy; what aws iam list-roles, get-role,\n" +
			"get-account-authorization-details, list-open-id-connect-providers or\n" +
			"get-open-id-connect-provider print; or what terraform show -json prints of a plan or a state.\n" +
			"A folder stands for its files that end in .json, and - for stdin. Several files are judged as\n" +
			"one account, and nobody is asked. With --account the account that the AWS login is for is\n" +
			"read instead: that takes iam:ListRoles, iam:ListOpenIDConnectProviders and\n" +
			"iam:GetOpenIDConnectProvider. Nothing is changed.\n\n" +
			"The exit code is 1 if there are findings, and 2 if a file cannot be read or a policy in it\n" +
			"cannot be judged.",
		Example: "  keyless audit trust.json\n" +
			"  aws iam list-roles > roles.json\n" +
			"  aws iam list-open-id-connect-providers > providers.json\n" +
			"  keyless audit roles.json providers.json\n" +
			"  keyless audit --account\n" +
			"  terraform show -json plan.out | keyless audit --sarif - > audit.sarif",
		Args: func(cmd *cobra.Command, args []string) error {
			if rules || live {
				return cobra.NoArgs(cmd, args)
			}
			return cobra.MinimumNArgs(1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if asJSON && asSARIF {
				return usageError{errors.New("--json and --sarif: want one of them")}
			}
			if rules {
				return p.rules(asJSON)
			}
			inventory, err := p.inventory(cmd.Context(), args)
			if err != nil {
				return err
			}
			return p.judged(inventory.Judge(), failOn, asJSON, asSARIF)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object with findings")
	cmd.Flags().BoolVar(&asSARIF, "sarif", false, "print SARIF 2.1.0, for code scanning")
	cmd.Flags().BoolVar(&live, "account", false, "read the account that the AWS login is for (environment, container, instance, aws CLI)")
	cmd.Flags().BoolVar(&rules, "rules", false, "print what is looked for, and where that is written")
	cmd.Flags().TextVar(&failOn, "fail-on", audit.Low, "the least `severity` that makes the exit code 1: low, medium, high or critical")
	return cmd
}

// inventory is what the arguments name; none: the account of the AWS login.
func (p *program) inventory(ctx context.Context, names []string) (*audit.Inventory, error) {
	if len(names) == 0 {
		return p.liveAccount(ctx)
	}
	var all audit.Inventory
	for _, name := range names {
		files, err := jsonFiles(name)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			data, err := p.readAudited(file)
			if err != nil {
				return nil, err
			}
			if err := all.Add(file, data); err != nil {
				return nil, &profile.Error{File: file, Message: err.Error()}
			}
		}
	}
	return &all, nil
}

// liveAccount asks IAM. An account of which something cannot be read is not judged: the
// rest could look sound.
func (p *program) liveAccount(ctx context.Context) (*audit.Inventory, error) {
	account, err := p.account(ctx)
	if err != nil {
		return nil, err
	}
	found, err := account.Roles(ctx)
	if err != nil {
		return nil, err
	}
	arns, err := account.Providers(ctx)
	if err != nil {
		return nil, err
	}
	var roles []audit.Role
	for _, r := range found {
		roles = append(roles, audit.Role{Name: r.ARN, Document: r.TrustPolicy})
	}
	var providers []audit.Provider
	for _, arn := range arns {
		one, err := account.Provider(ctx, arn)
		if err != nil {
			return nil, err
		}
		providers = append(providers, audit.Provider{Name: arn, Issuer: trust.ProviderName(arn), Thumbprints: one.Thumbprints})
	}
	var all audit.Inventory
	all.AddAccount(roles, providers)
	return &all, nil
}

// jsonFiles are the files that an argument stands for.
func jsonFiles(name string) ([]string, error) {
	if info, err := os.Stat(name); err != nil || !info.IsDir() {
		return []string{name}, nil //nolint:nilerr // reading it says what is wrong
	}
	var files []string
	err := filepath.WalkDir(name, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && filepath.Ext(path) == ".json" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return nil, unreadable(name, err)
	}
	if len(files) == 0 {
		return nil, &profile.Error{File: name, Message: "has no files that end in .json"}
	}
	return files, nil
}

// readAudited reads a file, or stdin for "-", to a byte more than is judged.
func (p *program) readAudited(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(p.stdin, audit.MaxFile+1))
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, unreadable(name, err)
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, audit.MaxFile+1))
	if err != nil {
		return nil, unreadable(name, err)
	}
	return data, nil
}

// judged prints a report and says by the exit code how it is.
func (p *program) judged(r audit.Report, failOn audit.Severity, asJSON, asSARIF bool) error {
	if err := p.printAudit(r, asJSON, asSARIF); err != nil {
		return err
	}
	for _, u := range r.Unjudged {
		parts := slices.DeleteFunc([]string{"not judged", u.File, u.Role, u.Why}, func(s string) bool { return s == "" })
		p.warn(shown(strings.Join(parts, ": ")))
	}
	switch {
	case r.Worst() >= failOn:
		return exitError(exitFailed)
	case len(r.Unjudged) > 0:
		return exitError(exitUsage)
	}
	return nil
}

func (p *program) printAudit(r audit.Report, asJSON, asSARIF bool) error {
	switch {
	case asJSON:
		return printJSON(p.stdout, r)
	case asSARIF:
		text, err := r.SARIF(version())
		if err == nil {
			_, err = fmt.Fprintf(p.stdout, "%s\n", text)
		}
		return err
	}
	return newPage(p.stdout, p.getenv).audit(r)
}

func (p *page) audit(r audit.Report) error {
	for _, f := range r.Findings {
		p.finding(f)
	}
	mark := p.mark(len(r.Findings) == 0 && len(r.Unjudged) == 0)
	p.line("%s judged: %s, %s; findings: %d; not judged: %d", mark, count(r.Roles, "role"), count(r.Providers, "provider"), len(r.Findings), len(r.Unjudged))
	return p.out.Flush()
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (p *page) finding(f audit.Finding) {
	const indent = 8
	p.line("%s %s", p.paint(red, f.Severity.String()), p.paint(bold, f.Title)+p.paint(faint, " ["+f.Rule+"]"))
	where := f.File
	if f.Line > 0 && where != "" {
		where = fmt.Sprintf("%s:%d", where, f.Line)
	}
	if place := f.Place(); place != "" && where != "" {
		where += ": " + place
	} else {
		where += place
	}
	p.line("  %s %s", p.paint(faint, "where"), p.wrap(shown(where), indent))
	p.line("  %s %s", p.paint(faint, "why  "), p.wrap(shown(f.Why), indent))
	p.line("  %s %s", p.paint(faint, "to do"), p.wrap(shown(f.Advice), indent))
	for line := range strings.Lines(f.Fix()) {
		p.line("    %s", p.changed(shown(strings.TrimSuffix(line, "\n"))))
	}
	p.line("")
}

// changed paints a line of a diff.
func (p *page) changed(line string) string {
	switch {
	case strings.HasPrefix(line, "---"), strings.HasPrefix(line, "+++"), strings.HasPrefix(line, "@@"):
		return p.paint(faint, line)
	case strings.HasPrefix(line, "-"):
		return p.paint(red, line)
	case strings.HasPrefix(line, "+"):
		return p.paint(green, line)
	}
	return line
}

// shown takes what could move a terminal's cursor out of foreign text.
func shown(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || 0x80 <= r && r < 0xa0 {
			return '\uFFFD'
		}
		return r
	}, text)
}

func (p *program) rules(asJSON bool) error {
	all := audit.Rules()
	if asJSON {
		return printJSON(p.stdout, map[string]any{"rules": all})
	}
	page := newPage(p.stdout, p.getenv)
	for _, r := range all {
		page.line("%s %-9s%s", page.paint(bold, fmt.Sprintf("%-20s", r.ID)), r.Severity, r.Title)
		page.line("  %s", page.wrap(r.Why, 2))
		page.line("  %s", page.paint(faint, r.Source))
	}
	return page.out.Flush()
}
