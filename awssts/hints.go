package awssts

import (
	"fmt"
	"strings"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/jwtpeek"
	"github.com/keyless-id/keyless/internal/wire"
)

// hint is what a person can do about an error of AssumeRoleWithWebIdentity. Its
// facts about the token are unverified, and for reading only.
func (w WebIdentity) hint(e *keyless.Error, claims jwtpeek.Claims) string {
	switch e.Code {
	case codeIdentity:
		return w.identityHint(e, claims)
	case "AccessDenied":
		return "the role does not trust this subject: the token has " + describe(claims) +
			"; the role's trust policy must name exactly these, allow sts:AssumeRoleWithWebIdentity, and have the issuer's provider as its principal"
	case "IDPRejectedClaim":
		return "the issuer says that this token must not be used; get another"
	case codeExpired:
		return "the token is past its end; check this machine's clock"
	case "ValidationError":
		return w.validationHint(e.Message)
	}
	return commonHint(e, w.Region)
}

func (w WebIdentity) identityHint(e *keyless.Error, claims jwtpeek.Claims) string {
	switch text := strings.ToLower(e.Message); {
	case e.Temporary:
		return "AWS could not fetch the issuer's keys just now; this happens at random and passes"
	case strings.Contains(text, "no openidconnect provider"):
		return fmt.Sprintf("account %s has no IAM OIDC provider for the token's issuer; create one with the URL %q, character by character%s",
			orUnknown(account(w.RoleARN)), wire.Quote(claims.Issuer), slash(claims.Issuer))
	case strings.Contains(text, "audience"):
		return audienceHint(claims)
	case strings.Contains(text, "thumbprint"), strings.Contains(text, "certificate"):
		return "AWS does not trust the certificate of the issuer's keys; only issuers with a private CA need a thumbprint on the IAM OIDC provider"
	}
	return "STS found the token itself wrong; the token has " + describe(claims)
}

func slash(issuer string) string {
	if strings.HasSuffix(issuer, "/") {
		return " and with the slash at its end"
	}
	return " and without a slash at its end"
}

// audienceHint explains what AWS calls the audience: azp where a token has one
// ("Available keys for AWS OIDC federation", IAM User Guide).
func audienceHint(claims jwtpeek.Claims) string {
	if claims.AuthorizedParty == "" {
		return fmt.Sprintf("add %q to the client ids of the IAM OIDC provider %q", wire.Quote(strings.Join(claims.Audience, ", ")), wire.Quote(claims.Issuer))
	}
	return fmt.Sprintf("the token has an azp claim, as v2.0 tokens do, and AWS takes that for the audience: add %q (azp) and %q (aud) to the client ids of the IAM OIDC provider %q, or make the application issue v1.0 tokens (requestedAccessTokenVersion: 1)",
		wire.Quote(claims.AuthorizedParty), wire.Quote(strings.Join(claims.Audience, ", ")), wire.Quote(claims.Issuer))
}

// describe names the claims that a trust policy can ask for.
func describe(claims jwtpeek.Claims) string {
	parts := []string{
		fmt.Sprintf("iss=%q", wire.Quote(claims.Issuer)),
		fmt.Sprintf("aud=%q", wire.Quote(strings.Join(claims.Audience, ", "))),
		fmt.Sprintf("sub=%q", wire.Quote(claims.Subject)),
	}
	if claims.AuthorizedParty != "" {
		parts = append(parts, fmt.Sprintf("azp=%q (AWS compares azp where the policy says aud, and aud where it says oaud)", wire.Quote(claims.AuthorizedParty)))
	}
	return strings.Join(parts, " ")
}

func (w WebIdentity) validationHint(message string) string {
	if strings.Contains(message, "DurationSeconds") {
		return fmt.Sprintf("the role allows shorter sessions only: raise its maximum session duration or ask for less than %s", w.Duration)
	}
	return "STS does not take one of the parameters; role ARN, session name, duration and policies have limits"
}

// commonHint is for codes that mean the same for both calls.
func commonHint(e *keyless.Error, region string) string {
	switch e.Code {
	case "RegionDisabledException":
		return fmt.Sprintf("STS is not switched on in region %s for this account; switch it on, or use another region", orUnknown(region))
	case "MalformedPolicyDocument":
		return "the session policy is not a policy; check its grammar"
	case "PackedPolicyTooLarge":
		return "session policies and tags are too large together; make them shorter"
	case "IDPCommunicationError":
		return "AWS could not reach the issuer to fetch its keys; they must be public, on https"
	}
	if e.Temporary {
		return "STS is busy or out of order; it was asked several times, and may answer later"
	}
	if strings.HasPrefix(e.Code, "HTTP ") {
		return "the address answers, but not like STS; is the endpoint right, and is a proxy in the way?"
	}
	return ""
}

const hintSignature = "the signature is for another region or time; check the region, and this machine's clock"

func orUnknown(text string) string {
	if text == "" {
		return "(unknown)"
	}
	return text
}
