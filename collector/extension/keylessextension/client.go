package keylessextension

import (
	"context"
	"errors"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/aws/aws-sdk-go-v2/aws"
	"go.opentelemetry.io/collector/extension/extensionauth"
	"golang.org/x/oauth2"

	"github.com/keyless-id/keyless/transport"
)

// What others look for in an extension: the collector's own clients, and by the form of
// their methods components that use an SDK.
var (
	_ extensionauth.HTTPClient = (*keylessExtension)(nil)
	_ azcore.TokenCredential   = (*keylessExtension)(nil)
	_ aws.CredentialsProvider  = (*keylessExtension)(nil)

	_ interface {
		GetCredentialsProvider() aws.CredentialsProvider
	} = (*keylessExtension)(nil)
	_ interface {
		Token(ctx context.Context) (*oauth2.Token, error)
	} = (*keylessExtension)(nil)
)

var errNoHosts = errors.New("keyless: hosts is missing: say which hosts the token may go to; only those of Azure Monitor's own audience are known")

// RoundTripper implements [extensionauth.HTTPClient]: it adds the token, or the signature,
// to the requests for the hosts that they may go to, and refuses others.
func (e *keylessExtension) RoundTripper(base http.RoundTripper) (http.RoundTripper, error) {
	switch {
	case e.tokens == nil:
		return nil, errNotStarted
	case len(e.hosts) == 0:
		return nil, errNoHosts
	case e.cfg.Mode == modeSigV4:
		return &transport.SigV4{Provider: e.provider, Region: e.cfg.SigV4.Region, Service: e.cfg.SigV4.Service, Hosts: e.hosts, Base: base}, nil
	}
	return e.bearer(base), nil
}

func (e *keylessExtension) bearer(base http.RoundTripper) *transport.Bearer {
	return &transport.Bearer{Source: e.tokens, Hosts: e.hosts, Base: base}
}

// GetToken implements [azcore.TokenCredential], for whichever audience the one scope names.
func (e *keylessExtension) GetToken(ctx context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	if e.azure == nil {
		return azcore.AccessToken{}, errNotStarted
	}
	return e.azure.GetToken(ctx, options)
}

// Token is the token for the profile's audience.
func (e *keylessExtension) Token(ctx context.Context) (*oauth2.Token, error) {
	if e.tokens == nil {
		return nil, errNotStarted
	}
	token, err := e.tokens.Token(ctx)
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: token.Value.Reveal(), TokenType: "Bearer", Expiry: token.Expiry}, nil
}

// Retrieve implements [aws.CredentialsProvider].
func (e *keylessExtension) Retrieve(ctx context.Context) (aws.Credentials, error) {
	switch {
	case e.tokens == nil:
		return aws.Credentials{}, errNotStarted
	case e.aws == nil:
		return aws.Credentials{}, errNoRole
	}
	return e.aws.Retrieve(ctx)
}

// GetCredentialsProvider is the provider with all that the SDK's cache asks of one. Without a
// role it is the extension, which says so.
func (e *keylessExtension) GetCredentialsProvider() aws.CredentialsProvider {
	if e.aws == nil {
		return e
	}
	return e.aws
}
