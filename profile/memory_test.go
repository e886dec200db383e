package profile_test

import (
	"context"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/filecache"
	"github.com/keyless-id/keyless/profile"
)

// counting hands out another token, and other credentials, each time.
type counting struct {
	asked  int
	claims string
}

func (c *counting) Token(context.Context) (keyless.Token, error) {
	c.asked++
	now := time.Now()
	return keyless.Token{Value: keyless.NewSecret("token-" + strconv.Itoa(c.asked)), Obtained: now, Expiry: now.Add(time.Hour)}, nil
}

func (c *counting) Refresh(ctx context.Context, _ keyless.Token, claims string) (keyless.Token, error) {
	c.claims = claims
	return c.Token(ctx)
}

func (c *counting) Exchange(_ context.Context, subject keyless.Token) (keyless.Credentials, error) {
	now := time.Now()
	return keyless.Credentials{AccessKeyID: "ASIA" + subject.Value.Reveal(), SecretAccessKey: keyless.NewSecret("s"), SessionToken: subject.Value, Obtained: now, Expiry: now.Add(time.Hour)}, nil
}

func remembering(t *testing.T) (profile.Memory, *profile.Built, *counting) {
	t.Helper()
	cache, err := filecache.Open([]string{filepath.Join(t.TempDir(), "cache")})
	if err != nil {
		t.Fatal(err)
	}
	far := &counting{}
	return profile.Memory{Cache: cache}, &profile.Built{Source: far, Exchanger: far, SourceKey: "token-1", CredentialsKey: "aws-1", Attempt: "1"}, far
}

// What a far side has refused must not come back out of the cache that all processes share.
func TestARefusedTokenIsNotRemembered(t *testing.T) {
	memory, built, far := remembering(t)
	first, err := keyless.Cached(memory.Source(built)).Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other := keyless.Cached(memory.Source(built)) // of another process
	if again, err := other.Token(t.Context()); err != nil || !again.Value.Equal(first.Value) || far.asked != 1 {
		t.Fatalf("%v, asked %d times", err, far.asked)
	}
	next, err := other.Refresh(t.Context(), first, "claims")
	if err != nil || next.Value.Equal(first.Value) || far.asked != 2 || far.claims != "claims" {
		t.Fatalf("%v, asked %d times with %q", err, far.asked, far.claims)
	}
	third, err := keyless.Cached(memory.Source(built)).Refresh(t.Context(), first, "")
	if err != nil || !third.Value.Equal(next.Value) || far.asked != 2 {
		t.Errorf("%v, asked %d times for what another process has", err, far.asked)
	}
}

func TestRefusedCredentialsAreNotRemembered(t *testing.T) {
	memory, built, far := remembering(t)
	provider := keyless.CachedCredentials(memory.Provider(built))
	first, err := provider.Credentials(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next, err := provider.Renew(t.Context(), first)
	if err != nil || next.AccessKeyID == first.AccessKeyID || far.asked != 2 {
		t.Fatalf("%v, asked %d times", err, far.asked)
	}
	again, err := keyless.CachedCredentials(memory.Provider(built)).Credentials(t.Context())
	if err != nil || again.AccessKeyID != next.AccessKeyID || far.asked != 2 {
		t.Errorf("%v, asked %d times", err, far.asked)
	}
}
