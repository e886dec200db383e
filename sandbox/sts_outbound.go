package sandbox

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// webIdentityTokenResult is the result of GetWebIdentityToken.
type webIdentityTokenResult struct {
	WebIdentityToken string
	Expiration       string
}

// Limits of "GetWebIdentityToken".
const (
	minWebToken      = 60
	maxWebToken      = 3600
	standardWebToken = 300
	maxAudiences     = 10
	maxAudience      = 1000
)

// getWebIdentityToken is the way back: AWS issues a token that others trust.
func (c *call) getWebIdentityToken() (any, *awsError) {
	if name, found := awsHost(strings.ToLower(hostOnly(c.request.Host))); found && name.region == "" {
		return nil, &awsError{"InvalidAction", http.StatusBadRequest, "GetWebIdentityToken is not available on the global endpoint"} // unverified
	}
	caller, refusal := c.caller()
	if refusal != nil {
		return nil, refusal
	}
	audiences, lifetime, refusal := c.readWebToken()
	if refusal != nil {
		return nil, refusal
	}
	if !caller.account.iam.at(c.s.effective()).outbound {
		return nil, &awsError{"OutboundWebIdentityFederationDisabled", http.StatusForbidden, "Outbound web identity federation is not enabled for this account."} // unverified wording
	}
	if !caller.expiry.IsZero() && c.now.Add(lifetime).After(caller.expiry) {
		return nil, &awsError{"SessionDurationEscalation", http.StatusForbidden, "The requested token duration would extend the session beyond its original expiration time."} // unverified wording
	}
	expiry := c.now.Add(lifetime).Truncate(time.Second)
	token, err := c.s.Mint(c.outboundClaims(caller, audiences, expiry), Minting{Algorithm: c.form.Get("SigningAlgorithm")})
	if err != nil {
		return nil, &awsError{"InternalFailure", http.StatusInternalServerError, "The token could not be signed."}
	}
	c.details["audience"] = printable(strings.Join(audiences, " "))
	return &webIdentityTokenResult{WebIdentityToken: token, Expiration: expiry.UTC().Format("2006-01-02T15:04:05Z")}, nil
}

func (c *call) readWebToken() ([]string, time.Duration, *awsError) {
	audiences := formList(c.form, "Audience")
	switch {
	case len(audiences) == 0:
		return nil, 0, constraint("audience", "Member must have length greater than or equal to 1")
	case len(audiences) > maxAudiences:
		return nil, 0, constraint("audience", "Member must have length less than or equal to 10")
	}
	for _, audience := range audiences {
		if audience == "" || len(audience) > maxAudience {
			return nil, 0, constraint("audience", "Member must satisfy constraint: [Member must have length less than or equal to 1000, Member must have length greater than or equal to 1]")
		}
	}
	if algorithm := c.form.Get("SigningAlgorithm"); algorithm != "RS256" && algorithm != "ES384" {
		return nil, 0, constraint("signingAlgorithm", "Member must satisfy enum value set: [ES384, RS256]")
	}
	seconds := standardWebToken
	if text := c.form.Get("DurationSeconds"); text != "" {
		var err error
		if seconds, err = strconv.Atoi(text); err != nil {
			return nil, 0, &awsError{"MalformedInput", http.StatusBadRequest, "durationSeconds is not an integer"} // unverified
		}
	}
	switch {
	case seconds < minWebToken:
		return nil, 0, constraint("durationSeconds", "Member must have value greater than or equal to 60")
	case seconds > maxWebToken:
		return nil, 0, constraint("durationSeconds", "Member must have value less than or equal to 3600")
	}
	return audiences, time.Duration(seconds) * time.Second, nil
}

// outboundClaims has the role for its subject, and not the session.
func (c *call) outboundClaims(caller *identity, audiences []string, expiry time.Time) map[string]any {
	subject := caller.arn
	if caller.role != nil {
		subject = caller.role.arn
	}
	about := map[string]any{"aws_account": caller.account.ID, "source_region": c.region}
	if !caller.expiry.IsZero() {
		about["original_session_exp"] = caller.expiry.UTC().Format(time.RFC3339)
	}
	var audience any = audiences
	if len(audiences) == 1 {
		audience = audiences[0]
	}
	return map[string]any{
		"iss": caller.account.outboundIssuer(), "sub": subject, "aud": audience, "jti": randomGUID(),
		"iat": c.now.Unix(), "exp": expiry.Unix(), "https://sts.amazonaws.com/": about,
	}
}
