package azhost

import (
	"context"
	"crypto/sha1" //nolint:gosec // Service Fabric names its certificate by it, and by nothing better
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/wire"
)

const (
	opServiceFabric      = "service fabric"
	serviceFabricVersion = "2019-07-01-preview"
)

var (
	_ keyless.TokenSource = ServiceFabric{}
	_ keyless.Refresher   = ServiceFabric{}
)

// ServiceFabric is the managed identity of a Service Fabric application ("How to
// leverage a Service Fabric application's managed identity to access Azure
// services", Microsoft Learn). Which identity is set in the application's
// manifest, and cannot be chosen here. The node's certificate is signed by
// nobody: it must have the thumbprint that the platform put into the environment.
type ServiceFabric struct {
	Resource string // the App ID URI that the token is for, without /.default

	Endpoint   string         // IDENTITY_ENDPOINT, always https
	Header     keyless.Secret // IDENTITY_HEADER
	Thumbprint string         // IDENTITY_SERVER_THUMBPRINT: SHA-1 of the node's certificate, hexadecimal
	Client     *http.Client   // zero: one without a proxy that trusts that certificate and no other
}

// Validate checks the fields.
func (f ServiceFabric) Validate() error {
	_, err := f.address()
	return err
}

// Token asks for a token.
func (f ServiceFabric) Token(ctx context.Context) (keyless.Token, error) {
	address, err := f.address()
	if err != nil {
		return keyless.Token{}, f.endpoint(nil).wrong(err)
	}
	client := f.Client
	if client == nil {
		transport := f.transport()
		defer transport.CloseIdleConnections()
		client = &http.Client{Transport: transport}
	}
	return f.endpoint(client).get(ctx, address, "Secret", f.Header.Reveal())
}

// Refresh asks again. The endpoint knows no way past its own cache, so the token
// may be the refused one.
func (f ServiceFabric) Refresh(ctx context.Context, _ keyless.Token, _ string) (keyless.Token, error) {
	return f.Token(ctx)
}

func (f ServiceFabric) address() (string, error) {
	if err := checkResource(f.Resource); err != nil {
		return "", err
	}
	if err := checkHeader("the identity header", f.Header); err != nil {
		return "", err
	}
	if _, err := f.thumbprint(); err != nil {
		return "", err
	}
	base, err := wire.NearEndpoint(f.Endpoint)
	switch {
	case err != nil:
		return "", fmt.Errorf("endpoint: %w", err)
	case base.Scheme != "https":
		return "", fmt.Errorf("endpoint %q: the scheme must be https", base.Redacted())
	}
	base.RawQuery = query(serviceFabricVersion, f.Resource, nil)
	return base.String(), nil
}

func (f ServiceFabric) thumbprint() ([]byte, error) {
	sum, err := hex.DecodeString(strings.ReplaceAll(f.Thumbprint, ":", ""))
	if err != nil || len(sum) != sha1.Size {
		return nil, fmt.Errorf("thumbprint %q: want %d hexadecimal digits", wire.Quote(f.Thumbprint), 2*sha1.Size)
	}
	return sum, nil
}

// errThumbprint is not temporary: the header must not go to a stranger.
var errThumbprint = errors.New("the certificate has another thumbprint than IDENTITY_SERVER_THUMBPRINT")

func (f ServiceFabric) transport() *http.Transport {
	transport := wire.NearTransport()
	transport.TLSClientConfig = &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // signed by nobody; VerifyConnection compares the whole certificate instead
		VerifyConnection: func(state tls.ConnectionState) error {
			want, err := f.thumbprint()
			if err != nil {
				return err
			}
			got := sha1.Sum(state.PeerCertificates[0].Raw) //nolint:gosec // see the import
			if subtle.ConstantTimeCompare(got[:], want) != 1 {
				return errThumbprint
			}
			return nil
		},
	}
	return transport
}

func (f ServiceFabric) endpoint(client *http.Client) endpoint {
	return endpoint{
		op: opServiceFabric, client: client, secrets: []string{f.Header.Reveal()}, refuse: serviceFabricRefusal,
		absent: "nobody answers where IDENTITY_ENDPOINT points; is the cluster's managed identity token service switched on?",
	}
}

// serviceFabricRefusal says what a refusal means: "Error handling" of the page
// above.
func serviceFabricRefusal(e *keyless.Error, answer *wire.Answer, secrets []string) {
	ownWords(e, answer, secrets)
	switch e.Code {
	case "SecretHeaderNotFound", "ApplicationNotFound", "ManagedIdentityNotFound":
		e.Hint = "the application has no identity under this header; does its manifest declare one, and is IDENTITY_HEADER that of the running service?"
	case "ArgumentNullOrEmpty", "InvalidApiVersion":
		e.Hint = "the cluster's token service is of another version than this program knows"
	}
}
