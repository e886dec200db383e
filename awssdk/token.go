package awssdk

import (
	"context"
	"time"

	keyless "github.com/keyless-id/keyless"
)

// tokenTimeout bounds a request that the SDK gives no context.
const tokenTimeout = 30 * time.Second

// IdentityToken is a source's token for the SDK's own web-identity provider: it is a
// stscreds.IdentityTokenRetriever. Prefer awssts.WebIdentity with a [Provider] where you
// can: it knows the caller's context, guards the audience and refreshes ahead.
type IdentityToken struct {
	Source  keyless.TokenSource
	Timeout time.Duration // of one call; zero: 30 s
}

// GetIdentityToken returns the token. The SDK passes no context, so the call ends with
// the timeout only.
func (t IdentityToken) GetIdentityToken() ([]byte, error) {
	timeout := t.Timeout
	if timeout == 0 {
		timeout = tokenTimeout
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	token, err := t.Source.Token(ctx)
	if err != nil {
		return nil, err
	}
	return []byte(token.Value.Reveal()), nil
}
