package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keyless-id/keyless/trust"
)

// Policy judges one trust policy. The findings are in the order of its statements; none
// means that the policy is sound as far as the rules go.
func Policy(policy *trust.Policy) []Finding {
	var j judge
	return j.policy(policy)
}

// judge keeps what is the same for all policies of an account. It is for one goroutine.
type judge struct {
	rules   map[string]Rule
	issuers map[string]*issuer
}

func (j *judge) rule(id string) Rule {
	if j.rules == nil {
		j.rules = map[string]Rule{}
		for _, r := range Rules() {
			j.rules[r.ID] = r
		}
	}
	return j.rules[id]
}

// issuer of a provider, by its name in a principal.
func (j *judge) issuer(provider string) *issuer {
	if i, found := j.issuers[provider]; found {
		return i
	}
	if j.issuers == nil {
		j.issuers = map[string]*issuer{}
	}
	i := issuerOf(trust.ProviderName(provider))
	j.issuers[provider] = i
	return i
}

func (j *judge) policy(policy *trust.Policy) []Finding {
	c := &court{judge: j, policy: policy}
	for i, s := range policy.Statements {
		if s.Effect == trust.Allow {
			c.statement(i, s)
		}
	}
	return c.findings
}

// court is one policy while it is judged.
type court struct {
	*judge
	policy   *trust.Policy
	findings []Finding
}

func (c *court) statement(index int, s trust.Statement) {
	if s.NotPrincipal {
		c.notPrincipal(index, s)
		return
	}
	c.actions(index, s)
	for _, p := range s.Principals {
		switch {
		case p.Type == trust.Anyone || p.ID == "*":
			c.anyone(index, s, p)
		case p.Type == trust.Federated && s.ForAction(trust.AssumeRoleWithWebIdentity) && !isSAML(p.ID):
			c.webIdentity(index, s, p)
		}
	}
	c.callersOwnKeys(index, s)
}

func isSAML(provider string) bool { return strings.Contains(provider, ":saml-provider/") }

// place is where in a policy something is wrong.
type place struct{ statement, condition int } // condition -1: the whole statement

// edited is a statement of a copy of the policy.
type edited struct {
	*trust.Statement
	policy *trust.Policy
}

// report adds a finding, unless the same was said of another principal of the statement.
// change makes the fix; nil: there is none.
func (c *court) report(id string, at place, why, advice string, change func(*edited)) {
	rule := c.rule(id)
	f := Finding{
		Rule: id, Severity: rule.Severity, Title: rule.Title,
		Statement: at.statement + 1, Sid: c.policy.Statements[at.statement].Sid, Why: why, Advice: advice,
		policy: c.policy, change: change,
	}
	same := func(other Finding) bool {
		return other.Rule == id && other.Statement == f.Statement && other.Why == why
	}
	if slices.ContainsFunc(c.findings, same) {
		return
	}
	c.findings = append(c.findings, f)
}

// grade changes the severity of the last finding.
func (c *court) grade(to Severity) { c.findings[len(c.findings)-1].Severity = to }

func (c *court) notPrincipal(index int, s trust.Statement) {
	c.report(notPrincipal, place{index, -1}, fmt.Sprintf("everybody but %s may assume the role", names(s.Principals)),
		"name who may, in Principal", func(s *edited) {
			s.NotPrincipal = false
			s.Principals = []trust.Principal{someRole()}
		})
}

func names(principals []trust.Principal) string {
	var all []string
	for _, p := range principals {
		all = append(all, p.String())
	}
	return quoted(all)
}

func someRole() trust.Principal {
	return trust.Principal{Type: trust.AWS, ID: "arn:aws:iam::ACCOUNT_ID:role/ROLE"}
}

// anyone judges a wildcard for a principal. What binds it are keys that callers do not
// choose: an external id is known to every customer of a vendor, and an address is not who
// somebody is.
func (c *court) anyone(index int, s trust.Statement, p trust.Principal) {
	if c.bound(index, s, p) {
		return
	}
	c.report(anyPrincipal, place{index, -1}, fmt.Sprintf("the principal is %s, and no condition says whose it must be", p),
		"name the role, or require aws:PrincipalOrgID", func(s *edited) {
			s.Principals = []trust.Principal{someRole()}
		})
}

func (c *court) bound(index int, s trust.Statement, p trust.Principal) bool {
	for _, l := range c.limits(index, s, p, nil) {
		switch l.claim {
		case "aws:principalorgid", "aws:principalorgpaths", "aws:principalaccount", "aws:principalarn", "aws:sourcevpc", "aws:sourcevpce",
			"aws:vpcsourcevpc", "aws:userid", "aws:sourceaccount", "aws:sourcearn", "aws:sourceorgid", "aws:sourceorgpaths":
			if !l.absent && !l.vacuous() && l.inOneAccount() {
				return true
			}
		}
	}
	return false
}

// inOneAccount reports whether ARNs say whose they are: anybody can have a role of any
// name in an account of their own.
func (l limit) inOneAccount() bool {
	if !strings.HasSuffix(l.claim, "arn") {
		return true
	}
	for _, v := range l.values {
		if cut := strings.IndexAny(v, wildcards); cut >= 0 && strings.Count(v[:cut], ":") < 5 {
			return false
		}
	}
	return true
}

// actions judges which ways into the role the statement opens.
func (c *court) actions(index int, s trust.Statement) {
	if s.NotAction || slices.ContainsFunc(s.Actions, tooBroad) {
		c.report(broadAction, place{index, -1}, "the statement allows "+allowed(s), "name the actions that these principals use", func(s *edited) {
			s.NotAction, s.Actions = false, waysOf(s.Principals)
		})
		return
	}
	oidc := slices.ContainsFunc(s.Principals, func(p trust.Principal) bool { return p.Type == trust.Federated && !isSAML(p.ID) && p.ID != "*" })
	other := slices.ContainsFunc(s.Principals, func(p trust.Principal) bool { return p.Type != trust.Federated || isSAML(p.ID) })
	if oidc && !other && s.ForAction(trust.AssumeRole) && !s.ForAction(trust.AssumeRoleWithWebIdentity) {
		c.report(wrongAction, place{index, -1}, "the principal is a provider of tokens, and the action is "+trust.AssumeRole+"; nobody gets in",
			"allow "+trust.AssumeRoleWithWebIdentity, func(s *edited) {
				s.Actions = slices.DeleteFunc(s.Actions, func(a string) bool { return strings.EqualFold(a, trust.AssumeRole) })
				s.Actions = append(s.Actions, trust.AssumeRoleWithWebIdentity)
			})
	}
}

// tooBroad: AssumeRole* is a way of writing the three that some documentation has, and it
// is as broad.
func tooBroad(action string) bool {
	return strings.HasSuffix(action, "*") && strings.HasPrefix("sts:assumerole", strings.TrimSuffix(strings.ToLower(action), "*"))
}

func allowed(s trust.Statement) string {
	if s.NotAction {
		return "everything but " + quoted(s.Actions)
	}
	return quoted(s.Actions)
}

// waysOf are the actions by which these principals get into a role.
func waysOf(principals []trust.Principal) []string {
	var ways []string
	for _, p := range principals {
		way := trust.AssumeRole
		switch {
		case p.Type == trust.Federated && isSAML(p.ID):
			way = "sts:AssumeRoleWithSAML"
		case p.Type == trust.Federated:
			way = trust.AssumeRoleWithWebIdentity
		}
		if !slices.Contains(ways, way) {
			ways = append(ways, way)
		}
	}
	return ways
}

// callersOwnKeys judges conditions on what a caller of AssumeRole may leave out.
func (c *court) callersOwnKeys(index int, s trust.Statement) {
	for i, condition := range s.Conditions {
		op, known := trust.ReadOperator(condition.Operator)
		if !known || op.Negated || !op.IfExists && !op.AllValues {
			continue
		}
		switch strings.ToLower(condition.Key) {
		case "sts:externalid", "aws:principalorgid", "aws:principalarn", "aws:principalaccount", "aws:sourceaccount", "aws:sourcearn":
			c.absent(place{index, i}, condition)
		}
	}
}

func (c *court) absent(at place, condition trust.Condition) {
	c.report(absentPasses, at, fmt.Sprintf("%s %s holds for a request without the key", condition.Operator, condition.Key),
		"use the operator that wants the key", func(s *edited) {
			move(s.Statement, at.condition, demanding(condition.Operator, condition.Key), condition.Key)
		})
}

// demanding is the operator without what admits absent keys.
func demanding(operator, key string) string {
	operator = strings.TrimSuffix(operator, "IfExists")
	rest, all := strings.CutPrefix(operator, "ForAllValues:")
	if all && strings.HasSuffix(key, ":amr") {
		return "ForAnyValue:" + rest
	}
	return rest
}

// quoted writes values for a sentence.
func quoted(values []string) string {
	if len(values) == 0 {
		return "nothing"
	}
	quotes := make([]string, len(values))
	for i, v := range values {
		quotes[i] = fmt.Sprintf("%q", v)
	}
	return strings.Join(quotes, " or ")
}
