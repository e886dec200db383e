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
		token, err = cache.Refresh(ctx, token, options.Claims)
	}
	if err != nil {
		return azcore.AccessToken{}, err
	}
	return azcore.AccessToken{Token: token.Value.Reveal(), ExpiresOn: token.Expiry.UTC(), RefreshOn: refreshOn(token)}, nil
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
