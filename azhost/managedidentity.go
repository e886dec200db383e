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

// DefaultEndpoint is where the instance metadata service of a virtual machine is.
const DefaultEndpoint = "http://169.254.169.254"

const (
	opManagedIdentity = "managed identity"
	imdsPath          = "metadata/identity/oauth2/token"
	imdsVersion       = "2018-02-01"

	// metadataHeader shows that no web page's script asks.
	metadataHeader = "Metadata"
)

var (
	_ keyless.TokenSource = ManagedIdentity{}
	_ keyless.Refresher   = ManagedIdentity{}
)

// ManagedIdentity is a managed identity of the virtual machine, scale set
// instance or cluster node that the program runs on ("How to use managed
// identities for Azure resources on a virtual machine to acquire an access
// token", Microsoft Learn). The zero value but for Resource is the
// system-assigned identity, or the only user-assigned one.
type ManagedIdentity struct {
	Resource string // the App ID URI that the token is for, without /.default

	// At most one of these, to choose a user-assigned identity.
	ClientID   string
	ObjectID   string
	ResourceID string

	Endpoint string       // zero: [DefaultEndpoint]; a path in it is kept
	Client   *http.Client // zero: a shared one without a proxy, for this machine and its link only
}

// Resource returns the resource for a scope: "api://x/.default" becomes "api://x".
func Resource(scope string) string { return strings.TrimSuffix(scope, "/.default") }

// Validate checks the fields.
func (m ManagedIdentity) Validate() error {
	_, err := m.address()
	return err
}

// Token asks for a token. IMDS may answer with one from its own cache.
func (m ManagedIdentity) Token(ctx context.Context) (keyless.Token, error) {
	address, err := m.address()
	if err != nil {
		return keyless.Token{}, m.endpoint().wrong(err)
	}
	return m.endpoint().get(ctx, address, metadataHeader, "true")
}

// Refresh asks again. IMDS knows neither claims challenges nor a way past its own
// cache, so the token may be the refused one.
func (m ManagedIdentity) Refresh(ctx context.Context, _ keyless.Token, _ string) (keyless.Token, error) {
	return m.Token(ctx)
}

func (m ManagedIdentity) address() (string, error) {
	if err := checkResource(m.Resource); err != nil {
		return "", err
	}
	chosen, err := selector(map[string]string{"client_id": m.ClientID, "object_id": m.ObjectID, "msi_res_id": m.ResourceID})
	if err != nil {
		return "", err
	}
	endpoint := m.Endpoint
	if endpoint == "" {
		endpoint = DefaultEndpoint
	}
	base, err := wire.Endpoint(endpoint)
	if err != nil {
		return "", fmt.Errorf("endpoint: %w", err)
	}
	address := base.JoinPath(imdsPath)
	address.RawQuery = query(imdsVersion, m.Resource, chosen)
	return address.String(), nil
}

// query is what IMDS and its likes are asked, with the selector as the host
// spells it.
func query(version, resource string, selector map[string]string) string {
	values := url.Values{"api-version": {version}, "resource": {resource}}
	for name, value := range selector {
		values.Set(name, value)
	}
	return values.Encode()
}

func (m ManagedIdentity) endpoint() endpoint {
	return endpoint{
		op: opManagedIdentity, client: orClient(m.Client, wire.Local), refuse: imdsRefusal,
		absent: "no instance metadata service answers; is this an Azure VM? On App Service, Arc, AKS or a laptop choose that source instead; in a container, allow the way to HOST",
	}
}
