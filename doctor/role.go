package doctor

import (
	"fmt"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/trust"
)

// roleItself is about the role being there, under the ARN that the profile has.
func (e *evidence) roleItself() Finding {
	if !e.shown() || !e.ofAWS() {
		return Finding{}
	}
	name := splitARN(e.built.STS.RoleARN).roleName()
	f := Finding{Check: "role", Hop: keyless.HopExchange, Verdict: OK, Summary: "the role exists", Evidence: []string{named("role", e.built.STS.RoleARN)}}
	switch {
	case e.role.absent():
		f.Verdict, f.Code, f.Summary = Failed, "role-missing", fmt.Sprintf("account %s has no role %q", splitARN(e.built.STS.RoleARN).account, clean(name))
		f.Fix = lines("correct the name, or make the role", "aws iam list-roles --query 'Roles[].Arn' --output text", e.setting(e.rolePath(), "ROLE_ARN"))
	case e.role.known() && e.role.value.ARN != e.built.STS.RoleARN:
		f.Verdict, f.Code, f.Summary = Failed, "role-path", "the role has another ARN: its path is part of it"
		f.Evidence = append(f.Evidence, named("IAM says", e.role.value.ARN))
		f.Fix = lines("write the ARN as IAM has it", e.setting(e.rolePath(), e.role.value.ARN))
	case e.role.known():
	case e.first && len(e.Policy) > 0:
		f.Summary = "STS knows the role"
	default:
		return e.unreadRole(f)
	}
	return e.overruled(f)
}

// unreadRole is a role that may be right or wrong.
func (e *evidence) unreadRole(f Finding) Finding {
	name := splitARN(e.built.STS.RoleARN).roleName()
	f.Verdict, f.Code, f.Summary = Skipped, "iam-unread", "the role's trust policy was not read"
	f.Evidence = append(f.Evidence, e.unread...)
	f.Fix = lines("whoever runs keyless doctor, or the role itself, needs iam:GetRole, iam:GetOpenIDConnectProvider and iam:ListOpenIDConnectProviders; or somebody who may read hands over the policy",
		"aws iam get-role --role-name "+quoted(name)+" --query Role.AssumeRolePolicyDocument > trust.json", "keyless doctor "+quotedOrNothing(e.Profile.Name)+"--policy trust.json")
	return f
}

func quotedOrNothing(name string) string {
	if name == "" {
		return ""
	}
	return quoted(name) + " "
}

// rolePath is where the role's ARN stands in the configuration.
func (e *evidence) rolePath() string {
	if e.Profile.AzureAD != nil {
		return "role_arn"
	}
	return "aws.role_arn"
}

// policy is the role's trust policy, and where it is from; nil: nobody has it.
func (e *evidence) policy() (*trust.Policy, string, error) {
	document, from := e.role.value.TrustPolicy, "live"
	if !e.role.known() {
		document, from = e.Policy, "from a file"
	}
	if len(document) == 0 {
		return nil, "", nil
	}
	policy, err := trust.Parse(document)
	return policy, from, err
}

// request is what STS puts before the policy.
func (e *evidence) request(action string) trust.Request {
	request := trust.WebIdentityRequest(e.providerARN(), e.claims.All, e.built.STS.SessionOf(e.token), e.built.STS.RoleARN)
	request.Action = action
	return request
}

// trustPolicy evaluates the policy as STS does, condition by condition.
func (e *evidence) trustPolicy() Finding {
	if !e.shown() {
		return Finding{}
	}
	policy, from, err := e.policy()
	f := Finding{Check: "trust policy", Hop: keyless.HopExchange, Verdict: OK, Summary: "the role trusts this token", Evidence: texts(named("policy", from))}
	switch {
	case err != nil:
		f.Verdict, f.Code, f.Summary = Failed, "policy-malformed", clean(err.Error())
		f.Fix = "correct the policy; keyless audit says what else is wrong with it"
		return e.overruled(f)
	case policy == nil:
		return Finding{}
	}
	for _, action := range trust.WebIdentityActions(e.claims.All) {
		if decision := policy.Evaluate(e.request(action)); !decision.Allowed {
			e.distrusted(&f, policy, action, decision)
			break
		}
		f.Evidence = append(f.Evidence, "it allows "+action)
	}
	return e.overruled(f)
}

// distrusted says why a policy refuses.
func (e *evidence) distrusted(f *Finding, policy *trust.Policy, action string, decision trust.Decision) {
	f.Verdict = Failed
	if denial, denied := decision.Denying(); denied {
		f.Code, f.Summary = "explicit-deny", "a Deny of the policy is for this token: "+clean(decision.Reason)
		f.Evidence = append(f.Evidence, conditionLines(denial)...)
		f.Fix = "a Deny wins over every Allow: take this identity out of it, if it is meant to get in"
		return
	}
	result, found := decision.Nearest()
	if !found {
		f.Code, f.Summary, f.Fix = "no-allow", "no statement of the policy allows anything", "add a statement that allows "+action
		return
	}
	why := e.why(policy.Statements[result.Index], action, result)
	f.Code, f.Summary = why.code, why.summary
	f.Evidence = append(f.Evidence, conditionLines(result)...)
	f.Fix = lines(why.advice, e.repair(policy, result.Index))
}

func conditionLines(result trust.StatementResult) []string {
	all := []string{fmt.Sprintf("statement %d: for this principal: %s, for this action: %s", result.Index+1, yesNo(result.PrincipalMatched), yesNo(result.ActionMatched))}
	for _, c := range result.Conditions {
		all = append(all, yesNo(c.OK)+": "+clean(c.String()))
	}
	return all
}

func yesNo(ok bool) string {
	if ok {
		return "yes"
	}
	return "no"
}
