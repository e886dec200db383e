package entra

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	keyless "github.com/keyless-id/keyless"
)

var (
	_ keyless.TokenSource = ClientSecret{}
	_ keyless.Refresher   = ClientSecret{}
)

// ClientSecret is an application that proves itself with a secret.
type ClientSecret struct {
	TenantID string // the tenant's GUID or one of its domains
	ClientID string
	Secret   keyless.Secret
	// SecretFile holds the secret instead. It is read anew for each token, so that
	// a rotated secret counts at once; a newline at its end is dropped.
	SecretFile string
	Scope      string // the App ID URI followed by /.default; see [Scope]

	Authority string       // zero: [DefaultAuthority]; see [AuthorityFor]
	Client    *http.Client // zero: a shared one that honours HTTPS_PROXY and NO_PROXY
}

func (c ClientSecret) application() application {
	return application{op: "entra client secret", tenant: c.TenantID, client: c.ClientID, scope: c.Scope, authority: c.Authority, http: c.Client}
}

// Validate checks the fields, and reads no file.
func (c ClientSecret) Validate() error {
	switch {
	case c.Secret.IsZero() && c.SecretFile == "":
		return errors.New("no client secret")
	case !c.Secret.IsZero() && c.SecretFile != "":
		return errors.New("two client secrets: a value and a file")
	}
	return c.application().validate()
}

// Token asks for a token.
func (c ClientSecret) Token(ctx context.Context) (keyless.Token, error) {
	return c.Refresh(ctx, keyless.Token{}, "")
}

// Refresh asks for another token that meets the claims challenge, if there is one.
func (c ClientSecret) Refresh(ctx context.Context, _ keyless.Token, claims string) (keyless.Token, error) {
	if err := c.Validate(); err != nil {
		return keyless.Token{}, c.application().wrong(err)
	}
	return c.application().token(ctx, c.prove, claims)
}

func (c ClientSecret) prove(context.Context, string) (url.Values, []string, error) {
	secret := c.Secret
	if c.SecretFile != "" {
		var err error
		if secret, err = readSecret("client secret", c.SecretFile); err != nil {
			return nil, nil, err
		}
	}
	return url.Values{"client_secret": {secret.Reveal()}}, []string{secret.Reveal()}, nil
}

// maxSecretFile is far above any secret or assertion: a larger file is a mistake.
const maxSecretFile = 64 << 10

// readSecret reads a secret from a file, without the newline that editors and
// echo put at its end.
func readSecret(what, file string) (keyless.Secret, error) {
	content, err := readFile(what, file, maxSecretFile)
	if err != nil {
		return keyless.Secret{}, err
	}
	text := strings.TrimRight(string(content), "\r\n")
	if strings.TrimSpace(text) == "" {
		return keyless.Secret{}, fmt.Errorf("%s file %q is empty", what, file)
	}
	return keyless.NewSecret(text), nil
}

func readFile(what, name string, most int64) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%s file: %w", what, err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, most+1))
	if err != nil {
		return nil, fmt.Errorf("%s file: %w", what, err)
	}
	if int64(len(content)) > most {
		return nil, fmt.Errorf("%s file %q is larger than %d bytes", what, name, most)
	}
	return content, nil
}
