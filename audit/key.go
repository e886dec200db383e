package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keyless-id/keyless/trust"
)

// keys judges the conditions on keys that requests by this entry do not have.
func (e *entry) keys() {
	for i, c := range e.statement.Conditions {
		prefix, claim := cutKey(c.Key)
		op, known := trust.ReadOperator(c.Operator)
		if prefix == "" || !known || op.Base == "Null" {
			continue
		}
		switch {
		case !strings.EqualFold(prefix, trust.ProviderName(e.principal.ID)):
			e.missing(foreignKey, place{e.index, i}, op, fmt.Sprintf("the key is one of %s, and the tokens are those of %s", prefix, trust.ProviderName(e.principal.ID)))
		case !e.issuer.has(strings.ToLower(claim)):
			e.missing(unknownKey, place{e.index, i}, op, fmt.Sprintf("AWS makes no key %s of the tokens of %s", claim, e.issuer.name))
		case op.PassesAbsent() && !op.Negated && e.pins(strings.ToLower(claim)):
			e.absent(place{e.index, i}, c)
		}
	}
}

// cutKey splits the key of a provider's claim; the prefix of AWS's own keys is empty.
func cutKey(key string) (prefix, claim string) {
	at := strings.LastIndexByte(key, ':')
	if at < 0 || isGlobal(strings.ToLower(key)) || !strings.ContainsAny(key[:at], "./") {
		return "", key
	}
	return key[:at], key[at+1:]
}

// has reports whether AWS makes a condition key of the claim.
func (i *issuer) has(claim string) bool {
	return i.keys == nil || slices.Contains(defaultClaims(), claim) || slices.Contains(i.keys, claim)
}

// pins reports whether the claim says who or what for.
func (e *entry) pins(claim string) bool {
	return claim == "aud" || claim == "oaud" || claim == "sub" || claim == "amr" || e.issuer.hasForm(claim)
}

// missing reports a condition on a key that is never there.
func (e *entry) missing(id string, at place, op trust.Operator, why string) {
	if op.PassesAbsent() {
		why += "; the condition always holds"
	} else {
		why += "; no token passes"
		e.dead = true
	}
	c := e.statement.Conditions[at.condition]
	_, claim := cutKey(c.Key)
	right := e.instead(strings.ToLower(claim))
	if e.others(at.condition) {
		e.report(id, at, why, "give each provider a statement of its own", nil)
		return
	}
	if id == foreignKey {
		prefix, _ := cutKey(c.Key)
		e.report(id, at, why, "use the keys of "+trust.ProviderName(e.principal.ID), func(s *edited) {
			for i := len(s.Conditions) - 1; i >= 0; i-- {
				if of, claim := cutKey(s.Conditions[i].Key); strings.EqualFold(of, prefix) {
					move(s.Statement, i, demanding(s.Conditions[i].Operator, c.Key), e.key(e.instead(strings.ToLower(claim))))
				}
			}
		})
		return
	}
	e.report(id, at, why, "use the key "+e.key(right), func(s *edited) {
		move(s.Statement, at.condition, demanding(c.Operator, c.Key), e.key(right))
		if right == "sub" && !strings.EqualFold(claim, "sub") {
			require(s.Statement, "StringEquals", e.key("sub"), e.issuer.sample)
		}
	})
}

// others reports whether the condition is about another provider of the same statement.
func (e *entry) others(condition int) bool {
	prefix, _ := cutKey(e.statement.Conditions[condition].Key)
	return slices.ContainsFunc(e.statement.Principals, func(p trust.Principal) bool {
		return p.Type == trust.Federated && strings.EqualFold(trust.ProviderName(p.ID), prefix)
	}) && !strings.EqualFold(prefix, trust.ProviderName(e.principal.ID))
}

// instead is the claim that serves where AWS has no key for one.
func (e *entry) instead(claim string) string {
	switch {
	case e.issuer.has(claim) && (e.issuer.keys != nil || slices.Contains(defaultClaims(), claim)):
		return claim
	case claim == "azp" || claim == "appid" || claim == "client_id":
		return "aud"
	}
	return "sub"
}
