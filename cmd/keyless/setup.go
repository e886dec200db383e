package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/keyless-id/keyless/setup"
)

func newSetup(p *program) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Make what lets an Azure identity use AWS, or the way back",
		Long: "Make what a workload needs so that a role in AWS trusts its identity in Entra: an application\n" +
			"that stands for AWS, the workload assigned to it, the IAM OIDC provider, a role that pins\n" +
			"audience and subject, and its policies. Or the way back, for a role in AWS that becomes an\n" +
			"identity in Entra: outbound federation, a policy, and a federated credential.\n\n" +
			"It uses the logins of az and aws, or a profile of keyless (--as).",
		Example: "  keyless setup plan vm --managed-identity /subscriptions/…/virtualMachines/vm --role app\n" +
			"  keyless setup apply vm --managed-identity /subscriptions/…/virtualMachines/vm --role app\n" +
			"  keyless setup plan deploy --service-connection ID --organization-id ID --issuer both\n" +
			"  keyless setup plan agent --aws-role agent\n" +
			"  keyless setup render vm --format terraform --out ./federation --tenant ID --account ID …",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSetupPlan(p), newSetupApply(p), newSetupDestroy(p), newSetupRender(p))
	for _, sub := range cmd.Commands() {
		sub.Args = asUsage(sub.Args)
	}
	return cmd
}

func newSetupPlan(p *program) *cobra.Command {
	w := &wish{program: p}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "plan NAME",
		Short: "Show what is there and what would be made, and change nothing",
		Long:  "Look at both clouds and show what would be made, changed and left as it is, policies as\na diff. Nothing is changed.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			job, err := w.observe(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return p.printPlan(job.spec, setup.Plan(job.spec, job.state), asJSON)
		},
	}
	w.addTo(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object with the steps")
	return cmd
}

func newSetupApply(p *program) *cobra.Command {
	w := &wish{program: p}
	var how howToApply
	cmd := &cobra.Command{
		Use:   "apply NAME",
		Short: "Make what the plan shows",
		Long: "Make what the plan shows, step by step, and print the profile that uses it. What is there\n" +
			"already is left as it is; what is there and says something else is overwritten with\n" +
			"--replace only. After a failure, applying again does the rest.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			job, err := w.observe(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return job.apply(cmd.Context(), how)
		},
	}
	w.addTo(cmd)
	cmd.Flags().BoolVar(&how.yes, "yes", false, "do not ask; without a terminal there is nobody to ask")
	cmd.Flags().BoolVar(&how.try, "try", false, "use it at once, where the workload runs, and wait until AWS and Entra know it everywhere")
	cmd.Flags().BoolVar(&how.replace, "replace", false, "overwrite what is there and says something else, such as a role's trust policy")
	return cmd
}

func newSetupDestroy(p *program) *cobra.Command {
	w := &wish{program: p}
	var yes bool
	cmd := &cobra.Command{
		Use:   "destroy NAME",
		Short: "Take away what was made, and nothing else",
		Long: "Take away what apply with the same flags has made. What it has not made stays, and so does\n" +
			"what others use: a role or an application without its tag, an OIDC provider with other\n" +
			"client ids or that other roles name. It says why.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			job, err := w.observe(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return job.destroy(cmd.Context(), yes)
		},
	}
	w.addTo(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask; without a terminal there is nobody to ask")
	return cmd
}

func newSetupRender(p *program) *cobra.Command {
	w := &wish{program: p}
	var r rendering
	cmd := &cobra.Command{
		Use:   "render NAME",
		Short: "Write the plan as Terraform, CloudFormation or commands",
		Long: "Write files that make the same with other tools: Terraform for both clouds, a CloudFormation\n" +
			"template for the side of AWS, or a script of az and aws commands. Nobody is asked: tenant,\n" +
			"account and the workload's id must be named.",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return r.write(w, args[0]) },
	}
	w.addTo(cmd)
	r.addTo(cmd)
	return cmd
}

// job is a set-up that has been looked at.
type job struct {
	*program
	clouds setup.Clouds
	spec   setup.Spec
	state  setup.State
}

func (w *wish) observe(ctx context.Context, name string) (*job, error) {
	spec, err := w.spec(name)
	if err != nil {
		return nil, err
	}
	for _, warning := range spec.Warnings() {
		w.warn(warning)
	}
	clouds, err := w.clouds(ctx, spec)
	if err != nil {
		return nil, err
	}
	state, err := clouds.Observe(ctx, spec)
	return &job{program: w.program, clouds: clouds, spec: spec, state: state}, err
}

// howToApply is what the flags of apply say beyond what is wanted.
type howToApply struct{ yes, replace, try bool }

func (j *job) apply(ctx context.Context, how howToApply) error {
	steps := setup.Plan(j.spec, j.state)
	if err := j.showPlan(steps); err != nil {
		return err
	}
	if len(setup.Pending(steps)) > 0 {
		if err := j.confirm("Make this?", how.yes); err != nil {
			return err
		}
	}
	state, err := j.applier(how.replace).Apply(ctx, j.spec, j.state)
	if err != nil {
		return j.broken(err)
	}
	document := setup.Profile(j.spec, state)
	if _, err := fmt.Fprint(j.stdout, document); err != nil || how.try {
		return errors.Join(err, j.try(ctx, document))
	}
	fmt.Fprintln(j.stderr, "keyless: done. Try it where the workload runs, with this in keyless.yaml: "+setup.Try(j.spec))
	return nil
}

func (j *job) destroy(ctx context.Context, yes bool) error {
	state, err := j.clouds.Survey(ctx, j.state)
	if err != nil {
		return err
	}
	steps := setup.Unplan(j.spec, state)
	if err := j.showPlan(steps); err != nil {
		return err
	}
	if len(setup.Pending(steps)) == 0 {
		return nil
	}
	if err := j.confirm("Delete this?", yes); err != nil {
		return err
	}
	if _, err := j.applier(false).Destroy(ctx, j.spec, state); err != nil {
		return j.broken(err)
	}
	fmt.Fprintln(j.stderr, "keyless: done")
	return nil
}

func (j *job) applier(replace bool) setup.Applier {
	return setup.Applier{
		Clouds: j.clouds, Replace: replace,
		Progress: func(s setup.Step) {
			fmt.Fprintln(j.stderr, "keyless: "+shown(fmt.Sprintf("%s %s %s", s.Action, s.Task, s.Name)))
		},
		Waiting: func(what string) { fmt.Fprintln(j.stderr, "keyless: waiting for "+what) },
	}
}

// broken says how far it came.
func (j *job) broken(err error) error {
	var at *setup.StepError
	if errors.As(err, &at) {
		fmt.Fprintf(j.stderr, "keyless: %s done, %d left; running the same again goes on from here\n", count(len(at.Done), "step"), len(at.Left)+1)
	}
	return err
}

// confirm asks a person; without one it takes --yes.
func (p *program) confirm(question string, yes bool) error {
	if yes {
		return nil
	}
	if in, ok := p.stdin.(*os.File); !ok || !term.IsTerminal(int(in.Fd())) {
		return usageError{errors.New("nobody to ask: want --yes")}
	}
	fmt.Fprint(p.stderr, question+" [y/N] ")
	answer, err := bufio.NewReader(p.stdin).ReadString('\n')
	if err != nil || !strings.EqualFold(strings.TrimSpace(answer), "y") && !strings.EqualFold(strings.TrimSpace(answer), "yes") {
		return failedError{errors.New("nothing was changed")}
	}
	return nil
}

func (p *program) printPlan(spec setup.Spec, steps []setup.Step, asJSON bool) error {
	if asJSON {
		return printJSON(p.stdout, struct {
			Name    string       `json:"name"`
			Pending int          `json:"pending"`
			Steps   []setup.Step `json:"steps"`
		}{spec.Name, len(setup.Pending(steps)), steps})
	}
	return newPage(p.stdout, p.getenv).plan(steps)
}

// showPlan is for the person who is asked.
func (j *job) showPlan(steps []setup.Step) error { return newPage(j.stderr, j.getenv).plan(steps) }

func (p *page) plan(steps []setup.Step) error {
	counts := map[setup.Action]int{}
	for _, s := range steps {
		counts[s.Action]++
		p.setupStep(s)
	}
	if pending := len(setup.Pending(steps)); pending == 0 {
		p.line("%s nothing to do", p.mark(true))
		return p.out.Flush()
	}
	var parts []string
	for _, action := range []setup.Action{setup.Create, setup.Change, setup.Replace, setup.Delete, setup.Keep} {
		if counts[action] > 0 {
			parts = append(parts, fmt.Sprintf("%d to %s", counts[action], action))
		}
	}
	p.line("%s", strings.Join(parts, ", "))
	return p.out.Flush()
}

func (p *page) setupStep(s setup.Step) {
	p.line("%s %-21s %s", p.sign(s.Action), s.Task, shown(s.Name))
	if s.Why != "" {
		p.line("    %s", p.wrap(shown(s.Why), 4))
	}
	for _, v := range s.Values {
		text := v.After
		if v.Before != "" {
			text = v.Before + " → " + v.After
		}
		p.line("    %s: %s", v.Name, shown(text))
	}
	for line := range strings.Lines(s.Diff) {
		p.line("    %s", p.changed(shown(strings.TrimSuffix(line, "\n"))))
	}
}

// sign is a mark that needs no colour.
func (p *page) sign(a setup.Action) string {
	switch a {
	case setup.Create:
		return p.paint(green, "+")
	case setup.Change:
		return p.paint(bold, "~")
	case setup.Replace:
		return p.paint(red, "!")
	case setup.Delete:
		return p.paint(red, "-")
	}
	return p.paint(faint, "=")
}
