package awssts

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/pattern"
	"github.com/keyless-id/keyless/internal/sigv4"
	"github.com/keyless-id/keyless/internal/wire"
)

const actionAssumeRole = "AssumeRole"

// AssumeRole goes from one role to another: it trades credentials for those of
// RoleARN. AWS calls that chaining, and ends such sessions after an hour at most
// ("Methods to assume a role", IAM User Guide).
type AssumeRole struct {
	RoleARN     string
	ExternalID  string        // what the role's trust policy asks for as sts:ExternalId
	SessionName string        // zero: in a [Chain] the first session's name, else "keyless"
	Duration    time.Duration // 15 minutes to an hour; zero: STS decides (one hour)
	Policy      string        // session policy, JSON; zero: all that the role may do
	PolicyARNs  []string      // managed policies as session policies

	Region    string // zero: the default region of the role's partition
	FIPS      bool
	DualStack bool
	Endpoint  string // another address than the region's own; a path in it is kept

	Client *http.Client // zero: a shared one that honours HTTPS_PROXY and NO_PROXY
}

func (a AssumeRole) role() role {
	return role{
		arn: a.RoleARN, session: a.SessionName, duration: a.Duration, longest: maxChained,
		policy: a.Policy, policyARNs: a.PolicyARNs,
		region: a.Region, fips: a.FIPS, dualStack: a.DualStack, endpoint: a.Endpoint,
	}
}

var externalID = pattern.Lazy(`^[\w+=,.@:/-]{2,}$`)

const maxExternalID = 1224

// Validate checks the fields.
func (a AssumeRole) Validate() error {
	if a.ExternalID != "" && (len(a.ExternalID) > maxExternalID || !externalID().MatchString(a.ExternalID)) {
		return fmt.Errorf("external id %q: want 2 to 1224 letters, digits or any of _+=,.@:/-", wire.Quote(a.ExternalID))
	}
	return a.role().validate()
}

// Assume trades from for the role's credentials.
func (a AssumeRole) Assume(ctx context.Context, from keyless.Credentials) (keyless.Credentials, error) {
	if err := a.Validate(); err != nil {
		return keyless.Credentials{}, wrong(actionAssumeRole, err)
	}
	if from.AccessKeyID == "" || from.SecretAccessKey.IsZero() {
		return keyless.Credentials{}, wrong(actionAssumeRole, errors.New("no credentials to assume the role with"))
	}
	return a.call(from).credentials(ctx)
}

func (a AssumeRole) call(from keyless.Credentials) call {
	session := a.SessionName
	if session == "" {
		session = "keyless"
	}
	form := a.role().form(actionAssumeRole, session)
	if a.ExternalID != "" {
		form.Set("ExternalId", a.ExternalID)
	}
	return call{
		role: a.role(), action: actionAssumeRole, form: form, client: a.Client,
		secrets: []string{from.SecretAccessKey.Reveal(), from.SessionToken.Reveal()},
		sign:    func(request *http.Request, body []byte) { a.sign(request, body, from) },
		hint:    a.hint,
	}
}

func (a AssumeRole) sign(request *http.Request, body []byte, from keyless.Credentials) {
	keys := sigv4.Keys{AccessKeyID: from.AccessKeyID, SecretAccessKey: from.SecretAccessKey.Reveal(), SessionToken: from.SessionToken.Reveal()}
	sigv4.Sign(request, body, keys, sigv4.Scope{Service: "sts", Region: a.signingRegion(), Time: time.Now()})
}

// signingRegion is the region that answers. A far side that is not AWS takes any,
// and us-east-1 unless it was told another.
func (a AssumeRole) signingRegion() string {
	if _, region, err := locate(a.Region, a.role().partition()); err == nil && a.Endpoint == "" {
		return region
	}
	if a.Region != "" {
		return a.Region
	}
	return "us-east-1"
}

func (a AssumeRole) hint(e *keyless.Error) string {
	switch e.Code {
	case "AccessDenied":
		return fmt.Sprintf("two sides must agree: the role's trust policy must name the role before it in the chain (and its sts:ExternalId, if it asks for one), and that role must be allowed sts:AssumeRole on %s", wire.Quote(a.RoleARN))
	case "ValidationError":
		return "STS does not take one of the parameters; chained roles last one hour at most, and no longer than the role's maximum session duration"
	case "ExpiredToken", "InvalidClientTokenId":
		return "the credentials of the role before it in the chain are no longer valid"
	case "SignatureDoesNotMatch":
		return hintSignature
	}
	return commonHint(e, a.Region)
}

// Chain is an [keyless.Exchanger] that goes on from the credentials of ex through
// each of the roles in turn.
func Chain(ex keyless.Exchanger, roles ...AssumeRole) keyless.Exchanger {
	return chain{first: ex, roles: roles}
}

type chain struct {
	first keyless.Exchanger
	roles []AssumeRole
}

// Exchange validates all roles first, so that a mistake in the last one does not
// cost requests.
func (c chain) Exchange(ctx context.Context, subject keyless.Token) (keyless.Credentials, error) {
	for _, role := range c.roles {
		if err := role.Validate(); err != nil {
			return keyless.Credentials{}, wrong(actionAssumeRole, err)
		}
	}
	credentials, err := c.first.Exchange(ctx, subject)
	for _, role := range c.roles {
		if err != nil {
			return keyless.Credentials{}, err
		}
		if role.SessionName == "" {
			role.SessionName = c.sessionName(subject)
		}
		before := credentials.Receipt
		if credentials, err = role.Assume(ctx, credentials); err == nil {
			credentials.Receipt = carry(before, credentials.Receipt)
		}
	}
	return credentials, err
}

// carry keeps in a later receipt whose token was at the beginning.
func carry(before, receipt *keyless.Receipt) *keyless.Receipt {
	if before == nil || receipt == nil {
		return receipt
	}
	carried := *receipt
	carried.Issuer, carried.Audience, carried.Subject = before.Issuer, before.Audience, before.Subject
	return &carried
}

// sessionName carries the first session's name through the chain, so that
// CloudTrail shows one identity all the way.
func (c chain) sessionName(subject keyless.Token) string {
	first, _ := c.first.(WebIdentity)
	return first.SessionOf(subject)
}
