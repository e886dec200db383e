package awssts

import (
	"context"
	"net/http"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/jwtpeek"
)

const actionWebIdentity = "AssumeRoleWithWebIdentity"

var _ keyless.Exchanger = WebIdentity{}

// WebIdentity trades a token for a role's credentials by
// AssumeRoleWithWebIdentity. The request carries no signature and needs no
// credentials; the token goes in its body.
type WebIdentity struct {
	RoleARN     string
	SessionName string        // zero: made from the token, the same for the same identity
	Duration    time.Duration // 15 minutes to 12 hours; zero: STS decides (one hour)
	Policy      string        // session policy, JSON; zero: all that the role may do
	PolicyARNs  []string      // managed policies as session policies

	Region    string // zero: the default region of the role's partition
	FIPS      bool
	DualStack bool
	Endpoint  string // another address than the region's own; a path in it is kept

	// Audience is the audience that the token was asked for, without /.default. A
	// token for another one is not sent. Zero: any audience will do that is not one
	// of Microsoft's own services.
	Audience string
	// ExpectedAudience is the aud claim to expect where it cannot be told from
	// Audience: v2.0 tokens name the application's GUID and not its App ID URI.
	ExpectedAudience string
	// AllowTokenExchangeAudience lets tokens for api://AzureADTokenExchange pass.
	// They are bearer tokens for every application that federates with their
	// issuer; only those of Azure Pipelines have no other audience to offer.
	AllowTokenExchangeAudience bool

	Client *http.Client // zero: a shared one that honours HTTPS_PROXY and NO_PROXY
}

func (w WebIdentity) role() role {
	return role{
		arn: w.RoleARN, session: w.SessionName, duration: w.Duration, longest: maxDuration,
		policy: w.Policy, policyARNs: w.PolicyARNs,
		region: w.Region, fips: w.FIPS, dualStack: w.DualStack, endpoint: w.Endpoint,
	}
}

// Validate checks the fields.
func (w WebIdentity) Validate() error { return w.role().validate() }

// Exchange trades subject, which must be a JWT for the configured audience.
func (w WebIdentity) Exchange(ctx context.Context, subject keyless.Token) (keyless.Credentials, error) {
	if err := w.Validate(); err != nil {
		return keyless.Credentials{}, wrong(actionWebIdentity, err)
	}
	claims, err := w.admit(subject)
	if err != nil {
		return keyless.Credentials{}, err
	}
	return w.call(subject, claims).credentials(ctx)
}

func (w WebIdentity) call(subject keyless.Token, claims jwtpeek.Claims) call {
	session := w.SessionName
	if session == "" {
		session = sessionName(claims)
	}
	form := w.role().form(actionWebIdentity, session)
	form.Set("WebIdentityToken", subject.Value.Reveal())
	return call{
		role: w.role(), action: actionWebIdentity, form: form, client: w.Client,
		secrets: []string{subject.Value.Reveal()},
		hint:    func(e *keyless.Error) string { return w.hint(e, claims) },
	}
}
