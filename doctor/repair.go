package doctor

import (
	"slices"
	"strings"

	"github.com/keyless-id/keyless/internal/textdiff"
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
	return lines("aws iam update-assume-role-policy --role-name "+quoted(name)+" --policy-document file://trust.json", strings.TrimSuffix(textdiff.Unified("trust.json", policy.Lines(), after.Lines()), "\n"))
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
		if got := e.claimed(s.Conditions[i], context); len(got) > 0 && !loosen(s, i, got) {
			e.mendCondition(&s.Conditions[i], got)
		}
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

// mendKeys gives the conditions the names that the token's claims have in IAM. A statement
// has each operator once for a key: of two the one that had the right name stays.
func (e *evidence) mendKeys(s *trust.Statement) {
	var kept, renamed []trust.Condition
	for _, c := range s.Conditions {
		if key := e.rightKey(c.Key); strings.EqualFold(key, c.Key) {
			kept = append(kept, c)
		} else {
			c.Key = key
			renamed = append(renamed, c)
		}
	}
	for _, c := range renamed {
		twice := func(other trust.Condition) bool {
			return other.Operator == c.Operator && strings.EqualFold(other.Key, c.Key)
		}
		if !slices.ContainsFunc(kept, twice) {
			kept = append(kept, c)
		}
	}
	s.Conditions = kept
}

// rightKey is a condition key as it is for the token's issuer; of a claim that AWS makes no
// key of, that of the subject.
func (e *evidence) rightKey(key string) string {
	provider, claim := claimOf(key)
	switch {
	case provider == "":
		return key
	case !slices.Contains(claimKeys(), claim):
		claim = "sub"
	}
	return e.key() + ":" + claim
}

// claimed is what the token has where a condition does not hold; empty: it holds, or is
// not about the token.
func (e *evidence) claimed(c trust.Condition, context map[string][]string) []string {
	provider, claim := claimOf(c.Key)
	got := context[e.key()+":"+claim]
	if provider == "" || holds(c.Operator, c.Key, c.Values, got) {
		return nil
	}
	return got
}

// loosen has a condition compare wildcards as such, where that is all that is wrong and
// would not let everybody in.
func loosen(s *trust.Statement, index int, got []string) bool {
	c := s.Conditions[index]
	const wild = "StringLike"
	taken := slices.ContainsFunc(s.Conditions, func(other trust.Condition) bool { return other.Operator == wild && strings.EqualFold(other.Key, c.Key) })
	if c.Operator != "StringEquals" || taken || slices.ContainsFunc(c.Values, isVacuous) || !holds(wild, c.Key, c.Values, got) {
		return false
	}
	s.Conditions[index].Operator = wild
	return true
}

// mendCondition writes what the token has. Of several values only the one that is wrong for
// a known reason is replaced: the others may be somebody else's.
func (e *evidence) mendCondition(c *trust.Condition, got []string) {
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

// isVacuous reports whether everything would match a value if its wildcards were some.
func isVacuous(value string) bool { return strings.Trim(value, "*?") == "" }

// mistaken reports whether a value is the right one, spelled wrong, or another id of the
// same identity.
func (e *evidence) mistaken(value, right string) bool {
	return isVacuous(value) || value == e.claims.AppID || value == e.claims.AuthorizedParty || slices.Contains(e.claims.Audience, value) ||
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
