package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keyless-id/keyless/trust"
)

// entry is one way into a role: an Allow for the tokens of one provider.
type entry struct {
	*court
	index     int
	statement trust.Statement
	principal trust.Principal
	issuer    *issuer
	limits    []limit
	dead      bool // nobody gets in by it, which has been reported
}

func (c *court) webIdentity(index int, s trust.Statement, p trust.Principal) {
	i := c.issuer(p.ID)
	e := &entry{court: c, index: index, statement: s, principal: p, issuer: i, limits: c.limits(index, s, p, i)}
	e.issuerForm()
	e.keys()
	e.literalWildcards()
	e.subjects()
	e.entraRules()
	if !e.dead {
		e.whose()
		e.whatFor()
	}
	e.retiring()
}

func (e *entry) at(l limit) place { return place{e.index, l.condition} }
func (e *entry) whole() place     { return place{e.index, -1} }

// key is the condition key of a claim, as the statement would write it.
func (e *entry) key(claim string) string {
	if isGlobal(claim) {
		return "sts:RoleSessionName" // the only one that identifies a tenant
	}
	return trust.ProviderName(e.principal.ID) + ":" + claim
}

// limitOn returns the first limit on a claim that has to be there.
func (e *entry) limitOn(claim string) (limit, bool) {
	for _, l := range e.limits {
		if l.claim == claim && !l.absent && !l.vacuous() {
			return l, true
		}
	}
	return limit{}, false
}

func (e *entry) reported(rule string) bool {
	return slices.ContainsFunc(e.findings, func(f Finding) bool { return f.Rule == rule && f.Statement == e.index+1 })
}

// whose judges whether the entry says whose tokens they must be, by the narrowest of its
// conditions.
func (e *entry) whose() {
	best, reach, found := limit{}, everyone+1, false
	for _, l := range e.limits {
		says := l.claim == "sub" && e.issuer.pin == "sub" || e.issuer.hasForm(l.claim)
		if !says || l.vacuous() {
			continue
		}
		if r := e.reach(l); r < reach || r == reach && l.claim == "sub" {
			best, reach, found = l, r, true
		}
	}
	switch {
	case !found:
		e.nobodyPinned()
	case reach == oneProject:
	case e.issuer.shared && reach == everyone:
		e.tooFar(crossesTenants, best, "any "+e.issuer.tenant)
	default:
		e.tooFar(crossesProjects, best, "any "+e.issuer.project)
	}
}

// reach is that of the widest value.
func (e *entry) reach(l limit) scope {
	reach := oneProject
	for _, v := range l.values {
		reach = max(reach, e.valueReach(l.claim, v))
	}
	return reach
}

// valueReach is that of one value; a wildcard that is none reaches nobody.
func (e *entry) valueReach(claim, value string) scope {
	if strings.ContainsRune(value, literalStar) {
		return oneProject
	}
	return e.issuer.scope(claim, value)
}

func (e *entry) tooFar(rule string, l limit, whom string) {
	var far []string
	for _, v := range l.values {
		if e.valueReach(l.claim, v) > oneProject {
			far = append(far, v)
		}
	}
	why := fmt.Sprintf("%s fits the %s of %s", quoted(far), l.claim, whom)
	if strings.ContainsAny(far[0], wildcards) {
		why += fmt.Sprintf(", such as %q", stranger(far[0]))
	}
	if l.condition < 0 {
		e.report(rule, e.whole(), why, e.closer(), nil)
		return
	}
	e.report(rule, e.at(l), why, e.closer(), func(s *edited) {
		if l.claim != e.issuer.pin {
			e.pin(s.Statement)
			return
		}
		e.narrowIn(s.Statement, s.Conditions[l.condition].Operator, l)
	})
}

func (e *entry) closer() string {
	what := "the " + e.issuer.project
	if e.issuer.shared && e.issuer.tenant != e.issuer.project {
		what = "the " + e.issuer.tenant + " and " + what
	}
	return "write " + what + " out, up to the character behind"
}

// pin adds the condition that says who it is.
func (e *entry) pin(s *trust.Statement) {
	operator := "StringEquals"
	if strings.ContainsAny(e.issuer.sample, wildcards) {
		operator = "StringLike"
	}
	require(s, operator, e.key(e.issuer.pin), e.issuer.sample)
}

// nobodyPinned: no condition says whose token it must be. A negated one says whose it
// must not be; if that is everybody's, nobody gets in.
func (e *entry) nobodyPinned() {
	rule, why := noSubject, fmt.Sprintf("no condition on %s: every token of %s fits", e.key(e.issuer.pin), e.issuer.name)
	for _, c := range e.statement.Conditions {
		op, _ := trust.ReadOperator(c.Operator)
		claim, ours := claimOf(c.Key, e.issuer)
		if !ours || claim != e.issuer.pin || !op.Negated {
			continue
		}
		if (limit{values: e.admitted(op, c)}).vacuous() {
			return
		}
		rule, why = negatedSubject, fmt.Sprintf("%s %s keeps out %s and lets in all others", c.Operator, c.Key, quoted(c.Values))
	}
	if rule == noSubject && e.issuer.builtIn {
		rule = noAudience
	}
	if !e.issuer.shared {
		why += fmt.Sprintf(", from any %s of the %s", e.issuer.project, e.issuer.tenant)
	}
	e.report(rule, e.whole(), why, "pin "+e.key(e.issuer.pin)+" to the "+e.issuer.project+" that the role is for", func(s *edited) { e.pin(s.Statement) })
	switch {
	case rule == noAudience:
		e.grade(Critical)
	case !e.issuer.shared:
		e.grade(High)
	}
}

// whatFor judges whether the entry says what the tokens are for, where AWS does not know.
func (e *entry) whatFor() {
	if !e.issuer.builtIn || e.reported(noAudience) {
		return
	}
	aud := e.limited("aud")
	if !aud && !e.limited("oaud") && !e.limited("app_id") {
		e.report(noAudience, e.whole(), "no condition on "+e.key(e.issuer.pin)+": a token that somebody gave to any other application fits",
			"pin the client that is yours", func(s *edited) { require(s.Statement, "StringEquals", e.key(e.issuer.pin), e.issuer.sample) })
	}
	if strings.HasPrefix(e.issuer.key, "cognito-identity") && aud && !e.limited("amr") {
		e.report(guests, e.whole(), "no condition on "+e.key("amr")+": identities that are not signed in get the role too",
			"require authenticated in amr", func(s *edited) { require(s.Statement, "ForAnyValue:StringLike", e.key("amr"), "authenticated") })
	}
}

// limited reports whether a condition is about the claim; one that passes when the claim
// is absent has been reported.
func (e *entry) limited(claim string) bool {
	return slices.ContainsFunc(e.limits, func(l limit) bool { return l.claim == claim && !l.vacuous() })
}
