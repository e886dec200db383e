package entra

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"

	keyless "github.com/keyless-id/keyless"
)

var (
	_ keyless.TokenSource = Certificate{}
	_ keyless.Refresher   = Certificate{}
)

// assertionKind is the kind of all assertions (RFC 7523 section 2.2).
const assertionKind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// Certificate is an application that proves itself with the private key of a
// certificate ("Microsoft identity platform application authentication
// certificate credentials"). The key is RSA: Entra takes no other.
//
// Either File holds certificate and key, or the caller gives a Signer, which may
// be a TPM's, a PKCS#11 token's or a key service's, and its Chain.
type Certificate struct {
	TenantID string // the tenant's GUID or one of its domains
	ClientID string
	Scope    string // the App ID URI followed by /.default; see [Scope]

	// File is PEM, or PKCS#12 (.pfx). It is read anew for each token, so that a
	// rotated certificate counts at once.
	File         string
	KeyFile      string         // the key, PEM, if it is not in File
	Password     keyless.Secret // of a PKCS#12 file
	PasswordFile string         // holds the password instead; a newline at its end is dropped

	Signer crypto.Signer       // instead of File
	Chain  []*x509.Certificate // of Signer: its certificate, then what signed it

	// SendChain sends the certificates along, for applications that trust a subject
	// name and issuer instead of one certificate.
	SendChain bool
	// RS256 signs with PKCS #1 v1.5 padding, for signers that cannot do PSS.
	RS256 bool

	Authority string       // zero: [DefaultAuthority]; see [AuthorityFor]
	Client    *http.Client // zero: a shared one that honours HTTPS_PROXY and NO_PROXY
}

func (c Certificate) application() application {
	return application{op: "entra certificate", tenant: c.TenantID, client: c.ClientID, scope: c.Scope, authority: c.Authority, http: c.Client}
}

// Validate checks the fields, and reads no file.
func (c Certificate) Validate() error {
	switch {
	case c.File == "" && c.Signer == nil:
		return errors.New("no certificate")
	case c.File != "" && c.Signer != nil:
		return errors.New("two certificates: a file and a signer")
	case c.Signer != nil && len(c.Chain) == 0:
		return errors.New("a signer without its certificate")
	case c.Signer != nil && c.KeyFile != "":
		return errors.New("two keys: a file and a signer")
	case !c.Password.IsZero() && c.PasswordFile != "":
		return errors.New("two passwords: a value and a file")
	}
	return c.application().validate()
}

// Token asks for a token.
func (c Certificate) Token(ctx context.Context) (keyless.Token, error) {
	return c.Refresh(ctx, keyless.Token{}, "")
}

// Refresh asks for another token that meets the claims challenge, if there is one.
func (c Certificate) Refresh(ctx context.Context, _ keyless.Token, claims string) (keyless.Token, error) {
	if err := c.Validate(); err != nil {
		return keyless.Token{}, c.application().wrong(err)
	}
	return c.application().token(ctx, c.prove, claims)
}

func (c Certificate) prove(_ context.Context, endpoint string) (url.Values, []string, error) {
	identity, err := c.identity()
	if err != nil {
		return nil, nil, err
	}
	assertion, err := c.assertion(identity, endpoint)
	if err != nil {
		return nil, nil, err
	}
	return url.Values{"client_assertion_type": {assertionKind}, "client_assertion": {assertion}}, []string{assertion}, nil
}

// identity returns the pair to sign with, checked.
func (c Certificate) identity() (keyPair, error) {
	pair := keyPair{signer: c.Signer, chain: c.Chain}
	if c.Signer == nil {
		var err error
		if pair, err = c.load(); err != nil {
			return keyPair{}, err
		}
	}
	return pair.checked()
}
