package doctor

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
)

// session is about the exchange, which was tried. If no check knows why STS refuses, it
// says so.
func (e *evidence) session() Finding {
	if e.buildErr != nil || e.tokenErr != nil || e.built.Exchanger == nil || guarded(e.exchangeErr) {
		return Finding{}
	}
	f := Finding{Check: "session", Hop: keyless.HopExchange, Verdict: OK, Summary: "STS gave credentials", Evidence: e.receiptLines()}
	if asked := e.built.STS.Duration; e.role.known() && e.role.value.MaxSession > 0 && asked > e.role.value.MaxSession {
		e.tooLong(&f)
		return e.overruled(f)
	}
	if e.first {
		return f
	}
	f.Verdict, f.Code, f.Summary = Failed, "refused-unexplained", "STS refuses, and nothing that could be read explains it"
	f.Evidence = append(texts(said(e.exchangeErr)), e.claimLines()...)
	f.Fix, f.Temporary = hinted(e.exchangeErr), keyless.IsTemporary(e.exchangeErr)
	failed := asError(e.exchangeErr)
	switch {
	case failed == nil:
	case e.knownRefusal(failed, &f), e.explained(&f), stsTrouble(failed, &f), networkTrouble(failed, &f):
	default:
		e.unexplained(failed, &f)
	}
	e.throughProxy(&f)
	return f
}

func (e *evidence) receiptLines() []string {
	if e.credentials.Receipt == nil {
		return nil
	}
	return texts(named("session", e.credentials.Receipt.Session), named("request", e.credentials.Receipt.RequestID), named("until", e.credentials.Expiry.UTC().Format(time.RFC3339)))
}

// explained refers to a check of the exchange that failed before.
func (e *evidence) explained(f *Finding) bool {
	for _, check := range []func() Finding{e.issuerKeys, e.providerEntry, e.roleItself, e.trustPolicy} {
		if cause := check(); cause.Verdict == Failed {
			f.Code, f.Summary = "refused", "STS refuses, for the reason above: "+cause.Summary
			f.Fix, f.Temporary = "see "+cause.Check, cause.Temporary
			return true
		}
	}
	return false
}

// knownRefusal knows the refusals that have one cause only.
func (e *evidence) knownRefusal(failed *keyless.Error, f *Finding) bool {
	switch {
	case failed.Code == "ValidationError" && strings.Contains(failed.Message, "DurationSeconds"):
		e.tooLong(f)
	case failed.Code == "RegionDisabledException":
		f.Code, f.Summary = "region-disabled", "STS is not switched on in region "+clean(cmp.Or(e.built.STS.Region, "of the default"))+" for this account"
		f.Fix = lines("use a region that is on for every account, or switch it on (IAM, Account settings, Security Token Service)", e.setting(e.regionPath(), "us-east-1"))
	case failed.Code == keyless.CodeExpiredToken:
		f.Code, f.Summary = "token-expired", "STS says that the token has expired"
	case failed.Code == "PackedPolicyTooLarge", failed.Code == "MalformedPolicyDocument":
		f.Code, f.Summary = "session-policy", "STS does not take the session policy"
		f.Fix = lines(hinted(failed), e.setting("aws.session_policy", "…"))
	default:
		return false
	}
	return true
}

func (e *evidence) regionPath() string {
	if e.Profile.AzureAD != nil {
		return "default_region"
	}
	return "aws.region"
}

// stsTrouble knows answers that STS does not give.
func stsTrouble(failed *keyless.Error, f *Finding) bool {
	if !strings.HasPrefix(failed.Code, "HTTP ") && !strings.Contains(failed.Hint, "but not like STS") {
		return false
	}
	if failed.Temporary {
		return false
	}
	f.Code, f.Summary = "intercepted", "something else answers in the place of STS"
	f.Fix = lines(clean(failed.Hint), "env | grep -i -e proxy -e AWS_ENDPOINT", "curl -sI https://sts.amazonaws.com/")
	return true
}

// tooLong is a session that is longer than the role allows.
func (e *evidence) tooLong(f *Finding) {
	asked := e.built.STS.Duration
	f.Verdict, f.Code, f.Summary = Failed, "session-too-long", fmt.Sprintf("the profile asks for sessions of %s, and the role allows less", asked)
	shorter := "1h"
	if e.role.known() && e.role.value.MaxSession > 0 {
		shorter = e.role.value.MaxSession.String()
		f.Evidence = append(f.Evidence, named("the role's maximum session duration", shorter))
	}
	f.Fix = lines("let the role allow it, or ask for less",
		fmt.Sprintf("aws iam update-role --role-name %s --max-session-duration %d", quoted(splitARN(e.built.STS.RoleARN).roleName()), int(asked/time.Second)),
		e.setting("aws.duration", shorter))
}

// unexplained says what it may be, and what was looked at.
func (e *evidence) unexplained(failed *keyless.Error, f *Finding) {
	if failed.Code != "AccessDenied" {
		f.Code = cmp.Or(failed.Code, f.Code)
		f.Summary = "STS refuses: " + clean(failed.Error())
		return
	}
	policy, from, _ := e.policy()
	switch {
	case policy == nil:
		f.Summary = "STS refuses, and the role's trust policy could not be read"
		f.Fix = lines(hinted(failed), e.unreadRole(Finding{}).Fix)
	case from == "live":
		f.Fix = "the trust policy lets this token in, but something above it does not: a service control policy or resource control policy of the organization; or it was changed less than a minute ago\n" +
			"aws cloudtrail lookup-events --lookup-attributes AttributeKey=EventName,AttributeValue=AssumeRoleWithWebIdentity"
	default:
		f.Fix = lines("the policy in the file lets this token in: is it the one that the role has, and is there a role "+clean(e.built.STS.RoleARN)+"?",
			"aws iam get-role --role-name "+quoted(splitARN(e.built.STS.RoleARN).roleName())+" --query Role.AssumeRolePolicyDocument")
	}
}

// callerItself is about the credentials being those of the role.
func (e *evidence) callerItself() Finding {
	if !e.caller.tried {
		return Finding{}
	}
	f := Finding{Check: "caller", Hop: keyless.HopExchange, Verdict: OK, Summary: "AWS takes the credentials for the role's"}
	want := splitARN(e.Profile.AWS.FinalRole())
	got := splitARN(e.caller.value.ARN)
	switch {
	case e.caller.err != nil:
		f.Verdict, f.Code, f.Summary = Failed, "credentials-refused", "AWS does not take the credentials that STS gave"
		f.Evidence, f.Fix, f.Temporary = []string{said(e.caller.err)}, hinted(e.caller.err), keyless.IsTemporary(e.caller.err)
	case got.account != want.account || !strings.HasPrefix(got.resource, "assumed-role/"+want.roleName()+"/"):
		f.Verdict, f.Code, f.Summary = Failed, "caller-differs", "the credentials are somebody else's"
		f.Fix = "does something between here and STS answer in its place?\nenv | grep -i -e proxy -e AWS_ENDPOINT"
	}
	if e.caller.err == nil {
		f.Evidence = []string{named("caller", e.caller.value.ARN)}
	}
	return f
}
