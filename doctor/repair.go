package doctor

import (
	"slices"
	"strings"

	"github.com/keyless-id/keyless/trust"
)

// repair is the change to a policy after which it lets the token in: a command and a
// diff; empty if that depends on more than the token.
func (e *evidence) repair(policy *trust.Policy, index int) string {
	after := e.repaired(policy, index)
	if after == nil {
		return ""
	}
	name := splitARN(e.built.STS.RoleARN).roleName()
	return lines("aws iam update-assume-role-policy --role-name "+quoted(name)+" --policy-document file://trust.json", strings.TrimSuffix(trust.Diff("trust.json", policy, after), "\n"))
}

// repaired changes one statement as little as possible; nil if the token would be refused
// nevertheless.
func (e *evidence) repaired(policy *trust.Policy, index int) *trust.Policy {
	after := policy.Clone()
	s := &after.Statements[index]
	e.mendPrincipal(s)
	for _, action := range trust.WebIdentityActions(e.claims.All) {
		mendAction(s, action)
	}
	e.mendKeys(s)
	context := e.request(trust.AssumeRoleWithWebIdentity).Context
	for i := range s.Conditions {
		e.mendCondition(&s.Conditions[i], context)
	}
	e.pinResource(s)
	for _, action := range trust.WebIdentityActions(e.claims.All) {
		if !after.Evaluate(e.request(action)).Allowed {
			return nil
		}
	}
	return after
}

// mendPrincipal puts the right provider in the place of the one that is most like it.
func (e *evidence) mendPrincipal(s *trust.Statement) {
	right := trust.Principal{Type: trust.Federated, ID: e.providerARN()}
	if s.NotPrincipal || s.ForPrincipal(right) {
		return
	}
	var names []string
	for _, p := range s.Principals {
		names = append(names, trust.ProviderName(p.ID))
	}
	name, how := nearest(e.key(), names)
	at := slices.IndexFunc(s.Principals, func(p trust.Principal) bool {
		return p.Type == trust.Federated && (trust.ProviderName(p.ID) == e.key() || how != "" && trust.ProviderName(p.ID) == name)
	})
	if at < 0 {
		s.Principals = append(s.Principals, right)
		return
	}
	s.Principals[at] = right
}

func mendAction(s *trust.Statement, action string) {
	if s.NotAction || s.ForAction(action) {
		return
	}
	if at := slices.Index(s.Actions, trust.AssumeRole); at >= 0 && action == trust.AssumeRoleWithWebIdentity {
		s.Actions[at] = action
		return
	}
	s.Actions = append(s.Actions, action)
}

// mendKeys gives the conditions the names that the token's claims have in IAM.
func (e *evidence) mendKeys(s *trust.Statement) {
	kept := s.Conditions[:0]
	for _, c := range s.Conditions {
		provider, claim := claimOf(c.Key)
		if provider != "" {
			if !slices.Contains(claimKeys(), claim) {
				claim = "sub"
			}
			if !strings.EqualFold(c.Key, e.key()+":"+claim) {
				c.Key = e.key() + ":" + claim
			}
		}
		twice := slices.ContainsFunc(kept, func(other trust.Condition) bool {
			return other.Operator == c.Operator && strings.EqualFold(other.Key, c.Key)
		})
		if !twice {
			kept = append(kept, c)
		}
	}
	s.Conditions = kept
}

// mendCondition writes what the token has. Of several values only the one that is wrong for
// a known reason is replaced: the others may be somebody else's.
func (e *evidence) mendCondition(c *trust.Condition, context map[string][]string) {
	provider, claim := claimOf(c.Key)
	got := context[e.key()+":"+claim]
	if provider == "" || len(got) == 0 || holds(c.Operator, c.Key, c.Values, got) {
		return
	}
	if holds("StringLike", c.Key, c.Values, got) && c.Operator == "StringEquals" {
		c.Operator = "StringLike"
		return
	}
	at := slices.IndexFunc(c.Values, func(value string) bool { return e.mistaken(value, got[0]) })
	switch {
	case len(c.Values) <= 1:
		c.Values = slices.Clone(got[:1])
	case at >= 0:
		c.Values[at] = got[0]
	default:
		c.Values = append(c.Values, got[0])
	}
}

// mistaken reports whether a value is the right one, spelled wrong, or another id of the
// same identity.
func (e *evidence) mistaken(value, right string) bool {
	return value == e.claims.AppID || value == e.claims.AuthorizedParty || slices.Contains(e.claims.Audience, value) ||
		strings.EqualFold(strings.TrimRight(value, "/"), strings.TrimRight(right, "/"))
}

// pinResource keeps version 2 tokens pinned to the application when :aud becomes the caller.
func (e *evidence) pinResource(s *trust.Statement) {
	key := e.key() + ":oaud"
	pinned := slices.ContainsFunc(s.Conditions, func(c trust.Condition) bool { return strings.EqualFold(c.Key, key) })
	if e.claims.AuthorizedParty != "" && !pinned && len(e.claims.Audience) > 0 {
		s.Conditions = append(s.Conditions, trust.Condition{Operator: "StringEquals", Key: key, Values: slices.Clone(e.claims.Audience[:1])})
	}
}
