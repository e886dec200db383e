package entra_test

import (
	"context"
	"crypto/x509"
	"testing"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/entra"
	"github.com/keyless-id/keyless/internal/sourcetest"
)

const (
	tenantID = "22222222-2222-2222-2222-222222222222"
	clientID = "33333333-3333-3333-3333-333333333333"
	scope    = "api://11111111-1111-1111-1111-111111111111/.default"
	hunter2  = `hunter2~&"<ö>'+ /=%41\hunter3` // all that encodings change

	// {"alg":"RS256"}.{"aud":"api://AzureADTokenExchange"}
	assertion = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJhcGk6Ly9BenVyZUFEVG9rZW5FeGNoYW5nZSJ9.aHVudGVyMg"
)

func TestClientSecretKeepsTheContract(t *testing.T) {
	sourcetest.Run(t, sourcetest.Contract{
		New: func(far sourcetest.Far) keyless.TokenSource {
			return entra.ClientSecret{
				TenantID: tenantID, ClientID: clientID, Scope: scope,
				Secret: keyless.NewSecret(hunter2), Authority: far.Address, Client: far.Client,
			}
		},
		Secrets: []string{"hunter2", "hunter3"},
	})
}

func TestCertificateKeepsTheContract(t *testing.T) {
	chain := []*x509.Certificate{validCertificate(t)}
	sourcetest.Run(t, sourcetest.Contract{
		New: func(far sourcetest.Far) keyless.TokenSource {
			return entra.Certificate{
				TenantID: tenantID, ClientID: clientID, Scope: scope,
				Signer: rsaKey(), Chain: chain, SendChain: true, Authority: far.Address, Client: far.Client,
			}
		},
		Secrets: []string{"eyJ"}, // how every JWT begins
	})
}

func TestAssertionKeepsTheContract(t *testing.T) {
	given := keyless.TokenSourceFunc(func(context.Context) (keyless.Token, error) {
		return keyless.Token{Value: keyless.NewSecret(assertion)}, nil
	})
	sourcetest.Run(t, sourcetest.Contract{
		New: func(far sourcetest.Far) keyless.TokenSource {
			return entra.Assertion{TenantID: tenantID, ClientID: clientID, Scope: scope, Source: given, Authority: far.Address, Client: far.Client}
		},
		Secrets: []string{"eyJ"},
	})
}
