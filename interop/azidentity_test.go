package interop_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/keyless-id/keyless/sandbox"
)

// Microsoft's own client is the judge of the Entra emulator: what it accepts
// and how it reports a refusal is what programs in the field do.

// azureOptions lead azidentity to the sandbox: its authority, its CA, and its
// metadata service in place of 169.254.169.254, which is never dialled.
func azureOptions(t *testing.T, c *cloud) azcore.ClientOptions {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(c.CAPEM()) {
		t.Fatal("the sandbox has no CA certificate")
	}
	metadata, err := url.Parse(c.URL(sandbox.IMDS))
	if err != nil {
		t.Fatal(err)
	}
	return azcore.ClientOptions{
		Cloud:     azcloud.Configuration{ActiveDirectoryAuthorityHost: c.TLSURL(sandbox.Entra) + "/"},
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Transport: loopback{metadata: metadata, client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}},
	}
}

// loopback is a transport that leaves the machine under no circumstances.
type loopback struct {
	metadata *url.URL
	client   *http.Client
}

func (l loopback) Do(request *http.Request) (*http.Response, error) {
	switch request.URL.Hostname() {
	case "169.254.169.254":
		request = request.Clone(request.Context())
		request.URL.Host, request.Host = l.metadata.Host, ""
	case "127.0.0.1":
	default:
		return nil, &url.Error{Op: request.Method, URL: request.URL.Host, Err: http.ErrNotSupported}
	}
	return l.client.Do(request)
}

// credential is any of azidentity's.
type credential = azcore.TokenCredential

func getToken(t *testing.T, c credential, resource string) (azcore.AccessToken, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return c.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{resource + "/.default"}})
}

func wantToken(t *testing.T, c credential) {
	t.Helper()
	token, err := getToken(t, c, audience)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(token.Token, ".") != 2 {
		t.Errorf("got %q, want a JWT", token.Token)
	}
	if left := time.Until(token.ExpiresOn); left < 30*time.Minute || left > 25*time.Hour {
		t.Errorf("expires in %s, want between half an hour and a day", left)
	}
}

func wantAADSTS(t *testing.T, c credential, resource, code string) {
	t.Helper()
	token, err := getToken(t, c, resource)
	if err == nil {
		t.Fatalf("got a token until %s, want %s", token.ExpiresOn, code)
	}
	if !strings.Contains(err.Error(), code) {
		t.Errorf("got %v, want %s", err, code)
	}
}

func TestAzidentityClientSecret(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	with := func(tenant, client, secret string) credential {
		return must(t)(azidentity.NewClientSecretCredential(tenant, client, secret, &azidentity.ClientSecretCredentialOptions{
			ClientOptions: azureOptions(t, c), DisableInstanceDiscovery: true,
		}))
	}
	const nobody = "00000000-0000-4000-8000-000000000000"
	wantToken(t, with(tenantID, clientID, clientSecret))
	wantAADSTS(t, with(tenantID, clientID, "wrong"), audience, "AADSTS7000215")
	wantAADSTS(t, with(tenantID, nobody, clientSecret), audience, "AADSTS700016")
	wantAADSTS(t, with(nobody, clientID, clientSecret), audience, "AADSTS90002")
	wantAADSTS(t, with(tenantID, clientID, clientSecret), "api://"+nobody, "AADSTS500011")
}

func TestAzidentityCertificate(t *testing.T) {
	t.Parallel()
	c, stranger := newCloud(t), newKey(t)
	with := func(k key, chain bool) credential {
		return must(t)(azidentity.NewClientCertificateCredential(tenantID, clientID, []*x509.Certificate{k.cert}, crypto.PrivateKey(k.private),
			&azidentity.ClientCertificateCredentialOptions{
				ClientOptions: azureOptions(t, c), DisableInstanceDiscovery: true, SendCertificateChain: chain,
			}))
	}
	wantToken(t, with(c.key, false))
	wantToken(t, with(c.key, true))
	wantAADSTS(t, with(stranger, false), audience, "AADSTS700027")
}

func TestAzidentityAssertion(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	with := func(change func(claims map[string]any)) credential {
		return must(t)(azidentity.NewClientAssertionCredential(tenantID, clientID, func(context.Context) (string, error) {
			claims := githubClaims()
			change(claims)
			return c.Mint(claims, sandbox.Minting{})
		}, &azidentity.ClientAssertionCredentialOptions{
			ClientOptions: azureOptions(t, c), DisableInstanceDiscovery: true,
		}))
	}
	wantToken(t, with(func(map[string]any) {}))
	wantAADSTS(t, with(func(claims map[string]any) { claims["sub"] = "repo:example/other:ref:refs/heads/main" }), audience, "AADSTS700213")
	wantAADSTS(t, with(func(claims map[string]any) { claims["aud"] = "api://other" }), audience, "AADSTS700212")
}

// githubClaims are what a GitHub workflow of the trusted repository says.
func githubClaims() map[string]any {
	now := time.Now()
	return map[string]any{
		"iss": githubIssuer, "sub": githubSubject, "aud": "api://AzureADTokenExchange",
		"iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(10 * time.Minute).Unix(), "jti": "1",
	}
}

func TestAzidentityManagedIdentity(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	with := func(id azidentity.ManagedIDKind) credential {
		return must(t)(azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{
			ClientOptions: azureOptions(t, c), ID: id,
		}))
	}
	for name, id := range map[string]azidentity.ManagedIDKind{
		"system": nil, "client id": azidentity.ClientID(userID),
		"object id": azidentity.ObjectID(userObject), "resource id": azidentity.ResourceID(userResource),
	} {
		t.Run(name, func(t *testing.T) { wantToken(t, with(id)) })
	}
	wantAADSTS(t, with(azidentity.ClientID(clientID)), audience, "Identity not found")
	wantAADSTS(t, with(nil), "api://nobody", "AADSTS500011")
}

// must is for constructors that fail only when the test is wrong.
func must(t *testing.T) func(credential, error) credential {
	t.Helper()
	return func(c credential, err error) credential {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}
