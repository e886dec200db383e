package interop_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	keylessid "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awssdk"
	"github.com/keyless-id/keyless/awssts"
	"github.com/keyless-id/keyless/azsdk"
	"github.com/keyless-id/keyless/entra"
	"github.com/keyless-id/keyless/sandbox"
)

// The adapters between the clients that they are for: azidentity, azcore's pipeline,
// the AWS SDK's S3 client, and a MinIO server at its other end.

// webIdentity is the exchange at the sandbox's STS, or at another one.
func webIdentity(stsURL, role string) awssts.WebIdentity {
	return awssts.WebIdentity{RoleARN: role, Region: region, Audience: audience, Endpoint: stsURL}
}

func appSecret(c *cloud, audience string) entra.ClientSecret {
	return entra.ClientSecret{
		TenantID: tenantID, ClientID: clientID, Secret: keylessid.NewSecret(clientSecret),
		Scope: entra.Scope(audience), Authority: c.URL(sandbox.Entra),
	}
}

func wantError(t *testing.T, err error, hop keylessid.Hop, code string) {
	t.Helper()
	var e *keylessid.Error
	if !errors.As(err, &e) || e.Hop != hop || e.Code != code {
		t.Errorf("got %v, want %s %s", err, hop, code)
	}
	if err != nil && strings.Contains(err.Error(), clientSecret) {
		t.Errorf("the secret is in the error: %v", err)
	}
}

func TestAzidentitysCredentialIsTradedForAWS(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	trade := func(secret, role string) (keylessid.Credentials, error) {
		credential, err := azidentity.NewClientSecretCredential(tenantID, clientID, secret, &azidentity.ClientSecretCredentialOptions{
			ClientOptions: azureOptions(t, c), DisableInstanceDiscovery: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		source := azsdk.Source{Credential: credential, Audience: audience}
		return keylessid.Federate(keylessid.Cached(source), webIdentity(c.URL(sandbox.STS), role)).Credentials(t.Context())
	}
	if got, err := trade(clientSecret, roleARN); err != nil || got.AccountID != account {
		t.Errorf("got account %q, %v", got.AccountID, err)
	}
	_, err := trade("wrong", roleARN)
	wantError(t, err, keylessid.HopSource, "AADSTS7000215")
	_, err = trade(clientSecret, closed)
	wantError(t, err, keylessid.HopExchange, "AccessDenied")
}

// challenger is an API that refuses the first token with a claims challenge, and
// remembers all that it was shown.
type challenger struct{ tokens []string }

func (c *challenger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.tokens = append(c.tokens, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	if len(c.tokens) == 1 {
		// {"access_token":{"nbf":{"essential":true,"value":"1"}}}
		w.Header().Set("WWW-Authenticate", `Bearer realm="", error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZSwidmFsdWUiOiIxIn19fQ=="`)
		w.WriteHeader(http.StatusUnauthorized)
	}
}

func TestAzcoresPipelineTakesKeylesssTokens(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	api := &challenger{}
	server := httptest.NewTLSServer(api)
	t.Cleanup(server.Close)
	get := func(credential azcore.TokenCredential, scope string) (*http.Response, error) {
		pipeline := runtime.NewPipeline("interop", "v1", runtime.PipelineOptions{
			PerRetry: []policy.Policy{runtime.NewBearerTokenPolicy(credential, []string{scope}, nil)},
		}, &policy.ClientOptions{Transport: server.Client(), Retry: policy.RetryOptions{MaxRetries: -1}})
		request, err := runtime.NewRequest(t.Context(), http.MethodGet, server.URL)
		if err != nil {
			t.Fatal(err)
		}
		return pipeline.Do(request)
	}
	credential := azsdk.NewCredential(func(wanted string) keylessid.TokenSource {
		if wanted != audience {
			return nil
		}
		return appSecret(c, wanted)
	})
	response, err := get(credential, audience+"/.default")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK || len(api.tokens) != 2 || api.tokens[0] == api.tokens[1] || strings.Count(api.tokens[1], ".") != 2 {
		t.Errorf("status %d after %d requests, want 200 with another JWT at the second", response.StatusCode, len(api.tokens))
	}
	_, err = get(credential, otherAudience+"/.default") //nolint:bodyclose // there is no answer
	wantError(t, err, keylessid.HopSource, "")
	if len(api.tokens) != 2 {
		t.Error("a request without a token was sent")
	}
}

func TestS3ClientTakesKeylesssCredentials(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	minio := startMinIO(t, c, audience)
	list := func(from aws.CredentialsProvider) error {
		client := s3.NewFromConfig(aws.Config{Region: region, Credentials: from, Retryer: func() aws.Retryer { return aws.NopRetryer{} }},
			func(o *s3.Options) { o.BaseEndpoint, o.UsePathStyle = &minio, true })
		_, err := client.ListBuckets(t.Context(), &s3.ListBucketsInput{})
		return err
	}
	provider := awssdk.NewProvider(keylessid.CachedCredentials(keylessid.Federate(appSecret(c, audience), webIdentity(minio, roleARN))))
	if err := list(provider); err != nil {
		t.Error(err)
	}
	if err := list(aws.NewCredentialsCache(provider)); err != nil {
		t.Error(err)
	}
	exchange := webIdentity(minio, roleARN)
	exchange.Audience = otherAudience
	err := list(awssdk.NewProvider(keylessid.Federate(appSecret(c, otherAudience), exchange)))
	var e *keylessid.Error
	if !errors.As(err, &e) || e.Hop != keylessid.HopExchange {
		t.Errorf("a token for another audience: %v", err)
	}
}

// The AWS SDK's credentials sign for the way back.
func TestSDKsCredentialsAskForAToken(t *testing.T) {
	t.Parallel()
	w := world(newKey(t))
	w.Accounts[0].OutboundIssuer = "https://01234567-89ab-4000-8000-000000000000.tokens.sts.global.api.aws"
	s, err := sandbox.New(w, sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	c := &cloud{Sandbox: s}
	ask := func(from aws.CredentialsProvider) (keylessid.Token, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		return awssts.GetWebIdentityToken{Credentials: awssdk.Credentials{Provider: from}, Region: region, Endpoint: c.URL(sandbox.STS)}.Token(ctx)
	}
	if token, err := ask(session(t, c)); err != nil || strings.Count(token.Value.Reveal(), ".") != 2 {
		t.Error(err)
	}
	_, err = ask(aws.AnonymousCredentials{})
	wantError(t, err, keylessid.HopSource, "")
}
