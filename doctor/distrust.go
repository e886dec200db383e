package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keyless-id/keyless/trust"
)

// cause is why a statement does not let a token in.
type cause struct{ code, summary, advice string }

// intended reminds that a policy may refuse for good reason.
const intended = "if this is the identity that is meant to get in, "

// why is the first of a statement's reasons.
func (e *evidence) why(s trust.Statement, action string, result trust.StatementResult) cause {
	switch {
	case !result.PrincipalMatched:
		return e.whyPrincipal(s)
	case !result.ActionMatched:
		return whyAction(action)
	}
	for _, c := range result.Conditions {
		if !c.OK {
			return e.whyCondition(c)
		}
	}
	return cause{"no-allow", "no statement allows " + action, "add one"}
}

func (e *evidence) whyPrincipal(s trust.Statement) cause {
	var names []string
	for _, p := range s.Principals {
		if p.Type != trust.Federated {
			continue
		}
		if names = append(names, trust.ProviderName(p.ID)); trust.ProviderName(p.ID) == e.key() {
			return cause{"principal-other-account", "the policy names a provider of another account: " + clean(p.ID), "a role trusts providers of its own account only"}
		}
	}
	name, how := nearest(e.key(), names)
	if how == "" {
		return cause{"principal-missing", "the policy names no provider of tokens as principal", "the principal is the account's provider for the token's issuer"}
	}
	summary := fmt.Sprintf("the policy is for the provider %s, and the token from %s", clean(name), clean(e.key()))
	return cause{"principal-" + how, summary, e.principalAdvice(name, how)}
}

func (e *evidence) principalAdvice(name, how string) string {
	switch how {
	case differsSlash:
		return "the slash at the end of the issuer is part of the provider's ARN"
	case differsCase:
		return "ARNs are compared to the letter"
	case differsVersion:
		return e.versionAdvice(name)
	case differsTenant:
		return "the policy is for another tenant; " + intended + "name this tenant's provider"
	}
	return intended + "let the policy name its provider"
}

func whyAction(action string) cause {
	switch action {
	case trust.TagSession:
		return cause{"tag-session", "the token has session tags, and the policy does not allow " + action, "allow it, or have the issuer leave the tags out"}
	case trust.SetSourceIdentity:
		return cause{"source-identity", "the token has a source identity, and the policy does not allow " + action, "allow it, or have the issuer leave it out"}
	}
	return cause{"action-not-web-identity", "the policy does not allow " + action, "tokens need this action; sts:AssumeRole is for credentials of AWS"}
}

// claimKeys are the claims that AWS makes condition keys of, for issuers that have no
// mapping of their own ("Available keys for AWS OIDC federation", IAM User Guide).
func claimKeys() []string { return []string{"aud", "oaud", "sub", "amr", "email"} }

// claimOf takes a condition key apart. Keys of AWS's own belong to no provider.
func claimOf(key string) (provider, claim string) {
	lower := strings.ToLower(key)
	if strings.HasPrefix(lower, "aws:") || strings.HasPrefix(lower, "sts:") {
		return "", lower
	}
	at := strings.LastIndexByte(key, ':')
	return key[:max(at, 0)], strings.ToLower(key[at+1:])
}

func (e *evidence) whyCondition(c trust.ConditionResult) cause {
	provider, claim := claimOf(c.Key)
	switch {
	case provider == "":
		return whyGlobal(c, claim)
	case !strings.EqualFold(provider, e.key()):
		how := difference(strings.ToLower(e.key()), strings.ToLower(provider))
		return cause{"condition-key-" + how, fmt.Sprintf("the condition is on %s, and the token's issuer is %s", clean(provider), clean(e.key())), "condition keys begin with the issuer, character by character, slash included; keys of another issuer are never there"}
	case !slices.Contains(claimKeys(), claim):
		return cause{"claim-not-mapped", fmt.Sprintf("AWS makes no condition key of the claim %q", clean(claim)), "AWS knows aud, oaud, sub, amr and email of these tokens, and nothing else; pin sub"}
	case claim == "sub":
		return e.whySubject(c)
	case claim == "aud":
		return e.whyAudience(c)
	}
	return cause{"condition-unmet", clean(c.String()), intended + "write what the token has"}
}

func whyGlobal(c trust.ConditionResult, key string) cause {
	switch key {
	case "sts:rolesessionname":
		return cause{"session-name", "the policy asks for another session name: " + clean(c.String()), "say it in the profile (aws.session_name), or change the policy"}
	case "sts:roleauthorizedbyidp":
		return cause{"idp-roles", "the token does not list this role in https://aws.amazon.com/roles", "have the issuer put the role's ARN there, or take the condition away"}
	}
	return cause{"condition-unmet", clean(c.String()), "the condition is on the request and not on the token: is it made from where it must be?"}
}

func (e *evidence) whySubject(c trust.ConditionResult) cause {
	has := func(value string) bool { return value != "" && slices.Contains(c.Want, value) }
	switch {
	case has(e.claims.AppID) || has(e.claims.AuthorizedParty):
		return cause{"sub-is-client-id", "the policy pins the client id, and sub is the object id of the service principal", "an identity has two ids, and tokens have the object (principal) id in sub"}
	case e.matchesWild(c):
		return cause{"wildcard-in-equals", "the policy compares with StringEquals, which takes * for a letter", "wildcards are for StringLike"}
	case slices.ContainsFunc(c.Want, func(value string) bool { return strings.EqualFold(value, e.claims.Subject) }):
		return cause{"sub-case", "the policy spells the subject in another case", "values are compared to the letter"}
	}
	return cause{"sub-mismatch", "the policy pins another subject than the token has", intended + "pin its subject"}
}

// matchesWild reports whether a value would match if its wildcards were some.
func (e *evidence) matchesWild(c trust.ConditionResult) bool {
	if c.Operator != "StringEquals" || !slices.ContainsFunc(c.Want, func(value string) bool { return strings.ContainsAny(value, "*?") }) {
		return false
	}
	return holds("StringLike", c.Key, c.Want, c.Got)
}

// holds evaluates one condition on its own.
func holds(operator, key string, want, got []string) bool {
	policy := trust.Policy{Version: trust.Version2012, Statements: []trust.Statement{{
		Effect: trust.Allow, Actions: []string{"*"}, Principals: []trust.Principal{{Type: trust.Anyone, ID: "*"}},
		Conditions: []trust.Condition{{Operator: operator, Key: key, Values: want}},
	}}}
	return policy.Evaluate(trust.Request{Action: trust.AssumeRole, Context: map[string][]string{key: got}}).Allowed
}

func (e *evidence) whyAudience(c trust.ConditionResult) cause {
	trimmedWant := make([]string, len(c.Want))
	for i, value := range c.Want {
		trimmedWant[i] = strings.TrimRight(value, "/")
	}
	resource := append(slices.Clone(e.claims.Audience), e.audience())
	switch {
	case e.claims.AuthorizedParty != "" && slices.ContainsFunc(c.Want, func(value string) bool { return slices.Contains(resource, value) }):
		return cause{"aud-wants-azp", "the policy pins the application under :aud, where AWS compares the caller (azp) of version 2 tokens", "pin the caller's client id under :aud and the application under :oaud"}
	case slices.ContainsFunc(c.Got, func(value string) bool { return slices.Contains(trimmedWant, strings.TrimRight(value, "/")) }):
		return cause{"aud-slash", "the audiences differ by a slash at the end", "audiences are compared to the letter"}
	}
	return cause{"aud-mismatch", "the policy pins another audience than the token has", "write what the token has, or ask for tokens for that audience"}
}
