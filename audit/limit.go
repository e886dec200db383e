package audit

import (
	"strings"

	"github.com/keyless-id/keyless/trust"
)

// limit is what a condition admits of one claim.
type limit struct {
	claim  string   // of the token, as sub; or a key of AWS's own, as sts:rolesessionname; in lower case
	values []string // patterns
	absent bool     // a request without the key passes as well

	condition int // its index in the statement; -1: it is a Deny of everything else
}

// vacuous reports whether every value passes.
func (l limit) vacuous() bool {
	for _, v := range l.values {
		if v != "" && strings.Trim(v, "*") == "" {
			return true
		}
	}
	return len(l.values) == 0
}

// limits returns what the conditions of a statement admit, those of Deny statements that
// are for the same principal as well. Of an issuer's own keys only; keys of AWS's own always.
func (c *court) limits(index int, s trust.Statement, p trust.Principal, of *issuer) []limit {
	var all []limit
	for i, condition := range s.Conditions {
		op, known := trust.ReadOperator(condition.Operator)
		if claim, ours := claimOf(condition.Key, of); known && ours && !op.Negated && compares(op.Base) {
			all = append(all, limit{claim, c.admitted(op, condition), op.PassesAbsent(), i})
		}
	}
	for i, other := range c.policy.Statements {
		if i == index || other.Effect != trust.Deny || len(other.Conditions) != 1 || !denies(other, s, p) {
			continue
		}
		condition := other.Conditions[0]
		op, known := trust.ReadOperator(condition.Operator)
		if claim, ours := claimOf(condition.Key, of); known && ours && op.Negated && compares(op.Base) {
			all = append(all, limit{claim, c.admitted(op, condition), !op.PassesAbsent(), -1})
		}
	}
	return all
}

// denies reports whether a Deny is for all that an Allow is for, as far as p is concerned.
func denies(deny, allow trust.Statement, p trust.Principal) bool {
	for _, action := range []string{trust.AssumeRole, trust.AssumeRoleWithWebIdentity} {
		if allow.ForAction(action) && !deny.ForAction(action) {
			return false
		}
	}
	return deny.ForPrincipal(p)
}

// compares reports whether an operator compares texts.
func compares(base string) bool {
	return strings.HasPrefix(base, "String") || strings.HasPrefix(base, "Arn")
}

// claimOf returns which claim a key is about, and whether it is the issuer's or AWS's own.
func claimOf(key string, of *issuer) (string, bool) {
	lower := strings.ToLower(key)
	if isGlobal(lower) {
		return lower, true
	}
	if of == nil {
		return "", false
	}
	claim, ours := strings.CutPrefix(lower, of.key+":")
	return claim, ours
}

func isGlobal(lower string) bool {
	return strings.HasPrefix(lower, "aws:") || strings.HasPrefix(lower, "sts:")
}

// Characters that stand for themselves, where * and ? stand for others.
const (
	literalStar = '\uE02A'
	literalMark = '\uE03F'
)

// admitted returns the values of a condition as patterns. A policy variable stands for
// anything: it is the caller's.
func (c *court) admitted(op trust.Operator, condition trust.Condition) []string {
	patterns := make([]string, 0, len(condition.Values))
	for _, value := range condition.Values {
		if !op.Wild && strings.ContainsAny(value, wildcards) {
			value = strings.NewReplacer("*", string(literalStar), "?", string(literalMark)).Replace(value)
		}
		if strings.Contains(value, "${") && c.policy.VariablesAllowed() {
			value = withoutVariables(value)
		}
		patterns = append(patterns, value)
	}
	return patterns
}

func withoutVariables(value string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(value, "${")
		name, after, closed := strings.Cut(rest, "}")
		if !found || !closed {
			b.WriteString(value)
			return b.String()
		}
		b.WriteString(before)
		switch name {
		case "*":
			b.WriteRune(literalStar)
		case "?":
			b.WriteRune(literalMark)
		case "$":
			b.WriteByte('$')
		default:
			b.WriteByte('*')
		}
		value = after
	}
}
