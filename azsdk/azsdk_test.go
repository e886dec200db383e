package azsdk_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/azsdk"
)

// issuer is a source that counts, and notes the claims it was asked to meet.
type issuer struct {
	audience string
	mu       sync.Mutex
	asked    int
	claims   []string
	hint     time.Duration
	err      error
}

func (i *issuer) Token(ctx context.Context) (keyless.Token, error) {
	return i.Refresh(ctx, keyless.Token{}, "")
}

func (i *issuer) Refresh(_ context.Context, _ keyless.Token, claims string) (keyless.Token, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked++
	i.claims = append(i.claims, claims)
	now := time.Now()
	token := keyless.Token{Value: keyless.NewSecret(fmt.Sprintf("%s#%d", i.audience, i.asked)), Obtained: now, Expiry: now.Add(time.Hour)}
	if i.hint != 0 {
		token.RefreshAt = now.Add(i.hint)
	}
	return token, i.err
}

func scope(s string) policy.TokenRequestOptions {
	return policy.TokenRequestOptions{Scopes: []string{s}}
}

func TestEachAudienceHasItsCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuers := map[string]*issuer{}
		credential := azsdk.NewCredential(func(audience string) keyless.TokenSource {
			issuers[audience] = &issuer{audience: audience}
			return issuers[audience]
		})
		var all sync.WaitGroup
		for range 100 {
			for _, s := range []string{"https://monitor.azure.com//.default", "api://x/.default"} {
				all.Go(func() {
					token, err := credential.GetToken(t.Context(), scope(s))
					want := strings.TrimSuffix(s, "/.default") + "#1"
					if err != nil || token.Token != want || time.Until(token.ExpiresOn) != time.Hour || time.Until(token.RefreshOn) != 30*time.Minute {
						t.Errorf("%+v, %v, want %s", token, err, want)
					}
				})
			}
		}
		all.Wait()
		if len(issuers) != 2 || issuers["https://monitor.azure.com/"].asked != 1 || issuers["api://x"].asked != 1 {
			t.Errorf("%v", issuers)
		}
	})
}

func TestTheIssuersWishIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		credential := azsdk.NewCredential(func(string) keyless.TokenSource { return &issuer{hint: 10 * time.Minute} })
		if token, err := credential.GetToken(t.Context(), scope("api://x/.default")); err != nil || time.Until(token.RefreshOn) != 10*time.Minute {
			t.Errorf("%+v, %v", token, err)
		}
	})
}

func TestAClaimsChallengeIsNotAnsweredFromTheCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{audience: "a"}
		credential := azsdk.NewCredential(func(string) keyless.TokenSource { return i })
		first, err := credential.GetToken(t.Context(), scope("api://x/.default"))
		if err != nil {
			t.Fatal(err)
		}
		challenge := scope("api://x/.default")
		challenge.Claims = `{"access_token":{}}`
		second, err := credential.GetToken(t.Context(), challenge)
		if err != nil || second.Token == first.Token || i.claims[len(i.claims)-1] != challenge.Claims {
			t.Errorf("%q after %q, claims %q (%v)", second.Token, first.Token, i.claims, err)
		}
		if third, err := credential.GetToken(t.Context(), scope("api://x/.default")); err != nil || third.Token != second.Token {
			t.Errorf("%q after %q (%v)", third.Token, second.Token, err)
		}
	})
}

// A metadata service has one token for hours, and no way round it.
func TestAChallengeThatCannotBeMetIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		only := keyless.Token{Value: keyless.NewSecret("only"), Obtained: time.Now(), Expiry: time.Now().Add(24 * time.Hour)}
		credential := azsdk.NewCredential(func(string) keyless.TokenSource {
			return keyless.TokenSourceFunc(func(context.Context) (keyless.Token, error) { return only, nil })
		})
		challenge := scope("api://x/.default")
		challenge.Claims = `{"access_token":{}}`
		if _, err := credential.GetToken(t.Context(), challenge); err != nil {
			t.Errorf("a new token is the answer to a challenge: %v", err)
		}
		time.Sleep(time.Minute)
		if token, err := credential.GetToken(t.Context(), challenge); !keyless.IsTemporary(err) || token.Token != "" {
			t.Errorf("%+v, %v", token, err)
		}
	})
}

func TestWhatCannotBeMeantIsRefused(t *testing.T) {
	i := &issuer{}
	credential := azsdk.NewCredential(func(audience string) keyless.TokenSource {
		if audience == "api://other" {
			return nil
		}
		return i
	})
	credential.TenantID = "11111111-1111-1111-1111-111111111111"
	for name, options := range map[string]policy.TokenRequestOptions{
		"no scope":         {},
		"two scopes":       {Scopes: []string{"api://x/.default", "api://y/.default"}},
		"no default":       scope("api://x/read"),
		"nothing":          scope("/.default"),
		"unknown audience": scope("api://other/.default"),
		"another tenant":   {Scopes: []string{"api://x/.default"}, TenantID: "22222222-2222-2222-2222-222222222222"},
	} {
		var e *keyless.Error
		if _, err := credential.GetToken(t.Context(), options); !errors.As(err, &e) || e.Hop != keyless.HopSource {
			t.Errorf("%s: %v", name, err)
		}
	}
	if i.asked != 0 {
		t.Errorf("the source was asked %d times", i.asked)
	}
	mine := scope("api://x/.default")
	mine.TenantID = credential.TenantID
	if _, err := credential.GetToken(t.Context(), mine); err != nil {
		t.Error(err)
	}
}

// credential is somebody else's.
type credential func(policy.TokenRequestOptions) (azcore.AccessToken, error)

func (c credential) GetToken(_ context.Context, options policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return c(options)
}

func TestAnyCredentialIsASource(t *testing.T) {
	end := time.Now().Add(time.Hour)
	var seen policy.TokenRequestOptions
	source := azsdk.Source{Audience: "api://x", TenantID: "t", EnableCAE: true, Credential: credential(func(o policy.TokenRequestOptions) (azcore.AccessToken, error) {
		seen = o
		return azcore.AccessToken{Token: "a.b.c", ExpiresOn: end, RefreshOn: end.Add(-time.Minute)}, nil
	})}
	token, err := source.Refresh(t.Context(), keyless.Token{}, "claims")
	if err != nil || token.Value.Reveal() != "a.b.c" || !token.Expiry.Equal(end) || !token.RefreshAt.Equal(end.Add(-time.Minute)) || token.Obtained.IsZero() {
		t.Errorf("%+v, %v", token, err)
	}
	if len(seen.Scopes) != 1 || seen.Scopes[0] != "api://x/.default" || seen.TenantID != "t" || !seen.EnableCAE || seen.Claims != "claims" {
		t.Errorf("%+v", seen)
	}
}

func TestACredentialThatFails(t *testing.T) {
	const page = "ClientSecretCredential authentication failed.\nPOST https://login/\n---\n{\"error_description\":\"AADSTS7000215: Invalid client secret eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.hunter2\"}"
	for name, c := range map[string]struct {
		token azcore.AccessToken
		err   error
		want  keyless.Error
	}{
		"refused":     {err: errors.New(page), want: keyless.Error{Code: "AADSTS7000215"}},
		"busy":        {err: fmt.Errorf("asked: %w", &azcore.ResponseError{StatusCode: http.StatusServiceUnavailable, RawResponse: &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"7"}}, Body: http.NoBody, Request: &http.Request{}}}), want: keyless.Error{Temporary: true, RetryAfter: 7 * time.Second}},
		"out of time": {err: context.DeadlineExceeded, want: keyless.Error{Temporary: true}},
		"of keyless":  {err: &keyless.Error{Hop: keyless.HopSource, Code: "AADSTS700016", Hint: "h"}, want: keyless.Error{Code: "AADSTS700016"}},
		"empty":       {token: azcore.AccessToken{ExpiresOn: time.Now()}},
		"endless":     {token: azcore.AccessToken{Token: "hunter2"}},
	} {
		source := azsdk.Source{Audience: "api://x", Credential: credential(func(policy.TokenRequestOptions) (azcore.AccessToken, error) { return c.token, c.err })}
		_, err := source.Token(t.Context())
		var e *keyless.Error
		if !errors.As(err, &e) || e.Code != c.want.Code || e.Temporary != c.want.Temporary || e.RetryAfter != c.want.RetryAfter || c.err != nil && (e.Hint == "" || !errors.Is(err, c.err)) {
			t.Errorf("%s: %#v", name, err)
		}
		if text := err.Error(); strings.Contains(text, "hunter2") || strings.Contains(text, "\n") {
			t.Errorf("%s: %q", name, text)
		}
	}
	if _, err := (azsdk.Source{}).Token(t.Context()); err == nil {
		t.Error("a token of nobody")
	}
}
