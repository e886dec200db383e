package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keyless-id/keyless/trust"
)

// Report is what an audit found.
type Report struct {
	Roles     int        `json:"roles"` // that were judged
	Providers int        `json:"providers"`
	Findings  []Finding  `json:"findings"`
	Unjudged  []Unjudged `json:"unjudged,omitempty"`
}

// Worst is the highest severity of the findings; zero: there are none.
func (r Report) Worst() Severity {
	var worst Severity
	for _, f := range r.Findings {
		worst = max(worst, f.Severity)
	}
	return worst
}

// Judge judges all of it. The findings are in the order of the roles, then of the
// providers.
func (v *Inventory) Judge() Report {
	var j judge
	r := Report{Findings: []Finding{}, Unjudged: slices.Clone(v.Unjudged), Providers: len(v.Providers)}
	trusted := map[string]bool{}
	for _, role := range v.Roles {
		policy, err := trust.Parse(role.Document)
		if err != nil {
			r.Unjudged = append(r.Unjudged, Unjudged{role.File, role.Name, err.Error()})
			continue
		}
		r.Roles++
		found := append(j.policy(policy), v.missing(&j, role, policy, trusted)...)
		for i := range found {
			found[i].File, found[i].Role, found[i].Line = role.File, role.Name, role.line(found[i].Statement)
		}
		r.Findings = append(r.Findings, found...)
	}
	for _, l := range []struct {
		listing
		of string
	}{{v.listed.roles, "roles"}, {v.listed.providers, "providers"}} {
		if l.cut {
			r.Unjudged = append(r.Unjudged, Unjudged{Why: "the listing of " + l.of + " is cut off; give its other pages as well"})
		}
	}
	for _, p := range v.Providers {
		r.Findings = append(r.Findings, v.judgeProvider(&j, p, trusted, len(r.Unjudged) == 0)...)
	}
	return r
}

// line of a statement of the role.
func (r Role) line(statement int) int {
	if r.apart || r.Line == 0 {
		return r.Line
	}
	return r.Line + lineOf(r.Document, statement)
}

// missing marks the providers that a policy trusts, and reports those that the account
// does not have.
func (v *Inventory) missing(j *judge, role Role, policy *trust.Policy, trusted map[string]bool) []Finding {
	c := &court{judge: j, policy: policy}
	for i, s := range policy.Statements {
		for _, p := range s.Principals {
			if p.Type != trust.Federated || !strings.Contains(p.ID, ":oidc-provider/") {
				continue
			}
			name := strings.ToLower(trust.ProviderName(p.ID))
			trusted[name] = true
			if v.listed.providers.whole() && s.Effect == trust.Allow && !v.has(name) && account(p.ID) == account(role.Name) {
				c.report(missingProvider, place{i, -1}, fmt.Sprintf("the account has no provider %s", name), "create the provider, or drop the statement", nil)
			}
		}
	}
	return c.findings
}

func (v *Inventory) has(issuer string) bool {
	return slices.ContainsFunc(v.Providers, func(p Provider) bool { return strings.EqualFold(p.Issuer, issuer) })
}

// account of an ARN; empty: it is none.
func account(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return ""
	}
	return parts[4]
}

// judgeProvider judges what is registered, whether or not a role trusts it.
func (v *Inventory) judgeProvider(j *judge, p Provider, trusted map[string]bool, all bool) []Finding {
	var found []Finding
	report := func(id, why, advice string) {
		rule := j.rule(id)
		found = append(found, Finding{
			Rule: id, Severity: rule.Severity, Title: rule.Title, Why: why, Advice: advice, File: p.File, Line: p.Line, Provider: p.Name,
		})
	}
	i := j.issuer(p.Issuer)
	used := trusted[strings.ToLower(p.Issuer)]
	if right, why := rightIssuer(p.Issuer); why != "" {
		report(issuerForm, fmt.Sprintf("%q: %s", p.Issuer, why), "create a provider for https://"+right+", and delete this one")
	}
	if isRetiring(i) && !used {
		report(issuerRetiring, retires(i), "delete the provider once no connection has this issuer")
	}
	if !used && all && v.listed.roles.whole() {
		report(unusedProvider, "no role of the account names it", "delete the provider, or add the role that it is for")
	}
	if p.written || len(p.Thumbprints) > 1 && (i.shared || i.strict || i.entraVersion() > 0) {
		report(thumbprint, "AWS checks the certificate of "+i.key+" without them, unless a private authority signed it", "leave thumbprints out; nothing has to keep them fresh")
	}
	return found
}
