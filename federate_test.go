package keyless_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	keyless "github.com/keyless-id/keyless"
)

// source hands out token1, token2, … and notes what it was asked.
type source struct {
	mu     sync.Mutex
	n      int
	claims []string
	err    error
}

func (s *source) Token(ctx context.Context) (keyless.Token, error) {
	return s.Refresh(ctx, keyless.Token{}, "")
}

func (s *source) Refresh(_ context.Context, _ keyless.Token, claims string) (keyless.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return keyless.Token{}, s.err
	}
	s.n++
	if claims != "" {
		s.claims = append(s.claims, claims)
	}
	now := time.Now()
	return keyless.Token{Value: keyless.NewSecret(fmt.Sprint("token", s.n)), Obtained: now, Expiry: now.Add(time.Hour)}, nil
}

type exchangerFunc func(keyless.Token) (keyless.Credentials, error)

func (f exchangerFunc) Exchange(_ context.Context, t keyless.Token) (keyless.Credentials, error) {
	return f(t)
}

func creds(id string) keyless.Credentials {
	return keyless.Credentials{AccessKeyID: id, SecretAccessKey: keyless.NewSecret("s"), SessionToken: keyless.NewSecret("t" + id), Expiry: time.Now().Add(time.Hour)}
}

func TestExpiredTokenIsReplacedOnce(t *testing.T) {
	expired := &keyless.Error{Hop: keyless.HopExchange, Code: keyless.CodeExpiredToken}
	src := &source{}
	got, err := keyless.Federate(src, exchangerFunc(func(token keyless.Token) (keyless.Credentials, error) {
		if token.Value.Reveal() == "token1" {
			return keyless.Credentials{}, expired
		}
		return creds(token.Value.Reveal()), nil
	})).Credentials(t.Context())
	if err != nil || got.AccessKeyID != "token2" {
		t.Errorf("got %v, %v", got.AccessKeyID, err)
	}

	src = &source{}
	_, err = keyless.Federate(src, exchangerFunc(func(keyless.Token) (keyless.Credentials, error) {
		return keyless.Credentials{}, expired
	})).Credentials(t.Context())
	if !errors.Is(err, expired) || src.n != 2 {
		t.Errorf("err = %v after %d tokens, want 2", err, src.n)
	}
}

func TestOtherRefusalsAreNotTriedAgain(t *testing.T) {
	src := &source{}
	denied := &keyless.Error{Hop: keyless.HopExchange, Code: "AccessDenied"}
	_, err := keyless.Federate(src, exchangerFunc(func(keyless.Token) (keyless.Credentials, error) {
		return keyless.Credentials{}, denied
	})).Credentials(t.Context())
	if !errors.Is(err, denied) || src.n != 1 {
		t.Errorf("err = %v after %d tokens", err, src.n)
	}
}

func TestExpiredTokenOfACacheIsReplacedAtItsSource(t *testing.T) {
	src := &source{}
	cached := keyless.Cached(src)
	first, err := cached.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := keyless.Federate(cached, exchangerFunc(func(token keyless.Token) (keyless.Credentials, error) {
		if token.Value.Equal(first.Value) {
			return keyless.Credentials{}, &keyless.Error{Code: keyless.CodeExpiredToken}
		}
		return creds("new"), nil
	})).Credentials(t.Context())
	if err != nil || got.AccessKeyID != "new" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestClaimsChallengeReachesTheSource(t *testing.T) {
	src := &source{}
	cached := keyless.Cached(src)
	first, _ := cached.Token(t.Context())
	second, err := cached.Refresh(t.Context(), first, `{"access_token":{}}`)
	if err != nil || second.Value.Equal(first.Value) || len(src.claims) != 1 {
		t.Errorf("got %v, %v, claims %q", second, err, src.claims)
	}
	third, err := cached.Refresh(t.Context(), first, "x") // refused by another caller, long replaced
	if err != nil || !third.Value.Equal(second.Value) || len(src.claims) != 1 {
		t.Errorf("asked again for a token that was replaced already: %v, %v", src.claims, err)
	}
}

func TestFailedRefreshKeepsTheToken(t *testing.T) {
	src := &source{}
	cached := keyless.Cached(src)
	first, _ := cached.Token(t.Context())
	src.err = errors.New("down")
	if _, err := cached.Refresh(t.Context(), first, ""); !errors.Is(err, src.err) {
		t.Errorf("err = %v", err)
	}
	if again, err := cached.Token(t.Context()); err != nil || !again.Value.Equal(first.Value) {
		t.Errorf("the token is gone: %v", err)
	}
}

func TestCachedCredentialsHaveTwentyMinutesLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		provider := keyless.CachedCredentials(keyless.CredentialsProviderFunc(func(context.Context) (keyless.Credentials, error) {
			n++
			return creds(fmt.Sprint(n)), nil
		}))
		for range 300 {
			c, err := provider.Credentials(t.Context())
			if err != nil || time.Until(c.Expiry) < 20*time.Minute {
				t.Fatalf("%v left, %v", time.Until(c.Expiry), err)
			}
			synctest.Wait()
			time.Sleep(time.Minute)
		}
		refused, _ := provider.Credentials(t.Context())
		renewed, err := provider.Renew(t.Context(), refused)
		if err != nil || renewed.AccessKeyID == refused.AccessKeyID {
			t.Errorf("Renew: %v, %v", renewed.AccessKeyID, err)
		}
	})
}

func TestDeadOnArrivalIsAnErrorThatAsksAboutTheClock(t *testing.T) {
	old := func(context.Context) (keyless.Token, error) {
		return keyless.Token{Value: keyless.NewSecret("x"), Expiry: time.Now().Add(-time.Hour)}, nil
	}
	_, err := keyless.Cached(keyless.TokenSourceFunc(old)).Token(t.Context())
	var e *keyless.Error
	if !errors.As(err, &e) || e.Hop != keyless.HopSource || e.Hint == "" {
		t.Errorf("err = %#v", err)
	}
}

func TestCachingTwiceIsCachingOnce(t *testing.T) {
	cached := keyless.Cached(&source{})
	if keyless.Cached(cached) != cached || keyless.CachedLazily(cached) != cached {
		t.Error("a cache in front of a cache")
	}
	provider := keyless.CachedCredentialsLazily(keyless.Federate(cached, nil))
	if keyless.CachedCredentials(provider) != provider {
		t.Error("a cache in front of a cache")
	}
}

func TestCachedTokenCostsNoAllocation(t *testing.T) {
	cached := keyless.Cached(&source{})
	ctx := t.Context()
	if _, err := cached.Token(ctx); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1000, func() { _, _ = cached.Token(ctx) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
