package bench_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/aws/aws-sdk-go-v2/aws"

	keyless "github.com/keyless-id/keyless"
)

// A fresh value, asked for again and again: what every signed request pays. Each
// contestant is asked by one goroutine and by 64.

func alone(b *testing.B, ask func(context.Context) error) {
	b.Helper()
	b.ReportAllocs()
	ctx := b.Context()
	if err := ask(ctx); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := ask(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

func crowd(b *testing.B, ask func(context.Context) error) {
	b.Helper()
	b.ReportAllocs()
	ctx := b.Context()
	if err := ask(ctx); err != nil {
		b.Fatal(err)
	}
	b.SetParallelism(crowdSize())
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := ask(ctx); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func both(b *testing.B, ask func(context.Context) error) {
	b.Helper()
	b.Run("g=1", func(b *testing.B) { alone(b, ask) })
	b.Run("g=64", func(b *testing.B) { crowd(b, ask) })
}

// value has the size of a real token.
var value = strings.Repeat("x", 1800)

func BenchmarkKeylessCached(b *testing.B) {
	source := keyless.Cached(keyless.TokenSourceFunc(func(context.Context) (keyless.Token, error) {
		return keyless.Token{Value: keyless.NewSecret(value), Obtained: time.Now(), Expiry: time.Now().Add(time.Hour)}, nil
	}))
	both(b, func(ctx context.Context) error {
		_, err := source.Token(ctx)
		return err
	})
}

func BenchmarkKeylessCachedCredentials(b *testing.B) {
	provider := keyless.CachedCredentials(keyless.CredentialsProviderFunc(func(context.Context) (keyless.Credentials, error) {
		return keyless.Credentials{
			AccessKeyID: "ASIAIOSFODNN7EXAMPLE", SecretAccessKey: keyless.NewSecret("hunter2"), SessionToken: keyless.NewSecret(value),
			Obtained: time.Now(), Expiry: time.Now().Add(time.Hour),
		}, nil
	}))
	both(b, func(ctx context.Context) error {
		_, err := provider.Credentials(ctx)
		return err
	})
}

func BenchmarkAWSCredentialsCache(b *testing.B) {
	cache := aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{
			AccessKeyID: "ASIAIOSFODNN7EXAMPLE", SecretAccessKey: "hunter2", SessionToken: value,
			CanExpire: true, Expires: time.Now().Add(time.Hour),
		}, nil
	}))
	both(b, func(ctx context.Context) error {
		_, err := cache.Retrieve(ctx)
		return err
	})
}

func BenchmarkAzidentityManagedIdentity(b *testing.B) {
	credential, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{
		ClientOptions: azcore.ClientOptions{Transport: canned{}},
	})
	if err != nil {
		b.Fatal(err)
	}
	both(b, func(ctx context.Context) error { return getToken(ctx, credential) })
}

func BenchmarkAzidentityClientSecret(b *testing.B) {
	const tenant = "22222222-2222-4222-8222-222222222222"
	credential, err := azidentity.NewClientSecretCredential(tenant, tenant, "hunter2", &azidentity.ClientSecretCredentialOptions{
		ClientOptions: azcore.ClientOptions{Transport: canned{}}, DisableInstanceDiscovery: true,
	})
	if err != nil {
		b.Fatal(err)
	}
	both(b, func(ctx context.Context) error { return getToken(ctx, credential) })
}

func getToken(ctx context.Context, credential azcore.TokenCredential) error {
	_, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"api://bench/.default"}})
	return err
}

// canned answers what Entra and the metadata service would, without a network.
type canned struct{}

func (canned) Do(request *http.Request) (*http.Response, error) {
	answer := map[string]any{
		"access_token": value, "token_type": "Bearer", "expires_in": 3600, "resource": "api://bench",
	}
	if strings.HasSuffix(request.URL.Path, "/openid-configuration") {
		base := "https://" + request.URL.Host + "/tenant/"
		answer = map[string]any{
			"issuer": base, "authorization_endpoint": base + "authorize", "token_endpoint": base + "token",
		}
	}
	body, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(string(body))), Request: request,
	}, nil
}
