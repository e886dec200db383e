package awssts

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/awsquery"
	"github.com/keyless-id/keyless/internal/jwtpeek"
	"github.com/keyless-id/keyless/internal/wire"
)

const actionOutbound = "GetWebIdentityToken"

// Limits of the API reference of GetWebIdentityToken.
const (
	minOutbound   = time.Minute
	maxOutbound   = time.Hour
	longestAud    = 1000
	exchangeAud   = "api://AzureADTokenExchange"
	signingMethod = "RS256" // the only one that Entra takes
)

// Codes of GetWebIdentityToken.
const (
	CodeOutboundDisabled   = "OutboundWebIdentityFederationDisabled"
	CodeDurationEscalation = "SessionDurationEscalation"
	CodePayloadTooLarge    = "JWTPayloadSizeExceeded"
)

var (
	_ keyless.TokenSource = GetWebIdentityToken{}
	_ keyless.Refresher   = GetWebIdentityToken{}
)

// GetWebIdentityToken is the way back: AWS itself says, in a signed token, which role
// the credentials are of ("GetWebIdentityToken", AWS STS API Reference). The token's
// issuer is the account's own, its subject the role's ARN. As the Source of an
// entra.Assertion it turns a workload in AWS into an application in Entra.
type GetWebIdentityToken struct {
	// Credentials are what the request is signed with, asked for each token.
	Credentials keyless.CredentialsProvider
	Audience    string        // zero: api://AzureADTokenExchange, Entra's
	Duration    time.Duration // a minute to an hour; zero: STS decides (five minutes)

	// Region answers, for the global endpoint does not know the call. Zero: us-east-1.
	Region    string
	FIPS      bool
	DualStack bool
	Endpoint  string // another address than the region's own; a path in it is kept

	Client *http.Client // zero: a shared one that honours HTTPS_PROXY and NO_PROXY
}

func (g GetWebIdentityToken) role() role {
	return role{region: g.Region, fips: g.FIPS, dualStack: g.DualStack, endpoint: g.Endpoint}
}

// Validate checks the fields.
func (g GetWebIdentityToken) Validate() error {
	switch audience := g.audience(); {
	case g.Credentials == nil:
		return errors.New("no credentials to ask with")
	case len(audience) > longestAud || strings.ContainsFunc(audience, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fmt.Errorf("audience %q: want up to %d printable characters", wire.Quote(audience), longestAud)
	case g.Duration != 0 && (g.Duration < minOutbound || g.Duration > maxOutbound || g.Duration%time.Second != 0):
		return fmt.Errorf("duration %s: want whole seconds from 1m to 1h", g.Duration)
	}
	address, err := g.role().address()
	if err != nil {
		return err
	}
	if u, err := url.Parse(address); err == nil && strings.EqualFold(u.Hostname(), "sts.amazonaws.com") {
		return errors.New("endpoint: the global endpoint does not issue tokens; name a region")
	}
	return nil
}

func (g GetWebIdentityToken) audience() string {
	if g.Audience == "" {
		return exchangeAud
	}
	return g.Audience
}

// Token asks for a token.
func (g GetWebIdentityToken) Token(ctx context.Context) (keyless.Token, error) {
	if err := g.Validate(); err != nil {
		return keyless.Token{}, &keyless.Error{Hop: keyless.HopSource, Op: actionOutbound, Err: err}
	}
	from, err := g.Credentials.Credentials(ctx)
	if err != nil {
		return keyless.Token{}, err
	}
	if from.AccessKeyID == "" || from.SecretAccessKey.IsZero() {
		return keyless.Token{}, &keyless.Error{Hop: keyless.HopSource, Op: actionOutbound, Err: errors.New("no credentials to ask with")}
	}
	return ask(ctx, g.call(from), parseOutbound)
}

// Refresh asks for another token. STS keeps none, so it is a new one.
func (g GetWebIdentityToken) Refresh(ctx context.Context, _ keyless.Token, _ string) (keyless.Token, error) {
	return g.Token(ctx)
}

func (g GetWebIdentityToken) call(from keyless.Credentials) call {
	form := url.Values{
		"Action": {actionOutbound}, "Version": {"2011-06-15"},
		"Audience.member.1": {g.audience()}, "SigningAlgorithm": {signingMethod},
	}
	if g.Duration != 0 {
		form.Set("DurationSeconds", strconv.FormatInt(int64(g.Duration/time.Second), 10))
	}
	signer := AssumeRole{Region: g.Region, Endpoint: g.Endpoint}
	return call{
		role: g.role(), hop: keyless.HopSource, action: actionOutbound, form: form, client: g.Client,
		secrets: []string{from.SecretAccessKey.Reveal(), from.SessionToken.Reveal()},
		sign:    func(request *http.Request, body []byte) { signer.sign(request, body, from) },
		hint:    g.hint,
	}
}

func (g GetWebIdentityToken) hint(e *keyless.Error) string {
	switch e.Code {
	case CodeOutboundDisabled:
		return "the account does not issue tokens; switch it on once (aws iam enable-outbound-web-identity-federation)"
	case CodeDurationEscalation:
		return "the token would outlast the credentials that ask for it; ask for a shorter duration"
	case CodePayloadTooLarge:
		return "the role's tags make the token too large; use fewer or shorter ones"
	case "AccessDenied":
		return fmt.Sprintf("the role must be allowed sts:GetWebIdentityToken; conditions on sts:IdentityTokenAudience, sts:SigningAlgorithm and sts:DurationSeconds must admit %q, %s and the duration", wire.Quote(g.audience()), signingMethod)
	case "ExpiredToken", "InvalidClientTokenId", "UnrecognizedClientException":
		return "the AWS credentials of this workload are no longer valid"
	case "SignatureDoesNotMatch":
		return hintSignature
	case "InvalidAction":
		return "this endpoint does not know the call; use a regional one of AWS"
	case "ValidationError":
		return "STS does not take one of the parameters; audience and duration have limits"
	}
	if hint := commonHint(e, g.Region); hint != "" {
		return hint
	}
	return "STS refused; its message says why"
}

func parseOutbound(body []byte, obtained time.Time) (keyless.Token, error) {
	var answer struct {
		XMLName xml.Name
		Result  *struct {
			Token      string `xml:"WebIdentityToken"`
			Expiration string `xml:"Expiration"`
		} `xml:"GetWebIdentityTokenResult"`
	}
	if err := awsquery.Decode(body, &answer); err != nil {
		return keyless.Token{}, err
	}
	if answer.Result == nil {
		return keyless.Token{}, awsquery.ErrNoXML
	}
	value := strings.TrimSpace(answer.Result.Token)
	claims, err := jwtpeek.Unverified(value)
	if err != nil {
		return keyless.Token{}, fmt.Errorf("the answer has no usable WebIdentityToken: %w", err)
	}
	expiry, err := time.Parse(time.RFC3339, strings.TrimSpace(answer.Result.Expiration))
	if err != nil {
		expiry = claims.Expiry
	}
	if expiry.IsZero() {
		return keyless.Token{}, errors.New("the answer does not say how long the token lasts: no Expiration, no exp")
	}
	return keyless.Token{Value: keyless.NewSecret(value), Obtained: obtained, Expiry: expiry.UTC()}, nil
}
