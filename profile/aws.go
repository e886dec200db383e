package profile

import (
	"context"
	"net/http"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awshost"
	"github.com/keyless-id/keyless/awssts"
	"github.com/keyless-id/keyless/entra"
	"github.com/keyless-id/keyless/internal/wire"
)

// inAWS is an application that proves itself with the token that AWS issues to whatever
// role the host in AWS offers.
type inAWS struct {
	host  awshost.Host
	token awssts.GetWebIdentityToken
	entra entra.Assertion
}

// Token looks for credentials of AWS each time, and asks for both tokens.
func (a inAWS) Token(ctx context.Context) (keyless.Token, error) {
	a.entra.Source = a.assertion()
	return a.entra.Token(ctx)
}

// assertion is the token that AWS issues.
func (a inAWS) assertion() keyless.TokenSource {
	return keyless.TokenSourceFunc(func(ctx context.Context) (keyless.Token, error) {
		found, err := awshost.Detect(ctx, a.host)
		if err != nil {
			return keyless.Token{}, err
		}
		token := a.token
		token.Credentials = found.Provider
		return token.Token(ctx)
	})
}

func (a inAWS) found(ctx context.Context) (string, error) {
	found, err := awshost.Detect(ctx, a.host)
	return found.Name + " (" + found.Why + ")", err
}

func (b *builder) awsWorkload(a *AWSWorkload, authority string, client *http.Client) (keyless.TokenSource, error) {
	sts := b.awsClient()
	source := inAWS{
		host: awshost.Host{Getenv: b.getenv, Cloud: sts, Client: b.Far.local(wire.Local)},
		token: awssts.GetWebIdentityToken{
			Region:   first(a.Region, b.getenv("AWS_REGION"), b.getenv("AWS_DEFAULT_REGION")),
			Audience: entra.ExchangeAudience(authority), Endpoint: first(a.STSEndpoint, b.getenv("AWS_ENDPOINT_URL_STS")), Client: sts,
		},
		entra: entra.Assertion{TenantID: a.TenantID, ClientID: a.ClientID, Scope: b.scope(), Authority: authority, Client: client},
	}
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_PROFILE"} {
		b.answer = append(b.answer, b.getenv(name))
	}
	b.attempt = append(b.attempt, source.token.Region, source.token.Endpoint, b.getenv("AWS_SECRET_ACCESS_KEY"), b.getenv("AWS_SESSION_TOKEN"))
	return source, b.validWorkload(source)
}

// validWorkload looks at both halves as they will be once there are credentials.
func (b *builder) validWorkload(source inAWS) error {
	source.token.Credentials = awshost.Environment{}
	if err := source.token.Validate(); err != nil {
		return b.valid("source.aws", err)
	}
	source.entra.Source = source.token
	return b.valid("source.aws", source.entra.Validate())
}
