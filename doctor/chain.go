package doctor

import (
	"cmp"
	"fmt"
	"strings"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/iam"
	"github.com/keyless-id/keyless/profile"
	"github.com/keyless-id/keyless/trust"
)

// chain is about the roles that are assumed one after the other.
func (e *evidence) chain() []Finding {
	if e.buildErr != nil || !e.first || len(e.Profile.AWS.Chain) == 0 {
		return nil
	}
	if e.exchangeErr == nil {
		return []Finding{{Check: "chain", Hop: keyless.HopExchange, Verdict: OK, Summary: fmt.Sprintf("each of the %d chained roles was assumed", len(e.Profile.AWS.Chain))}}
	}
	before := e.built.STS.RoleARN
	for i, hop := range e.Profile.AWS.Chain {
		if i < len(e.chained) {
			if f, refused := e.chainedRole(before, hop, e.chained[i]); refused {
				return []Finding{f}
			}
		}
		before = hop.RoleARN
	}
	f := Finding{
		Check: "chain", Hop: keyless.HopExchange, Code: "chain-refused", Verdict: Failed, Summary: "a chained role was not given",
		Evidence: append(texts(said(e.exchangeErr)), e.unread...), Fix: hinted(e.exchangeErr), Temporary: keyless.IsTemporary(e.exchangeErr),
	}
	return []Finding{f}
}

// chainedRole judges the trust of one role in the one before it.
func (e *evidence) chainedRole(before string, hop profile.Hop, role reading[iam.Role]) (Finding, bool) {
	name := splitARN(hop.RoleARN).roleName()
	f := Finding{Check: "chain", Hop: keyless.HopExchange, Verdict: Failed, Evidence: []string{named("role", hop.RoleARN), said(e.exchangeErr)}}
	if role.absent() {
		f.Code, f.Summary = "chain-role-missing", fmt.Sprintf("there is no role %q", clean(name))
		f.Fix = lines("correct aws.chain, or make the role", "aws iam list-roles --query 'Roles[].Arn' --output text")
		return f, true
	}
	policy, err := trust.Parse(role.value.TrustPolicy)
	if !role.known() || err != nil {
		return f, false
	}
	decision := policy.Evaluate(e.chainRequest(before, hop))
	if decision.Allowed {
		return f, false
	}
	f.Code, f.Summary = "chain-principal", "the role does not trust the one before it: "+clean(decision.FirstFailure())
	f.Fix = lines("let its trust policy name the role before it as principal, for sts:AssumeRole", `"Principal": {"AWS": "`+clean(before)+`"}`)
	if strings.Contains(strings.ToLower(decision.FirstFailure()), "sts:externalid") {
		f.Code, f.Summary = "chain-external-id", "the role asks for an external id: "+clean(decision.FirstFailure())
		f.Fix = lines("say it in the profile", "aws.chain:\n- role_arn: "+clean(hop.RoleARN)+"\n  external_id: "+externalID(decision))
	}
	return f, true
}

func externalID(decision trust.Decision) string {
	for _, statement := range decision.Statements {
		for _, c := range statement.Conditions {
			if strings.EqualFold(c.Key, "sts:ExternalId") && len(c.Want) > 0 {
				return clean(c.Want[0])
			}
		}
	}
	return "EXTERNAL_ID"
}

// chainRequest is what STS puts before the policy of a chained role.
func (e *evidence) chainRequest(before string, hop profile.Hop) trust.Request {
	arn, session := splitARN(before), cmp.Or(hop.SessionName, e.built.STS.SessionOf(e.token))
	assumed := "arn:" + arn.partition + ":sts::" + arn.account + ":assumed-role/" + arn.roleName() + "/" + session
	context := map[string][]string{
		"aws:PrincipalArn": {before}, "aws:PrincipalAccount": {arn.account}, "sts:RoleSessionName": {session},
	}
	if hop.ExternalID != "" {
		context["sts:ExternalId"] = []string{hop.ExternalID}
	}
	return trust.Request{
		Action: trust.AssumeRole, Principal: trust.Principal{Type: trust.AWS, ID: assumed},
		Aliases: []trust.Principal{{Type: trust.AWS, ID: before}}, Context: context,
	}
}
