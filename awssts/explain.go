package awssts

import (
	"slices"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/jwtpeek"
)

// Codes lists the errors of STS that [Explain] knows.
func Codes() []string {
	return []string{
		"AccessDenied", codeExpired, "ExpiredToken", codeIdentity, "IDPCommunicationError", "IDPRejectedClaim", "InvalidClientTokenId",
		"MalformedPolicyDocument", CodeOutboundDisabled, "PackedPolicyTooLarge", CodePayloadTooLarge, "RegionDisabledException",
		CodeDurationEscalation, "SignatureDoesNotMatch", "Throttling", "ValidationError",
	}
}

// Explain says what an error code of STS means when nothing is known of the token; empty
// for codes that are not known here.
func Explain(code string) string {
	if !slices.Contains(Codes(), code) {
		return ""
	}
	e := &keyless.Error{Code: code, Temporary: code == "Throttling"}
	switch code {
	case "AccessDenied":
		return "the role does not trust this caller, or does not exist; its trust policy must name issuer, audience and subject of the token, to the letter, and allow sts:AssumeRoleWithWebIdentity"
	case codeIdentity:
		return "STS does not take the token: the account has no IAM OIDC provider for its issuer, the provider does not list its audience, or its keys could not be fetched; the message says which"
	case "ValidationError":
		return WebIdentity{}.validationHint("")
	case codeExpired, "IDPRejectedClaim":
		return WebIdentity{}.hint(e, jwtpeek.Claims{})
	}
	if hint := commonHint(e, ""); hint != "" {
		return hint
	}
	return GetWebIdentityToken{}.hint(e)
}
