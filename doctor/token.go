package doctor

import (
	"fmt"
	"strings"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awssts"
	"github.com/keyless-id/keyless/internal/jwtpeek"
	"github.com/keyless-id/keyless/pipelines"
	"github.com/keyless-id/keyless/trust"
)

// tokenItself is about what the token says, before anybody else has seen it. Its hop is
// that of the exchange, which does not send a token that is not meant for AWS.
func (e *evidence) tokenItself() Finding {
	if e.buildErr != nil || e.tokenErr != nil || e.built.Exchanger == nil {
		return Finding{}
	}
	f := Finding{Check: "token", Hop: keyless.HopExchange, Verdict: OK, Summary: "the token can be shown to AWS", Evidence: e.claimLines()}
	switch codeOf(e.exchangeErr) {
	case awssts.CodeNotJWT:
		f.Code, f.Summary = "not-a-jwt", "the token is none that STS reads"
	case awssts.CodeFirstParty:
		e.firstParty(&f)
	case awssts.CodeAudience:
		e.otherAudience(&f)
	default:
		return e.tokenTimes(f)
	}
	f.Verdict = Failed
	f.Evidence = append(f.Evidence, said(e.exchangeErr))
	if f.Fix == "" {
		f.Fix = hinted(e.exchangeErr)
	}
	return f
}

// claimLines are the claims that AWS looks at, and those that people mix up with them.
func (e *evidence) claimLines() []string {
	if e.claimsErr != nil {
		return texts("the token: " + clean(e.claimsErr.Error()))
	}
	subject := named("sub", e.claims.Subject)
	if e.claims.Subject == e.claims.ObjectID {
		subject += " (the object id)"
	}
	lines := []string{named("iss", e.claims.Issuer), named("aud", strings.Join(e.claims.Audience, ", ")), subject}
	for _, claim := range [][3]string{
		{"azp", e.claims.AuthorizedParty, " (the client id, which AWS takes for the audience)"}, {"appid", e.claims.AppID, " (the client id)"}, {"ver", e.claims.Version, ""},
	} {
		if claim[1] != "" {
			lines = append(lines, named(claim[0], claim[1])+claim[2])
		}
	}
	if !e.claims.Expiry.IsZero() {
		lines = append(lines, named("exp", e.claims.Expiry.UTC().Format("2006-01-02T15:04:05Z")))
	}
	return lines
}

func (e *evidence) firstParty(f *Finding) {
	f.Code, f.Summary = "audience-first-party", "the token is for one of Microsoft's own services, where it is as good as a key"
	if exchangeAudience(e.claims) {
		f.Code, f.Summary = "audience-token-exchange", "the token is for "+pipelines.ExchangeAudience+", which is for federated credentials and not for AWS"
	}
	f.Fix = lines("register an application that stands for AWS, and ask for tokens for that",
		"az ad app create --display-name aws --query appId --output tsv", "az ad app update --id CLIENT_ID --identifier-uris api://CLIENT_ID", e.setting("audience", "api://CLIENT_ID"))
}

func exchangeAudience(claims jwtpeek.Claims) bool {
	for _, audience := range claims.Audience {
		if audience == pipelines.ExchangeAudienceID || strings.HasPrefix(audience, pipelines.ExchangeAudience) {
			return true
		}
	}
	return false
}

func (e *evidence) otherAudience(f *Finding) {
	audience := strings.Join(e.claims.Audience, ", ")
	f.Code, f.Summary = "audience-mismatch", fmt.Sprintf("the token is for %q, and the profile says %q", clean(audience), clean(e.audience()))
	f.Fix = lines("make the two the same, character by character", e.setting("audience", audience))
	if e.claims.Version == "2.0" && e.Profile.ExpectedAud == "" {
		f.Code, f.Summary = "expected-aud", "a version 2 token names the application by its client id, which the profile does not know"
		f.Fix = lines("say it, if that is the client id of the application that stands for AWS", e.setting("expected_aud", audience))
	}
}

// tokenTimes is about a token that the issuer dates in another time than this machine's.
func (e *evidence) tokenTimes(f Finding) Finding {
	now := e.Now()
	switch {
	case e.claimsErr != nil:
	case !e.claims.Expiry.IsZero() && !e.claims.Expiry.After(now):
		f.Verdict, f.Code = Failed, "token-expired"
		f.Summary = "the token has expired " + span(now.Sub(e.claims.Expiry)) + " ago"
		f.Fix = "set the clock, if it is wrong; otherwise whoever keeps the token fresh has stopped\nsudo timedatectl set-ntp true"
	case e.claims.NotBefore.After(now.Add(honestSkew)):
		f.Verdict, f.Code = Failed, "token-not-yet-valid"
		f.Summary = "the token is valid in " + span(e.claims.NotBefore.Sub(now)) + " only"
		f.Fix = "set the clock\nsudo timedatectl set-ntp true"
	}
	if e.first { // whoever decides has decided
		f.Verdict, f.Code, f.Fix = OK, "", ""
	}
	return f
}

// audiences are what STS takes for the token's audience.
func (e *evidence) audiences() []string { return trust.Audience(e.claims.All) }
