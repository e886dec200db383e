package keyless

import (
	"context"
	"errors"
	"time"

	"github.com/keyless-id/keyless/internal/refresh"
)

// CachedSource is a [TokenSource] that remembers; [Cached] makes one. Use it from
// as many goroutines as you like.
type CachedSource struct {
	cache refresh.Cache[Token]
	src   TokenSource
}

// Cached keeps the latest token of src. A fresh token costs no lock and no
// allocation. At 40 to 45 % of its lifetime, or at the issuer's hint, one request in
// the background gets the next, while callers go on with the old one; failures are
// tried again after 1 s to 1 min, or when the far side asked for it, and cost nobody
// a token that is still valid. Only callers without a valid token wait, each no
// longer than its own context.
func Cached(src TokenSource) *CachedSource { return cached(src, false) }

// CachedLazily is [Cached] without goroutines, for programs that are frozen or end
// between calls: the first caller that finds the token due asks for the next itself
// and waits at most 5 s for it.
func CachedLazily(src TokenSource) *CachedSource { return cached(src, true) }

func cached(src TokenSource, lazy bool) *CachedSource {
	if already, ok := src.(*CachedSource); ok {
		return already
	}
	c := &CachedSource{src: src}
	c.cache.Fetch = src.Token
	c.cache.Times = func(t Token) refresh.Times {
		return refresh.Times{Obtained: t.Obtained, RefreshAt: t.RefreshAt, Expiry: t.Expiry}
	}
	c.cache.Lazy = lazy
	return c
}

// Token returns a token that has not expired.
func (c *CachedSource) Token(ctx context.Context) (Token, error) {
	token, err := c.cache.Get(ctx)
	if err != nil {
		return Token{}, explain(HopSource, err)
	}
	return token, nil
}

// Refresh returns a token other than refused. If another caller has got one already
// it returns that; at most every 10 s it asks the source, with claims if the source
// is a [Refresher]. A failure leaves the old token in place.
func (c *CachedSource) Refresh(ctx context.Context, refused Token, claims string) (Token, error) {
	same := func(t Token) bool { return t.Value.Equal(refused.Value) }
	token, err := c.cache.Renew(ctx, same, func(ctx context.Context) (Token, error) {
		return renew(ctx, c.src, refused, claims)
	})
	if err != nil {
		return Token{}, explain(HopSource, err)
	}
	return token, nil
}

// Keep asks ahead of time until ctx ends, in the way of [CachedProvider.Keep].
func (c *CachedSource) Keep(ctx context.Context, seen func(Token)) { c.cache.Keep(ctx, seen) }

// Latest returns the token that there is, and asks nobody: the latest failure if there is
// none that is still good.
func (c *CachedSource) Latest() (Token, error) {
	token, found, err := c.cache.Latest()
	if !found {
		return Token{}, nothingYet(HopSource, err)
	}
	return token, nil
}

// renew asks src for another token than refused, as well as it can.
func renew(ctx context.Context, src TokenSource, refused Token, claims string) (Token, error) {
	if r, ok := src.(Refresher); ok {
		return r.Refresh(ctx, refused, claims)
	}
	return src.Token(ctx)
}

// CachedProvider is a [CredentialsProvider] that remembers; [CachedCredentials]
// makes one.
type CachedProvider struct {
	cache refresh.Cache[Credentials]
	src   CredentialsProvider
}

// AWS SDKs ask again when less than 15 minutes are left, some of them at every call.
const (
	minCredentialsLeft = 20 * time.Minute
	credentialsMargin  = time.Minute
)

// CachedCredentials keeps the latest credentials of p in the way of [Cached]. What
// it hands out has at least 20 minutes left if the session is 40 minutes or longer;
// while refreshing fails it hands out the old ones until a minute before they expire.
func CachedCredentials(p CredentialsProvider) *CachedProvider { return cachedCredentials(p, false) }

// CachedCredentialsLazily is [CachedCredentials] without goroutines, as
// [CachedLazily] is [Cached].
func CachedCredentialsLazily(p CredentialsProvider) *CachedProvider {
	return cachedCredentials(p, true)
}

func cachedCredentials(p CredentialsProvider, lazy bool) *CachedProvider {
	if already, ok := p.(*CachedProvider); ok {
		return already
	}
	c := &CachedProvider{src: p}
	c.cache.Fetch = p.Credentials
	c.cache.Times = func(v Credentials) refresh.Times {
		return refresh.Times{Obtained: v.Obtained, RefreshAt: v.RefreshAt, Expiry: v.Expiry}
	}
	c.cache.Policy = refresh.Policy{MinLeft: minCredentialsLeft, Margin: credentialsMargin}
	c.cache.Lazy = lazy
	return c
}

// Credentials returns credentials that have not expired.
func (c *CachedProvider) Credentials(ctx context.Context) (Credentials, error) {
	credentials, err := c.cache.Get(ctx)
	if err != nil {
		return Credentials{}, explain(HopExchange, err)
	}
	return credentials, nil
}

// Keep asks ahead of time until ctx ends, so that [CachedProvider.Latest] has an answer
// at any moment. It is for servers, and not for the lazy kind. It tells seen, unless that
// is nil, of the credentials that there are: when they are new, and every half a minute.
func (c *CachedProvider) Keep(ctx context.Context, seen func(Credentials)) { c.cache.Keep(ctx, seen) }

// Latest returns the credentials that there are, and asks nobody: the latest failure
// if there are none that are still good.
func (c *CachedProvider) Latest() (Credentials, error) {
	credentials, found, err := c.cache.Latest()
	if !found {
		return Credentials{}, nothingYet(HopExchange, err)
	}
	return credentials, nil
}

// Renew returns credentials other than refused, which AWS said are expired or
// invalid. It asks for new ones at most every 10 s, and tells the provider which ones were
// refused if that has the method Renew.
func (c *CachedProvider) Renew(ctx context.Context, refused Credentials) (Credentials, error) {
	same := func(v Credentials) bool { return v.SessionToken.Equal(refused.SessionToken) }
	credentials, err := c.cache.Renew(ctx, same, func(ctx context.Context) (Credentials, error) {
		if r, ok := c.src.(renewer); ok {
			return r.Renew(ctx, refused)
		}
		return c.src.Credentials(ctx)
	})
	if err != nil {
		return Credentials{}, explain(HopExchange, err)
	}
	return credentials, nil
}

// renewer is a [CredentialsProvider] that remembers and can be told what is of no use.
type renewer interface {
	Renew(ctx context.Context, refused Credentials) (Credentials, error)
}

// nothingYet is why there is no value, as far as that is known.
func nothingYet(hop Hop, err error) error {
	if err == nil {
		return &Error{Hop: HopDelivery, Op: "cache", Message: "nothing has come yet", Temporary: true}
	}
	return explain(hop, err)
}

// explain makes what the cache itself found wrong an [*Error] too.
func explain(hop Hop, err error) error {
	var dead *refresh.DeadOnArrivalError
	if !errors.As(err, &dead) {
		return err
	}
	return &Error{Hop: hop, Op: "cache", Message: "dead on arrival", Hint: "set the clock (timedatectl, chronyc makestep)", Err: dead}
}
