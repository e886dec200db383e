package azhost

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/wire"
)

const opCloudShell = "cloud shell"

var (
	_ keyless.TokenSource = CloudShell{}
	_ keyless.Refresher   = CloudShell{}
)

// CloudShell is the person who is signed in to an Azure Cloud Shell. There is no
// identity to choose; the form is that of Microsoft's own libraries.
type CloudShell struct {
	Resource string // the App ID URI that the token is for, without /.default

	Endpoint string       // MSI_ENDPOINT
	Client   *http.Client // zero: a shared one without a proxy, for this machine and its networks only
}

// Validate checks the fields.
func (c CloudShell) Validate() error {
	if err := checkResource(c.Resource); err != nil {
		return err
	}
	if _, err := wire.NearEndpoint(c.Endpoint); err != nil {
		return fmt.Errorf("endpoint: %w", err)
	}
	return nil
}

// Token asks for a token.
func (c CloudShell) Token(ctx context.Context) (keyless.Token, error) {
	if err := c.Validate(); err != nil {
		return keyless.Token{}, c.endpoint().wrong(err)
	}
	return c.endpoint().simple(ctx, func(ctx context.Context) (*http.Request, error) {
		form := url.Values{"resource": {c.Resource}}.Encode()
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Endpoint, strings.NewReader(form))
		if err == nil {
			request.Header.Set(metadataHeader, "true")
			request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		return request, err
	})
}

// Refresh asks again. The endpoint knows no way past its own cache, so the token
// may be the refused one.
func (c CloudShell) Refresh(ctx context.Context, _ keyless.Token, _ string) (keyless.Token, error) {
	return c.Token(ctx)
}

func (c CloudShell) endpoint() endpoint {
	return endpoint{
		op: opCloudShell, client: orClient(c.Client, wire.Near), refuse: ownWords,
		absent: "nobody answers where MSI_ENDPOINT points; is this still the shell that it was set for?",
	}
}
