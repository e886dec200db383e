// Package iam reads and changes what Azure's workloads need of an AWS account: roles with
// their trust policies, OIDC providers, outbound federation ("IAM API Reference",
// version 2010-05-08). It is not for programs that need credentials, only for those
// that look after the trust.
package iam

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/awsquery"
	"github.com/keyless-id/keyless/internal/hop"
	"github.com/keyless-id/keyless/internal/sigv4"
	"github.com/keyless-id/keyless/internal/wire"
)

// Hop is where errors of this package are: not on the way from a token to credentials,
// but in what lays the way.
const Hop keyless.Hop = "iam"

// Codes of IAM that callers decide by.
const (
	CodeNoSuchEntity   = "NoSuchEntity"
	CodeAlreadyExists  = "EntityAlreadyExists"
	CodeAccessDenied   = "AccessDenied"
	CodeDeleteConflict = "DeleteConflict"
	CodeConcurrent     = "ConcurrentModification"
	// CodeOutboundDisabled is of GetOutboundWebIdentityFederationInfo, for an account
	// that issues no tokens.
	CodeOutboundDisabled = "FeatureDisabled"
	// CodeOutboundEnabled is of EnableOutboundWebIdentityFederation.
	CodeOutboundEnabled = "FeatureEnabled"
)

const (
	globalEndpoint = "https://iam.amazonaws.com"
	globalRegion   = "us-east-1"
	tryTimeout     = 30 * time.Second
)

// Client asks IAM. Each call is tried again while that can help. Errors are of type
// [keyless.Error], on the hop [Hop], with IAM's code.
type Client struct {
	Credentials keyless.CredentialsProvider
	Endpoint    string       // zero: https://iam.amazonaws.com; see [Endpoint] for other partitions
	Region      string       // that is signed for; zero: us-east-1
	HTTPClient  *http.Client // zero: a shared one that honours HTTPS_PROXY and NO_PROXY
}

// Endpoint returns the address of IAM in a partition, and the region that requests to
// it are signed for ("AWS Identity and Access Management endpoints and quotas", AWS
// General Reference; the endpoints file of AWS's SDKs); both are empty for a partition that is
// not known.
func Endpoint(partition string) (address, region string) {
	switch partition {
	case "", "aws":
		return globalEndpoint, globalRegion
	case "aws-us-gov":
		return "https://iam.us-gov.amazonaws.com", "us-gov-west-1"
	case "aws-cn":
		return "https://iam.cn-north-1.amazonaws.com.cn", "cn-north-1"
	case "aws-eusc":
		return "https://iam.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1" // unverified
	case "aws-iso":
		return "https://iam.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"
	case "aws-iso-b":
		return "https://iam.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"
	case "aws-iso-f":
		return "https://iam.us-isof-south-1.csp.hci.ic.gov", "us-isof-south-1"
	}
	return "", ""
}

// Is reports whether err is a refusal with this code.
func Is(err error, code string) bool {
	var e *keyless.Error
	return errors.As(err, &e) && e.Code == code
}

func (c Client) service() service {
	s := service{name: "iam", version: "2010-05-08", credentials: c.Credentials, endpoint: c.Endpoint, region: c.Region, client: c.HTTPClient}
	if s.endpoint == "" {
		s.endpoint = globalEndpoint
	}
	if s.region == "" {
		s.region = globalRegion
	}
	return s
}

// ask calls an action; into may be nil for one that answers nothing.
func (c Client) ask(ctx context.Context, action string, parameters parameters, into any) error {
	return c.service().ask(ctx, action, parameters, into)
}

// parameters are those of a call; empty ones are left out.
type parameters map[string]string

// service is a service of the query protocol.
type service struct {
	name, version    string
	endpoint, region string
	credentials      keyless.CredentialsProvider
	client           *http.Client
}

// backoff gives a change that another one got in the way of some seconds.
func backoff() wire.Backoff {
	return wire.Backoff{Tries: 4, First: 400 * time.Millisecond, Max: 4 * time.Second}
}

func (s service) ask(ctx context.Context, action string, p parameters, into any) error {
	if s.credentials == nil {
		return wrong(action, errors.New("no credentials to ask with"))
	}
	from, err := s.credentials.Credentials(ctx)
	if err != nil {
		return err
	}
	form := url.Values{"Action": {action}, "Version": {s.version}}
	for name, value := range p {
		if value != "" || strings.HasPrefix(name, "Tags.") { // a tag may have an empty value
			form.Set(name, value)
		}
	}
	return backoff().Retry(ctx, func(ctx context.Context) error { return s.try(ctx, form, from, into) }, hop.Verdict)
}

func (s service) try(ctx context.Context, form url.Values, from keyless.Credentials, into any) error {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	action := form.Get("Action")
	request, err := s.request(ctx, form.Encode(), from)
	if err != nil {
		return wrong(action, err)
	}
	answer, err := wire.Do(s.httpClient(), request)
	if err != nil {
		return hop.Failed(Hop, action, err)
	}
	if answer.Status != http.StatusOK {
		return refusal(action, answer, from)
	}
	return read(action, answer.Body, into)
}

// request puts everything into the body: addresses end up in logs and errors.
func (s service) request(ctx context.Context, body string, from keyless.Credentials) (*http.Request, error) {
	base, err := wire.Endpoint(s.endpoint)
	if err != nil {
		return nil, err
	}
	if base.Path == "" {
		base.Path = "/"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base.String(), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	keys := sigv4.Keys{AccessKeyID: from.AccessKeyID, SecretAccessKey: from.SecretAccessKey.Reveal(), SessionToken: from.SessionToken.Reveal()}
	sigv4.Sign(request, []byte(body), keys, sigv4.Scope{Service: s.name, Region: s.region, Time: time.Now()})
	return request, nil
}

func (s service) httpClient() *http.Client {
	if s.client != nil {
		return s.client
	}
	return wire.Cloud()
}

func wrong(action string, err error) *keyless.Error {
	return &keyless.Error{Hop: Hop, Op: action, Err: err}
}

func read(action string, body []byte, into any) error {
	if into == nil {
		into = new(struct {
			RequestID string `xml:"ResponseMetadata>RequestId"`
		})
	}
	if err := awsquery.Decode(body, into); err != nil {
		e := wrong(action, err)
		e.Temporary = errors.Is(err, awsquery.ErrCutOff)
		e.Hint = "is the endpoint right, and is a proxy or captive portal answering in its place?"
		return e
	}
	return nil
}

func refusal(action string, answer *wire.Answer, from keyless.Credentials) *keyless.Error {
	secrets := []string{from.SecretAccessKey.Reveal(), from.SessionToken.Reveal()}
	e := &keyless.Error{Hop: Hop, Op: action, RetryAfter: answer.RetryAfter()}
	if f, ok := awsquery.ParseFault(answer.Body); ok {
		e.Code, e.Message = wire.Quote(f.Code, secrets...), wire.Quote(f.Message, secrets...)
	} else {
		e.Code, e.Message = "HTTP "+strconv.Itoa(answer.Status), answer.Excerpt(secrets...)
	}
	e.Temporary = e.Code == CodeConcurrent || awsquery.Temporary(answer.Status, e.Code)
	e.Hint = hint(e)
	switch e.Code {
	case "SignatureDoesNotMatch", "RequestExpired":
		e.Hint = hop.ClockHint(answer, time.Now(), e.Hint)
	}
	return e
}

func hint(e *keyless.Error) string {
	switch e.Code {
	case CodeAccessDenied:
		return "the AWS login that was used must be allowed iam:" + e.Op
	case "InvalidClientTokenId", "ExpiredToken", "UnrecognizedClientException":
		return "the AWS login is not or no longer valid; sign in again (aws sso login, aws sts get-caller-identity)"
	case "SignatureDoesNotMatch":
		return "the secret key does not belong to the access key, or the address is another partition's"
	case "LimitExceeded":
		return "a quota of the account is reached; a provider takes 100 client ids, a trust policy 2,048 characters unless the quota was raised"
	case CodeConcurrent:
		return "somebody else is changing the same thing; try again"
	}
	if e.Temporary {
		return "IAM is busy or out of order; it was asked several times, and may answer later"
	}
	return ""
}
