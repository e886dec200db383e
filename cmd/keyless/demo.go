package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/jwtpeek"
	"github.com/keyless-id/keyless/profile"
	"github.com/keyless-id/keyless/sandbox"
)

func newDemo(p *program) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Tell the whole story offline, step by step",
		Long: "Start the sandbox and go the whole way from a virtual machine in Azure to a bucket in\n" +
			"AWS, then try a role that trusts somebody else. Every step truly happens, over\n" +
			"loopback; the exit code is 0 only if every one went as told.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), time.Minute)
			defer cancel()
			return p.demo(ctx, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the story as JSON")
	return cmd
}

// step is one step of the story.
type step struct {
	Title  string  `json:"title"`
	OK     bool    `json:"ok"` // it went as the story has it
	Facts  []fact  `json:"facts"`
	Checks []check `json:"checks,omitempty"`
	Error  string  `json:"error,omitempty"`
	Hint   string  `json:"hint,omitempty"`
}

type fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// check is one condition of a trust policy with its verdict.
type check struct {
	Condition string   `json:"condition"`
	Want      []string `json:"want"`
	Got       []string `json:"got"`
	OK        bool     `json:"ok"`
}

func (s *step) tell(name, format string, args ...any) {
	s.Facts = append(s.Facts, fact{name, fmt.Sprintf(format, args...)})
}

// story is the demo as it goes along.
type story struct {
	*playground
	getenv func(string) string

	profile     *profile.Built
	token       keyless.Token
	credentials keyless.Credentials
}

var errDemo = failedError{errors.New("the demo did not go as told")}

func (p *program) demo(ctx context.Context, asJSON bool) error {
	ctx, stop := untilInterrupted(ctx)
	defer stop()
	dir, err := folder("")
	if err != nil {
		return err
	}
	g, err := newPlayground(dir)
	if err != nil {
		return err
	}
	s := &story{playground: g, getenv: g.getenv(p.getenv)}
	steps := s.run(ctx)
	if err := g.remove(); err != nil {
		return err
	}
	if err := p.printDemo(steps, asJSON); err != nil {
		return err
	}
	for _, step := range steps {
		if !step.OK {
			return errDemo
		}
	}
	return nil
}

func (p *program) printDemo(steps []step, asJSON bool) error {
	if asJSON {
		return printJSON(p.stdout, map[string]any{"steps": steps})
	}
	return newPage(p.stdout, p.getenv).story(steps)
}

// run goes the steps and stops at the first that fails.
func (s *story) run(ctx context.Context) []step {
	var steps []step
	for _, next := range []struct {
		title string
		do    func(context.Context, *step) error
	}{
		{"Both clouds, on this machine", s.farSides},
		{"Who is this workload? The managed identity of an Azure VM", s.source},
		{"Trade the proof at AWS STS", s.exchange},
		{"Why did the role let it in? Its trust policy, condition by condition", s.verdict},
		{"Use the credentials: who does AWS say this is?", s.caller},
		{"Use the credentials: read a bucket", s.bucket},
		{"And a role that trusts somebody else", s.refusal},
	} {
		step := step{Title: next.title}
		err := next.do(ctx, &step)
		step.OK = err == nil
		if err != nil {
			step.Error, step.Hint = err.Error(), hintOf(err)
		}
		if steps = append(steps, step); err != nil {
			break
		}
	}
	return steps
}

func (s *story) farSides(_ context.Context, step *step) error {
	step.tell("Entra ID", "%s", s.URL(sandbox.Entra))
	step.tell("IMDS", "%s   (on a VM: http://169.254.169.254)", s.URL(sandbox.IMDS))
	step.tell("AWS STS", "%s", s.URL(sandbox.STS))
	step.tell("AWS S3", "%s", s.URL(sandbox.S3))
	step.tell("keys stored", "0")
	return nil
}

func (s *story) build(name string) (*profile.Built, error) {
	selected, err := profile.Select(name, filepath.Join(s.dir, "keyless.yaml"), nil, s.getenv)
	if err != nil {
		return nil, err
	}
	return selected.Build(s.getenv)
}

func (s *story) source(ctx context.Context, step *step) (err error) {
	if s.profile, err = s.build("vm"); err != nil {
		return err
	}
	if s.token, err = s.profile.Source.Token(ctx); err != nil {
		return err
	}
	claims, err := jwtpeek.Unverified(s.token.Value.Reveal())
	if err != nil {
		return err
	}
	step.tell("asked", "instance metadata for a token for %s", sandbox.DemoAudience)
	step.tell("iss", "%s", claims.Issuer)
	step.tell("aud", "%s", strings.Join(claims.Audience, " "))
	step.tell("sub", "%s   (object id of the identity)", claims.Subject)
	step.tell("ver", "%s", claims.Version)
	step.tell("lives", "%s", span(time.Until(s.token.Expiry)))
	return nil
}

func (s *story) exchange(ctx context.Context, step *step) (err error) {
	if s.credentials, err = s.profile.Exchanger.Exchange(ctx, s.token); err != nil {
		return err
	}
	step.tell("asked", "AssumeRoleWithWebIdentity %s", sandbox.DemoRoleARN)
	step.tell("access key", "%s", abbreviate(s.credentials.AccessKeyID))
	step.tell("secret", "%v", s.credentials.SecretAccessKey)
	step.tell("lives", "%s, until %s", span(time.Until(s.credentials.Expiry)), s.credentials.Expiry.UTC().Format(time.RFC3339))
	return nil
}

// verdict shows what STS's decision on the last exchange rested on.
func (s *story) verdict(_ context.Context, step *step) error {
	decision := s.lastDecision()
	if decision == nil || !decision.Allowed {
		return errors.New("STS noted no decision that allows")
	}
	step.tell("decision", "%s", decision.Reason)
	step.Checks = checksOf(decision)
	return nil
}

func (s *story) caller(ctx context.Context, step *step) error {
	identity, err := service{"sts", s.URL(sandbox.STS), s.credentials}.callerIdentity(ctx)
	if err != nil {
		return err
	}
	step.tell("account", "%s", identity.Account)
	step.tell("caller", "%s", identity.ARN)
	return nil
}

func (s *story) bucket(ctx context.Context, step *step) error {
	s3 := service{"s3", s.URL(sandbox.S3), s.credentials}
	keys, err := s3.listBucket(ctx, sandbox.DemoBucket)
	if err != nil {
		return err
	}
	for _, key := range keys {
		step.tell("s3", "s3://%s/%s", sandbox.DemoBucket, key)
	}
	text, err := s3.readObject(ctx, sandbox.DemoBucket, "hello.txt")
	step.tell("hello.txt", "%s", oneLine(text))
	return err
}

// refusal must be refused, and by the condition on the subject.
func (s *story) refusal(ctx context.Context, step *step) error {
	stranger, err := s.build("stranger")
	if err != nil {
		return err
	}
	_, err = keyless.Federate(stranger.Source, stranger.Exchanger).Credentials(ctx)
	var refused *keyless.Error
	if !errors.As(err, &refused) || refused.Code != "AccessDenied" {
		return fmt.Errorf("want AccessDenied from STS, got: %w", err)
	}
	step.tell("asked", "AssumeRoleWithWebIdentity %s", sandbox.DemoOtherARN)
	step.tell("refused", "%s", err)
	step.tell("hint", "%s", refused.Hint)
	decision := s.lastDecision()
	if decision == nil || decision.Allowed {
		return errors.New("STS noted no decision that refuses")
	}
	step.Checks = checksOf(decision)
	return nil
}

// abbreviate shows as much of an access key id as helps to tell two apart.
func abbreviate(id string) string {
	if len(id) < 12 {
		return id
	}
	return id[:4] + "…" + id[len(id)-4:]
}

// span is d to the minute, as a person writes it.
func span(d time.Duration) string {
	return strings.TrimSuffix(strings.TrimSuffix(d.Round(time.Minute).String(), "0s"), "0m")
}
