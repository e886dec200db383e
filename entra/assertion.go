package entra

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/jwtpeek"
)

var (
	_ keyless.TokenSource = Assertion{}
	_ keyless.Refresher   = Assertion{}
)

// Assertion is an application that proves itself with a token from an issuer that
// it trusts by a federated credential ("Workload identity federation",
// Microsoft Learn; RFC 7523 section 2.2). The token is for the audience
// api://AzureADTokenExchange.
type Assertion struct {
	TenantID string // the tenant's GUID or one of its domains
	ClientID string
	Scope    string // the App ID URI followed by /.default; see [Scope]

	// File holds the assertion. It is read anew for each token, because whoever
	// writes it (a kubelet, for example) keeps it fresh.
	File string
	// Source gives the assertion instead of File. It is asked for each token.
	Source keyless.TokenSource

	Authority string       // zero: [DefaultAuthority]; see [AuthorityFor]
	Client    *http.Client // zero: a shared one that honours HTTPS_PROXY and NO_PROXY
}

func (a Assertion) application() application {
	return application{op: "entra assertion", tenant: a.TenantID, client: a.ClientID, scope: a.Scope, authority: a.Authority, http: a.Client}
}

// Validate checks the fields, and reads no file.
func (a Assertion) Validate() error {
	switch {
	case a.File == "" && a.Source == nil:
		return errors.New("no assertion")
	case a.File != "" && a.Source != nil:
		return errors.New("two assertions: a file and a source")
	}
	return a.application().validate()
}

// Token asks for a token.
func (a Assertion) Token(ctx context.Context) (keyless.Token, error) {
	return a.Refresh(ctx, keyless.Token{}, "")
}

// Refresh asks for another token that meets the claims challenge, if there is one.
func (a Assertion) Refresh(ctx context.Context, _ keyless.Token, claims string) (keyless.Token, error) {
	if err := a.Validate(); err != nil {
		return keyless.Token{}, a.application().wrong(err)
	}
	return a.application().token(ctx, a.prove, claims)
}

func (a Assertion) prove(ctx context.Context, _ string) (url.Values, []string, error) {
	assertion, err := a.assertion(ctx)
	if err != nil {
		return nil, nil, err
	}
	value := assertion.Reveal()
	if _, err := jwtpeek.Unverified(value); err != nil {
		return nil, nil, fmt.Errorf("assertion: %w", err)
	}
	return url.Values{"client_assertion_type": {assertionKind}, "client_assertion": {value}}, []string{value}, nil
}

func (a Assertion) assertion(ctx context.Context) (keyless.Secret, error) {
	if a.File != "" {
		return readSecret("assertion", a.File)
	}
	token, err := a.Source.Token(ctx)
	if err != nil {
		return keyless.Secret{}, settled{err}
	}
	return token.Value, nil
}

// settled is the failure of a source that has tried again itself for as long as that
// made sense.
type settled struct{ error }

func (s settled) Unwrap() error { return s.error }
