// Command sdk is a credential helper put together from the two vendors' SDKs:
// azidentity for the token of the managed identity, aws-sdk-go-v2 for the
// exchange. It does what a cold "keyless credential-process" does.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, audience, roleARN string) error {
	identity, err := managedIdentity()
	if err != nil {
		return err
	}
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	provider := stscreds.NewWebIdentityRoleProvider(
		sts.NewFromConfig(cfg), roleARN, tokenRetriever{identity: identity, audience: audience},
		func(o *stscreds.WebIdentityRoleOptions) { o.RoleSessionName = "bench" })
	got, err := provider.Retrieve(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"Version":         1,
		"AccessKeyId":     got.AccessKeyID,
		"SecretAccessKey": got.SecretAccessKey,
		"SessionToken":    got.SessionToken,
		"Expiration":      got.Expires.UTC().Format(time.RFC3339),
	})
}

// managedIdentity sends what azidentity would send to the metadata service of a
// machine to the emulator instead; azidentity has no setting for that.
func managedIdentity() (*azidentity.ManagedIdentityCredential, error) {
	emulator, err := url.Parse(os.Getenv("AZURE_POD_IDENTITY_AUTHORITY_HOST"))
	if err != nil {
		return nil, err
	}
	return azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{
		ClientOptions: azcore.ClientOptions{Transport: redirect{to: emulator}},
	})
}

type redirect struct{ to *url.URL }

// Do sends the request to another host.
func (r redirect) Do(request *http.Request) (*http.Response, error) {
	moved := request.Clone(request.Context())
	moved.URL.Scheme, moved.URL.Host, moved.Host = r.to.Scheme, r.to.Host, ""
	return http.DefaultClient.Do(moved)
}

type tokenRetriever struct {
	identity *azidentity.ManagedIdentityCredential
	audience string
}

// GetIdentityToken is what stscreds asks for.
func (r tokenRetriever) GetIdentityToken() ([]byte, error) {
	token, err := r.identity.GetToken(context.Background(), policy.TokenRequestOptions{Scopes: []string{r.audience + "/.default"}})
	return []byte(token.Token), err
}
