package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/keyless-id/keyless/trust"
)

// webAlgorithms returns what STS verifies ("Manage an OIDC provider in IAM").
func webAlgorithms() []string {
	return []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512"}
}

// Limits of the WebIdentityToken parameter, and how far STS lets clocks differ
// for nbf and iat (the last is unverified; exp has no such grace here).
const (
	minToken = 4
	maxToken = 20000
	webSkew  = 5 * time.Minute
)

// assumeRoleWithWebIdentity is the exchange: it is not signed, the token is the
// proof.
func (c *call) assumeRoleWithWebIdentity() (any, *awsError) {
	a, refusal := c.readAssumption()
	if refusal != nil {
		return nil, refusal
	}
	c.details["role"], c.details["session"] = a.roleARN, a.session
	if refusal := c.checkWebParameters(a); refusal != nil {
		return nil, refusal
	}
	token, err := parseToken(c.form.Get("WebIdentityToken"), webAlgorithms())
	if err != nil {
		return nil, notAJWT()
	}
	c.details["subject"], c.details["issuer"] = printable(token.subject), printable(token.issuer)
	provider, refusal := c.checkToken(token, accountOf(a.roleARN))
	if refusal != nil {
		return nil, refusal
	}
	r, refusal := c.checkTrust(token, provider, a)
	if refusal != nil {
		return nil, refusal
	}
	if refusal := checkMaxSession(r, a); refusal != nil {
		return nil, refusal
	}
	return c.webSession(r, a, token)
}

func (c *call) checkWebParameters(a *assumption) *awsError {
	token := c.form.Get("WebIdentityToken")
	switch {
	case len(token) < minToken:
		return constraint("webIdentityToken", "Member must have length greater than or equal to 4")
	case len(token) > maxToken:
		return constraint("webIdentityToken", "Member must have length less than or equal to 20000")
	case c.form.Get("ProviderId") != "":
		return invalid("ProviderId is only for OAuth 2.0 access tokens") // unverified wording
	case c.request.Header.Get("X-Amz-Security-Token") != "":
		return invalidToken(noVerificationKey) // seen when other credentials leak into this call
	}
	return c.checkRegion(accountOf(a.roleARN))
}

// checkToken finds the provider for the issuer and checks times, audience and
// signature. In which order AWS does so is unverified.
func (c *call) checkToken(token *webToken, accountID string) (*OIDCProvider, *awsError) {
	for _, claim := range []string{"iss", "sub", "aud"} {
		if token.claims[claim] == nil {
			return nil, invalidToken("Missing a required claim: " + claim)
		}
	}
	provider := c.providerFor(accountID, token.issuer)
	if provider == nil {
		return nil, invalidToken("No OpenIDConnect provider found in your account for " + printable(token.issuer))
	}
	if refusal := c.checkTimes(token); refusal != nil {
		return nil, refusal
	}
	if !slices.ContainsFunc(trust.Audience(token.claims), func(audience string) bool { return slices.Contains(provider.ClientIDs, audience) }) {
		return nil, invalidToken(incorrectAudience)
	}
	keys, err := c.s.fetchKeys(c.request.Context(), token.issuer)
	switch {
	case errors.Is(err, errUnreachable):
		return nil, unreachableProvider()
	case err != nil:
		return nil, invalidToken(noVerificationKey)
	}
	switch err := token.verifyBy(keys); {
	case errors.Is(err, errNoKey):
		return nil, invalidToken(noVerificationKey)
	case err != nil:
		return nil, invalidToken("The ID Token signature is not valid.") // unverified wording
	}
	return provider, nil
}

// providerFor compares issuers exactly: a missing trailing slash is another
// issuer.
func (c *call) providerFor(accountID, issuer string) *OIDCProvider {
	a := c.s.index.accounts[accountID]
	if a == nil {
		return nil
	}
	found := a.iam.at(c.s.effective()).providers[trust.ProviderKey(issuer)]
	if found == nil || found.URL != issuer {
		return nil
	}
	return &found.OIDCProvider
}

func (c *call) checkTimes(token *webToken) *awsError {
	expiry, hasExpiry, err := token.date("exp")
	issued, hasIssued, err2 := token.date("iat")
	notBefore, _, err3 := token.date("nbf")
	if errors.Join(err, err2, err3) != nil {
		return invalidToken("The timestamps of the token must be integers.") // unverified wording
	}
	now := c.now.Unix()
	latest := now + int64(webSkew/time.Second)
	switch {
	case !hasExpiry || !hasIssued:
		return invalidToken("Missing a required claim: exp or iat") // unverified wording
	case expiry <= now:
		return &awsError{"ExpiredTokenException", http.StatusBadRequest, fmt.Sprintf("Token expired: current date/time %d must be before the expiration date/time %d", now, expiry)}
	case notBefore > latest || issued > latest:
		return invalidToken("The token is not valid yet.") // unverified wording
	}
	return nil
}

// checkTrust asks the role's trust policy. A role that does not exist is
// refused in the same words.
func (c *call) checkTrust(token *webToken, provider *OIDCProvider, a *assumption) (*role, *awsError) {
	r := c.s.role(a.roleARN)
	if r == nil {
		return nil, denied("Not authorized to perform %s", trust.AssumeRoleWithWebIdentity)
	}
	arn := trust.ProviderARN(r.account.Partition, r.account.ID, provider.URL)
	request := trust.WebIdentityRequest(arn, token.claims, a.session, r.arn)
	for _, action := range trust.WebIdentityActions(token.claims) {
		request.Action = action
		decision := r.policy.Evaluate(request)
		if c.decision = &decision; !decision.Allowed {
			c.details["failure"] = decision.FirstFailure()
			return nil, denied("Not authorized to perform %s", action)
		}
	}
	return r, nil
}

func (c *call) webSession(r *role, a *assumption, token *webToken) (any, *awsError) {
	session := c.s.newSession(r, a.session, c.now.Add(a.duration))
	session.tags = trust.SessionTags(token.claims)
	session.sourceIdentity, _ = token.claims["https://aws.amazon.com/source_identity"].(string)
	c.s.sessions.add(session)
	audience := ""
	if list := trust.Audience(token.claims); len(list) > 0 {
		audience = list[0]
	}
	return &webIdentityResult{
		Subject: token.subject, Audience: audience, Provider: token.issuer,
		AssumedRoleUser: session.assumedRole(), Credentials: session.credentials(),
		SourceIdentity: session.sourceIdentity, PackedSize: a.packed,
	}, nil
}

func validJSON(document []byte) bool { return json.Valid(document) }
