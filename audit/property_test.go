package audit

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/keyless-id/keyless/trust"
)

// world is an issuer with everybody who has tokens of it. One of them is a friend: the
// policies of the test are to be for those subjects and no others.
type world struct {
	issuer   string
	friend   string // what the subjects of the friend begin with
	subjects []string
	patterns []string
}

func worlds() []world {
	return []world{
		{
			issuer: "https://token.actions.githubusercontent.com", friend: "repo:octo-org/octo-repo:",
			subjects: all("repo:%s/%s:%s", []string{"octo-org", "octo-org-2", "octo-orx", "evil"}, []string{"octo-repo", "octo-repo-2", "octo-rep2", "other"},
				[]string{"ref:refs/heads/main", "environment:prod", "pull_request"}),
			patterns: []string{
				"repo:octo-org/octo-repo:ref:refs/heads/main", "repo:octo-org/octo-repo:*", "repo:octo-org/octo-repo:ref:refs/*/main", "repo:octo-org/octo-repo:pull_request",
				"repo:octo-org/octo-repo*", "repo:octo-org/*", "repo:octo-org*", "repo:*", "*", "repo:*:environment:prod", "repo:*/octo-repo:*", "*:ref:refs/heads/main",
				"repo:octo-org/octo-rep?:*", "repo:octo-or?/octo-repo:*", "repo:octo-org/*:environment:prod", "repo:octo-org?2/octo-repo:*", "repo:?*",
			},
		},
		{
			issuer: "https://app.terraform.io", friend: "organization:acme:project:infra:",
			subjects: all("organization:%s:project:%s:workspace:%s:run_phase:apply", []string{"acme", "acme2", "evil"}, []string{"infra", "infra2", "other"}, []string{"prod", "dev"}),
			patterns: []string{
				"organization:acme:project:infra:workspace:prod:run_phase:apply", "organization:acme:project:infra:*", "organization:acme:project:infra*", "organization:acme:*",
				"organization:acme*", "organization:*", "*", "organization:*:project:infra:workspace:prod:run_phase:*", "organization:acme:project:*:run_phase:apply",
			},
		},
		{
			issuer: "https://oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLE", friend: "system:serviceaccount:ci:",
			subjects: all("system:serviceaccount:%s:%s%s", []string{"ci", "ci2", "cx", "kube-system"}, []string{"deployer", "default"}, []string{""}),
			patterns: []string{
				"system:serviceaccount:ci:deployer", "system:serviceaccount:ci:*", "system:serviceaccount:ci*", "system:serviceaccount:*:default", "system:serviceaccount:*", "*",
				"system:serviceaccount:c?:deployer", "system:serviceaccount:??:d*",
			},
		},
		{
			issuer: "https://vstoken.dev.azure.com/aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", friend: "sc://contoso/shop/",
			subjects: all("sc://%s/%s/%s", []string{"contoso"}, []string{"shop", "shop2", "bank"}, []string{"aws", "aws2"}),
			patterns: []string{"sc://contoso/shop/aws", "sc://contoso/shop/*", "sc://contoso/shop*", "sc://contoso/*", "sc://*/aws", "*", "sc://contoso/*/aws"},
		},
	}
}

// all fills a format with every combination.
func all(format string, a, b, c []string) []string {
	var texts []string
	for _, x := range a {
		for _, y := range b {
			for _, z := range c {
				texts = append(texts, fmt.Sprintf(format, x, y, z))
			}
		}
	}
	return texts
}

func (w world) key() string { return trust.ProviderKey(w.issuer) }

// policy makes one with a few conditions on the subject, and now and then a Deny.
func (w world) policy(source *rand.Rand) *trust.Policy {
	operators := []string{
		"StringLike", "StringLike", "StringLike", "StringEquals", "StringEquals", "ForAnyValue:StringLike", "StringLikeIfExists", "ForAllValues:StringLike",
		"StringNotLike", "StringNotEquals", "StringEqualsIgnoreCase", "ArnLike",
	}
	principal := []trust.Principal{{Type: trust.Federated, ID: trust.ProviderARN("", "111122223333", w.issuer)}}
	condition := func(operator string) trust.Condition {
		c := trust.Condition{Operator: operator, Key: w.key() + ":sub"}
		for range 1 + source.IntN(2) {
			c.Values = append(c.Values, w.patterns[source.IntN(len(w.patterns))])
		}
		return c
	}
	p := &trust.Policy{Version: trust.Version2012}
	for range 1 + source.IntN(2) {
		s := trust.Statement{Effect: trust.Allow, Principals: principal, Actions: []string{trust.AssumeRoleWithWebIdentity}}
		for range source.IntN(3) {
			c := condition(operators[source.IntN(len(operators))])
			require(&s, c.Operator, c.Key, c.Values...)
		}
		p.Statements = append(p.Statements, s)
	}
	if source.IntN(3) == 0 {
		operator := []string{"StringNotLike", "StringNotEquals", "StringLike", "ForAnyValue:StringNotLike", "StringNotLikeIfExists"}[source.IntN(5)]
		p.Statements = append(p.Statements, trust.Statement{
			Effect: trust.Deny, Principals: principal, Actions: []string{"sts:*"}, Conditions: []trust.Condition{condition(operator)},
		})
	}
	return p
}

// admitted are the subjects that the policy lets in, by trust's evaluation and not by the
// audit.
func (w world) admitted(p *trust.Policy) []string {
	var in []string
	for _, subject := range w.subjects {
		claims := trust.Claims{"aud": "sts.amazonaws.com", "sub": subject}
		request := trust.WebIdentityRequest(trust.ProviderARN("", "111122223333", w.issuer), claims, "s", "arn:aws:iam::111122223333:role/r")
		if p.Evaluate(request).Allowed {
			in = append(in, subject)
		}
	}
	return in
}

func (w world) strangers(p *trust.Policy) []string {
	return slices.DeleteFunc(w.admitted(p), func(subject string) bool { return strings.HasPrefix(subject, w.friend) })
}

// opens reports whether a finding says that somebody else gets in.
func opens(f Finding) bool {
	switch f.Rule {
	case noSubject, negatedSubject, crossesTenants, crossesProjects:
		return true
	}
	return false
}

// A policy that lets a stranger in has a finding that says so, and one of whose findings
// says so lets one in.
func TestFindingsAreWhatTheEvaluationSays(t *testing.T) {
	source := rand.New(rand.NewPCG(6, 4))
	open, closed := 0, 0
	for _, w := range worlds() {
		for range 1200 {
			p := w.policy(source)
			findings, strangers := Policy(p), w.strangers(p)
			said := slices.ContainsFunc(findings, opens)
			text, _ := p.MarshalJSON()
			switch {
			case len(strangers) > 0 && !said:
				t.Fatalf("lets in %s and has %v\n%s", strangers, rulesOf(findings), text)
			case len(strangers) == 0 && said && len(w.admitted(p)) > 0 && !careful(p):
				t.Fatalf("lets in no stranger and has %v\n%s", rulesOf(findings), text)
			}
			if len(strangers) > 0 {
				open++
			} else {
				closed++
			}
		}
	}
	if open < 300 || closed < 300 {
		t.Errorf("%d open, %d closed: the policies are too much alike", open, closed)
	}
}

// careful reports whether the audit may say more than one evaluation: it looks at each
// condition of a statement alone, and takes ARN operators for those of texts.
func careful(p *trust.Policy) bool {
	return slices.ContainsFunc(p.Statements, func(s trust.Statement) bool {
		arn := slices.ContainsFunc(s.Conditions, func(c trust.Condition) bool { return c.Operator == "ArnLike" })
		return s.Effect == trust.Deny || len(s.Conditions) > 1 || arn
	})
}

// A fix takes its finding away, is a policy that IAM reads, and lets in nobody who was
// not let in before.
func TestEveryFixMends(t *testing.T) {
	fixed := 0
	check := func(name string, p *trust.Policy, w *world) {
		for _, f := range Policy(p) {
			after := f.fixed()
			if after == nil {
				continue
			}
			fixed++
			text, err := after.MarshalJSON()
			if err != nil || f.Fix() == "" {
				t.Fatalf("%s: %s: %v, fix %q", name, f.Rule, err, f.Fix())
			}
			again, err := trust.Parse(text)
			if err != nil {
				t.Fatalf("%s: %s: %v\n%s", name, f.Rule, err, text)
			}
			for _, left := range Policy(again) {
				if left.Rule == f.Rule && left.Statement == f.Statement && left.Why == f.Why && f.Rule != issuerRetiring {
					t.Errorf("%s: %s is still there: %s\n%s", name, f.Rule, left.Why, f.Fix())
				}
			}
			if w == nil {
				continue
			}
			before := w.admitted(p)
			for _, subject := range w.admitted(again) {
				if !slices.Contains(before, subject) && f.Severity >= High {
					t.Errorf("%s lets in %s, which was not let in before\n%s", f.Rule, subject, f.Fix())
				}
			}
		}
	}
	for l, p := range corpus(t) {
		check(l.File, p, nil)
	}
	source := rand.New(rand.NewPCG(7, 4))
	for _, w := range worlds() {
		for range 300 {
			check(w.issuer, w.policy(source), &w)
		}
	}
	if fixed < 300 {
		t.Errorf("%d fixes only", fixed)
	}
}

// Judging does not depend on what was judged before, and changes nothing.
func TestJudgingIsRepeatable(t *testing.T) {
	var j judge
	for l, p := range corpus(t) {
		before, _ := p.MarshalJSON()
		first, second := j.policy(p), Policy(p)
		after, _ := p.MarshalJSON()
		if string(before) != string(after) {
			t.Errorf("%s: the policy was changed", l.File)
		}
		if !slices.EqualFunc(first, second, func(a, b Finding) bool { return a.Why == b.Why && a.Fix() == b.Fix() }) {
			t.Errorf("%s: %v, then %v", l.File, first, second)
		}
	}
}
