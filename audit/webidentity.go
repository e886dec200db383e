package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keyless-id/keyless/pipelines"
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

// issuerForm: nobody signs tokens with such an iss.
func (e *entry) issuerForm() {
	name := trust.ProviderName(e.principal.ID)
	right, why := rightIssuer(name)
	if why == "" {
		return
	}
	e.dead = true
	e.report(issuerForm, e.whole(), fmt.Sprintf("%q: %s; no token passes", name, why), "name the provider as the issuer names itself", func(s *edited) {
		rename(s.Statement, e.principal, name, right)
	})
}

// rename gives a principal and its condition keys another provider.
func rename(s *trust.Statement, p trust.Principal, from, to string) {
	for i := range s.Principals {
		if s.Principals[i] == p {
			s.Principals[i].ID = strings.TrimSuffix(p.ID, from) + to
		}
	}
	for i, c := range s.Conditions {
		if claim, ours := strings.CutPrefix(strings.ToLower(c.Key), strings.ToLower(from)+":"); ours {
			s.Conditions[i].Key = to + ":" + claim
		}
	}
}

// rightIssuer returns what a provider's name should be, and why it is not that.
func rightIssuer(name string) (right, why string) {
	host, path, _ := strings.Cut(name, "/")
	host = strings.ToLower(host)
	tenant, rest, slash := strings.Cut(path, "/")
	lower := strings.ToLower(tenant)
	switch {
	case isEntraV1(host) && (!slash || rest != ""):
		return host + "/" + lower + "/", "the issuer of Entra's version 1 tokens ends in a slash behind the tenant"
	case isEntraV2(host) && rest != "v2.0":
		return host + "/" + lower + "/v2.0", "the issuer of Entra's version 2 tokens ends in /v2.0"
	case isEntra(host) && (lower == "common" || lower == "organizations" || lower == "consumers"):
		return host + "/TENANT_ID" + strings.TrimPrefix(path, tenant), "tokens name the tenant by its id"
	case isEntra(host) && isGUID(tenant) && tenant != lower:
		return host + "/" + lower + strings.TrimPrefix(path, tenant), "Entra writes tenants in lower case"
	case !isEntra(host) && !isAKS(host) && strings.HasSuffix(name, "/") && issuerOf(strings.TrimSuffix(name, "/")).recognised():
		return strings.TrimSuffix(name, "/"), "the issuer has no slash at its end"
	case host == "vstoken.dev.azure.com" && !isGUID(path):
		return host + "/ORGANIZATION_ID", "the issuer names the organization by its id"
	}
	return name, ""
}

// recognised reports whether the issuer is one that is known by name.
func (i *issuer) recognised() bool { return i.shared || i.strict }

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

// literalWildcards: * under StringEquals is a character that no value has.
func (e *entry) literalWildcards() {
	for _, l := range e.limits {
		if l.condition < 0 || isGlobal(l.claim) {
			continue
		}
		literal := 0
		for _, v := range l.values {
			if strings.ContainsRune(v, literalStar) {
				literal++
			}
		}
		if literal == 0 {
			continue
		}
		c := e.statement.Conditions[l.condition]
		why := fmt.Sprintf("%s compares %s with the character * itself", c.Operator, quoted(c.Values))
		if literal == len(l.values) && !l.absent {
			why += "; no token passes"
			e.dead = true
		}
		e.report(wildcardInEquals, e.at(l), why, "write whole values, or StringLike with a wildcard that stays in one "+e.issuer.project, func(s *edited) {
			like := strings.Replace(strings.TrimSuffix(c.Operator, "IgnoreCase"), "StringEquals", "StringLike", 1)
			move(s.Statement, l.condition, like, c.Key)
			e.narrowIn(s.Statement, like, l)
		})
	}
}

// narrowIn replaces the values of a condition that reach too far.
func (e *entry) narrowIn(s *trust.Statement, operator string, l limit) {
	op, _ := trust.ReadOperator(operator)
	for i, c := range s.Conditions {
		if claim, ours := claimOf(c.Key, e.issuer); c.Operator != operator || !ours || claim != l.claim {
			continue
		}
		for k, pattern := range e.admitted(op, c) {
			if e.issuer.scope(l.claim, pattern) > oneProject {
				s.Conditions[i].Values[k] = e.issuer.narrow(l.claim, pattern)
			}
		}
	}
}

// subjects: values that the issuer never writes.
func (e *entry) subjects() {
	for _, l := range e.limits {
		if l.claim != "sub" || l.condition < 0 || e.issuer.pin != "sub" {
			continue
		}
		var odd []string
		for _, v := range l.values {
			if !strings.ContainsRune(v, literalStar) && !e.couldBe(v) {
				odd = append(odd, v)
			}
		}
		if len(odd) == 0 {
			continue
		}
		e.dead = e.dead || len(odd) == len(l.values) && !l.absent
		e.report(subjectForm, e.at(l), fmt.Sprintf("%s makes no subject like %s", e.issuer.name, quoted(odd)),
			"compare with the sub of a token: keyless token --claims shows one", func(s *edited) {
				for k, v := range s.Conditions[l.condition].Values {
					if slices.Contains(odd, v) {
						s.Conditions[l.condition].Values[k] = e.mended(v)
					}
				}
			})
	}
}

func (e *entry) couldBe(subject string) bool {
	if e.issuer.entraVersion() > 0 {
		return entraSubject(subject)
	}
	return e.issuer.plausible(subject)
}

// mended is the subject that could have been meant.
func (e *entry) mended(subject string) string {
	if lower := strings.ToLower(subject); e.issuer.entraVersion() > 0 && entraSubject(lower) {
		return lower
	}
	return e.issuer.sample
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

// retiring: the older issuer of Azure Pipelines ends.
func (e *entry) retiring() {
	if !isRetiring(e.issuer) {
		return
	}
	organization := strings.TrimPrefix(e.issuer.key, "vstoken.dev.azure.com/")
	e.report(issuerRetiring, e.whole(), retires(e.issuer), "trust the tenant's issuer beside it, convert the connection, then drop this statement; the subject can be computed from the ids",
		func(s *edited) {
			if !slices.ContainsFunc(s.policy.Statements, trustsPipelines) {
				s.policy.Statements = append(s.policy.Statements, successor(e.principal.ID, organization))
			}
		})
}

func isRetiring(i *issuer) bool { return strings.HasPrefix(i.key, "vstoken.dev.azure.com") }

func retires(i *issuer) string {
	return fmt.Sprintf("%s ends on %s; from then on no pipeline gets in", i.key, pipelines.VSTokenRetired().Format("2006-01-02"))
}

// trustsPipelines reports whether a statement is for the newer tokens of Azure Pipelines.
func trustsPipelines(s trust.Statement) bool {
	return slices.ContainsFunc(s.Conditions, func(c trust.Condition) bool {
		return slices.ContainsFunc(c.Values, func(v string) bool { return strings.HasPrefix(v, "/eid1/") })
	})
}

// successor is the statement for the tokens of a converted connection.
func successor(provider, organization string) trust.Statement {
	before, _, found := strings.Cut(provider, ":oidc-provider/")
	if !found {
		before = "arn:aws:iam::ACCOUNT_ID"
	}
	key := "login.microsoftonline.com/TENANT_ID/v2.0"
	return trust.Statement{
		Sid: "EntraIssuer", Effect: trust.Allow,
		Principals: []trust.Principal{{Type: trust.Federated, ID: before + ":oidc-provider/" + key}},
		Actions:    []string{trust.AssumeRoleWithWebIdentity},
		Conditions: []trust.Condition{
			{Operator: "StringEquals", Key: key + ":aud", Values: []string{pipelines.AppID}},
			{Operator: "StringEquals", Key: key + ":oaud", Values: []string{pipelines.ExchangeAudienceID}},
			{Operator: "StringEquals", Key: key + ":sub", Values: []string{"/eid1/c/pub/t/TENANT_ID_ENCODED/a/rISbSSETf0KqFyZ8ppdXmA/sc/" + organization + "/CONNECTION_ID"}},
		},
	}
}
