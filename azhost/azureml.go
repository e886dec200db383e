package azhost

import (
	"context"
	"fmt"
	"net/http"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/wire"
)

const opAzureML = "azure ml"

var (
	_ keyless.TokenSource = AzureML{}
	_ keyless.Refresher   = AzureML{}
)

// AzureML is the managed identity of an Azure Machine Learning compute. It speaks
// like the App Service of 2017; the form is that of Microsoft's own libraries.
type AzureML struct {
	Resource string // the App ID URI that the token is for, without /.default
	ClientID string // DEFAULT_IDENTITY_CLIENT_ID, or another identity of the compute

	Endpoint string         // MSI_ENDPOINT
	Secret   keyless.Secret // MSI_SECRET
	Client   *http.Client   // zero: a shared one without a proxy, for this machine and its networks only
}

// Validate checks the fields.
func (a AzureML) Validate() error {
	_, err := a.address()
	return err
}

// Token asks for a token.
func (a AzureML) Token(ctx context.Context) (keyless.Token, error) {
	address, err := a.address()
	if err != nil {
		return keyless.Token{}, a.endpoint().wrong(err)
	}
	return a.endpoint().get(ctx, address, "Secret", a.Secret.Reveal())
}

// Refresh asks again. The endpoint knows no way past its own cache, so the token
// may be the refused one.
func (a AzureML) Refresh(ctx context.Context, _ keyless.Token, _ string) (keyless.Token, error) {
	return a.Token(ctx)
}

func (a AzureML) address() (string, error) {
	if err := checkResource(a.Resource); err != nil {
		return "", err
	}
	if err := checkHeader("the secret", a.Secret); err != nil {
		return "", err
	}
	base, err := wire.NearEndpoint(a.Endpoint)
	if err != nil {
		return "", fmt.Errorf("endpoint: %w", err)
	}
	chosen, err := selector(map[string]string{"clientid": a.ClientID})
	if err != nil {
		return "", err
	}
	base.RawQuery = query(appServiceVersionLegacy, a.Resource, chosen)
	return base.String(), nil
}

func (a AzureML) endpoint() endpoint {
	return endpoint{
		op: opAzureML, client: orClient(a.Client, wire.Near), secrets: []string{a.Secret.Reveal()}, refuse: appServiceRefusal,
		absent: "nobody answers where MSI_ENDPOINT points; does this compute have a managed identity?",
	}
}
