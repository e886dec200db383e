package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/doctor"
	"github.com/keyless-id/keyless/internal/iam"
	"github.com/keyless-id/keyless/profile"
	"github.com/keyless-id/keyless/trust"
)

func newDoctor(p *program) *cobra.Command {
	c := &choice{getenv: p.getenv}
	var policy, explain, workspace string
	var asJSON, thorough bool
	cmd := &cobra.Command{
		Use:   "doctor [PROFILE]",
		Short: "Say what is wrong on the way to the credentials, and what to do",
		Long: "Go the way of a profile hop by hop: the host, the clock, the token's claims, the IAM\n" +
			"OIDC provider, the keys of the issuer, the role and its trust policy condition by\n" +
			"condition, the session, what wins over the credentials here, and the endpoints to which\n" +
			"serve.proxy sends. Each finding comes with what was seen and a fix: a command, a setting,\n" +
			"or a diff of the policy. Everything is asked for real, nothing is remembered, and nothing\n" +
			"is changed. Without a configuration it says what host this is.\n\n" +
			"IAM is read as the session itself and, if STS refuses or with --login, with your own AWS\n" +
			"login (the environment, the host, the AWS CLI); otherwise give the role's trust policy with\n" +
			"--policy. What could not be read is said, and never called right.\n\n" +
			"The exit code is that of the first hop that fails: 2 configuration, 3 source, 4 exchange,\n" +
			"1 what comes after, 75 if trying again later can help; 0 if nothing failed.",
		Example: "  keyless doctor deploy\n" +
			"  aws iam get-role --role-name deploy --query Role.AssumeRolePolicyDocument > trust.json\n" +
			"  keyless doctor deploy --policy trust.json\n" +
			"  keyless doctor --explain AADSTS700213",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if explain != "" {
				return p.explain(explain, asJSON)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), processLimit)
			defer cancel()
			report, err := p.examine(ctx, c, args, doctor.Doctor{Getenv: p.getenv, Thorough: thorough, Workspace: workspace}, policy)
			if err != nil {
				return err
			}
			return p.diagnosed(report, asJSON)
		},
	}
	if p.wantsFlags(cmd.Name()) {
		c.addWords(cmd)
	}
	cmd.Flags().BoolVar(&thorough, "login", false, "read IAM with your own AWS login also if STS lets the token in")
	cmd.Flags().StringVar(&policy, "policy", "", "judge the role's trust policy in this `file` (- for stdin) if it cannot be read live")
	cmd.Flags().StringVar(&workspace, "workspace", "", "read from the Log Analytics workspace with this `id` whether rows are dropped behind the endpoint")
	cmd.Flags().StringVar(&explain, "explain", "", "say what a `code` means: of a finding, of Entra (AADSTS…) or of AWS STS")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object with findings")
	return cmd
}

func (p *program) explain(code string, asJSON bool) error {
	known, ok := doctor.Explain(code)
	if !ok {
		return usageError{fmt.Errorf("--explain: %q is not known here", code)}
	}
	if asJSON {
		return printJSON(p.stdout, known)
	}
	page := newPage(p.stdout, p.getenv)
	page.line("%s", page.paint(bold, known.Code))
	page.line("  %s", page.wrap(known.Means, 2))
	return page.out.Flush()
}

// examine also reports on a profile that cannot be read; its error is about the command
// line.
func (p *program) examine(ctx context.Context, c *choice, args []string, d doctor.Doctor, policy string) (doctor.Report, error) {
	if policy != "" {
		var err error
		if d.Policy, err = p.readPolicy(policy); err != nil {
			return doctor.Report{}, err
		}
	}
	if len(args) == 0 && len(c.given()) == 0 && profile.Find(c.config, p.getenv) == "" {
		return d.Examine(ctx), nil
	}
	var err error
	if d.Profile, d.Routes, err = p.served(c, args); err != nil {
		return misconfigured(err)
	}
	if d.Profile.AWS != nil {
		d.IAM, d.Login = p.rolesAccount(d.Profile), keyless.CredentialsProviderFunc(p.ownLogin)
	}
	return d.Examine(ctx), nil
}

// misconfigured is a report if it is the configuration that is wrong.
func misconfigured(err error) (doctor.Report, error) {
	var wrong *profile.Error
	if errors.As(err, &wrong) {
		return doctor.Misconfigured(err), nil
	}
	return doctor.Report{}, err
}

// readPolicy reads a trust policy, to a byte more than is judged.
func (p *program) readPolicy(name string) ([]byte, error) {
	in := p.stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, unreadable(name, err)
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	data, err := io.ReadAll(io.LimitReader(in, trust.MaxDocument+1))
	if err == nil && len(data) == 0 {
		err = errors.New("is empty")
	}
	if err != nil {
		return nil, unreadable(name, err)
	}
	return data, nil
}

// served is the profile that is meant, as the daemon would serve it, with the routes that
// its identity is for.
func (p *program) served(c *choice, args []string) (*profile.Selected, []profile.Route, error) {
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	if path := profile.Find(c.config, p.getenv); path != "" && len(c.given()) == 0 {
		return p.servedFrom(path, name)
	}
	selected, err := profile.Select(name, c.config, c.given(), p.getenv)
	return selected, nil, err
}

func (p *program) servedFrom(path, name string) (*profile.Selected, []profile.Route, error) {
	config, err := profile.Read(path)
	if err != nil {
		return nil, nil, err
	}
	serve, err := config.Serve(p.getenv)
	if err != nil {
		return nil, nil, err
	}
	if name, err = config.Choose(name, p.getenv); err != nil {
		return nil, nil, err
	}
	selected, err := config.Served(serve, name, p.getenv)
	return selected, serve.Routes(name), err
}

// rolesAccount reads IAM where the role is; nil where nobody knows where that is. If STS was
// moved, to a sandbox for example, IAM must have been moved too: its credentials are not
// AWS's.
func (p *program) rolesAccount(selected *profile.Selected) func(keyless.CredentialsProvider, *http.Client) doctor.Account {
	moved := p.getenv("AWS_ENDPOINT_URL_IAM")
	if moved == "" && (selected.AWS.STSEndpoint != "" || p.getenv("AWS_ENDPOINT_URL_STS") != "") {
		return nil
	}
	partition, _, _ := strings.Cut(strings.TrimPrefix(selected.AWS.RoleARN, "arn:"), ":")
	endpoint, region := iam.Endpoint(partition)
	if endpoint = cmp.Or(moved, endpoint); endpoint == "" {
		return nil
	}
	return func(credentials keyless.CredentialsProvider, client *http.Client) doctor.Account {
		return iam.Client{Credentials: credentials, Endpoint: endpoint, Region: region, HTTPClient: client}
	}
}

// ownLogin is whoever runs the program at AWS, if anybody.
func (p *program) ownLogin(ctx context.Context) (keyless.Credentials, error) {
	login, err := p.awsLogin(ctx)
	if err != nil {
		return keyless.Credentials{}, err
	}
	return login.Credentials(ctx)
}

// diagnosed prints a report and says by the exit code which hop failed first.
func (p *program) diagnosed(r doctor.Report, asJSON bool) error {
	var err error
	if asJSON {
		err = printJSON(p.stdout, r)
	} else {
		err = newPage(p.stdout, p.getenv).diagnosis(r)
	}
	if err != nil {
		return err
	}
	if f, failed := r.FirstFailure(); failed {
		return exitError(exitOfFinding(f))
	}
	return nil
}

func exitOfFinding(f doctor.Finding) int {
	if f.Hop == doctor.HopConfiguration {
		return exitUsage
	}
	return exitOfHop(f.Hop, f.Temporary)
}

func (p *page) diagnosis(r doctor.Report) error {
	for _, f := range r.Findings {
		p.diagnose(f)
	}
	failed, _ := r.FirstFailure()
	switch {
	case failed.Verdict != "":
		p.line("%s %s", p.mark(false), p.paint(bold, "begin with: "+failed.Check))
	case !r.Complete:
		p.line("%s nothing failed; not everything could be looked at", p.mark(true))
	default:
		p.line("%s nothing failed", p.mark(true))
	}
	return p.out.Flush()
}

func (p *page) diagnose(f doctor.Finding) {
	const indent = 4
	code := ""
	if f.Code != "" {
		code = p.paint(faint, " ["+shown(f.Code)+"]")
	}
	p.line("%s %s%s", p.verdict(f.Verdict), p.paint(bold, shown(f.Check)+": ")+p.wrap(shown(f.Summary), indent), code)
	for _, line := range f.Evidence {
		p.line("    %s", p.paint(faint, p.wrap(shown(line), indent)))
	}
	for i, line := range strings.Split(f.Fix, "\n") {
		switch {
		case f.Fix == "":
		case i == 0:
			p.line("  %s %s", p.paint(green, "→"), p.wrap(shown(line), indent))
		default:
			p.line("    %s", p.changed(shown(line)))
		}
	}
}

func (p *page) verdict(v doctor.Verdict) string {
	switch v {
	case doctor.OK, doctor.Failed:
		return p.mark(v == doctor.OK)
	case doctor.Warning:
		return p.paint(bold, "!")
	}
	return p.paint(faint, "–")
}
