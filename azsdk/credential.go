package azsdk

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	keyless "github.com/keyless-id/keyless"
)

const (
	opSDK  = "azure sdk"
	suffix = "/.default"
)

var _ azcore.TokenCredential = (*Credential)(nil)

// Credential is keyless's tokens as an azcore.TokenCredential, with one cache for each
// audience: one request for a token, however many callers and clients there are, and
// the next one ahead of time.
type Credential struct {
	// TenantID refuses requests for another tenant; zero: the sources decide.
	TenantID string

	source func(audience string) keyless.TokenSource
	mu     sync.Mutex
	caches map[string]*keyless.CachedSource
}

// NewCredential returns a credential over the sources that source makes, one for each
// audience that a client asks for; nil refuses the audience.
func NewCredential(source func(audience string) keyless.TokenSource) *Credential {
	return &Credential{source: source, caches: map[string]*keyless.CachedSource{}}
}

// GetToken returns a token for the one scope, which ends in /.default. A claims challenge
// is answered with a token other than the one that was refused.
func (c *Credential) GetToken(ctx context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	cache, err := c.cache(options)
	if err != nil {
		return azcore.AccessToken{}, &keyless.Error{Hop: keyless.HopSource, Op: opSDK, Err: err}
	}
	token, err := cache.Token(ctx)
	if err == nil && options.Claims != "" {
		token, err = another(ctx, cache, token, options.Claims)
	}
	if err != nil {
		return azcore.AccessToken{}, err
	}
	return azcore.AccessToken{Token: token.Value.Reveal(), ExpiresOn: token.Expiry.UTC(), RefreshOn: refreshOn(token)}, nil
}

// young is how old a token may be to count as the answer to a challenge: the cache asks
// for another one no sooner.
const young = 10 * time.Second

// another returns a token that meets the challenge, in the place of the refused one.
func another(ctx context.Context, cache *keyless.CachedSource, refused keyless.Token, claims string) (keyless.Token, error) {
	token, err := cache.Refresh(ctx, refused, claims)
	if err != nil || !token.Value.Equal(refused.Value) || time.Since(refused.Obtained) < young {
		return token, err
	}
	return keyless.Token{}, &keyless.Error{
		Hop: keyless.HopSource, Op: opSDK, Temporary: true, Message: "the service refused the token with a claims challenge, and the source has no other",
		Hint: "a metadata service hands out the token that it has until that runs out; an application (package entra) gets a new one at once",
	}
}

// refreshOn is when the SDK should ask again: in the middle, unless the issuer has a
// wish, for by then the cache has the next token.
func refreshOn(t keyless.Token) time.Time {
	if !t.RefreshAt.IsZero() {
		return t.RefreshAt.UTC()
	}
	return t.Obtained.Add(t.Expiry.Sub(t.Obtained) / 2).UTC()
}

// cache returns the one for the audience, and makes it if there is none.
func (c *Credential) cache(options policy.TokenRequestOptions) (*keyless.CachedSource, error) {
	audience, err := c.audience(options)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if cache, ok := c.caches[audience]; ok {
		return cache, nil
	}
	source := c.source(audience)
	if source == nil {
		return nil, fmt.Errorf("no source for the audience %q", audience)
	}
	cache := keyless.Cached(source)
	c.caches[audience] = cache
	return cache, nil
}

func (c *Credential) audience(options policy.TokenRequestOptions) (string, error) {
	if options.TenantID != "" && c.TenantID != "" && !strings.EqualFold(options.TenantID, c.TenantID) {
		return "", fmt.Errorf("a token of the tenant %q is wanted, and this identity is of %q", options.TenantID, c.TenantID)
	}
	if len(options.Scopes) != 1 {
		return "", fmt.Errorf("%d scopes; want one, which ends in %s", len(options.Scopes), suffix)
	}
	audience, ok := strings.CutSuffix(options.Scopes[0], suffix)
	if !ok || audience == "" {
		return "", fmt.Errorf("scope %q: want the App ID URI followed by %s", options.Scopes[0], suffix)
	}
	return audience, nil
}
