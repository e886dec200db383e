package jwtpeek_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyless-id/keyless/internal/jwtpeek"
)

func encode(part string) string { return base64.RawURLEncoding.EncodeToString([]byte(part)) }

func token(header, claims string) string {
	return encode(header) + "." + encode(claims) + "." + encode("signature")
}

func TestClaimsOfAnEntraTokenAreRead(t *testing.T) {
	got, err := jwtpeek.Unverified(token(`{"alg":"RS256","typ":"JWT"}`, `{
		"iss":"https://sts.windows.net/t/","sub":"s","aud":"api://a","oid":"o","tid":"t","appid":"c",
		"ver":"1.0","iat":1700000000,"nbf":1700000000.5,"exp":1700003600}`))
	if err != nil {
		t.Fatal(err)
	}
	if got.Issuer != "https://sts.windows.net/t/" || got.Subject != "s" || got.ObjectID != "o" ||
		got.TenantID != "t" || got.AppID != "c" || got.Version != "1.0" || got.AuthorizedParty != "" {
		t.Errorf("got %+v", got)
	}
	if !slices.Equal(got.Audience, []string{"api://a"}) {
		t.Errorf("audience = %q", got.Audience)
	}
	if !got.Expiry.Equal(time.Unix(1700003600, 0)) || got.NotBefore.Nanosecond() != 5e8 || got.IssuedAt.Unix() != 1700000000 {
		t.Errorf("times = %v %v %v", got.IssuedAt, got.NotBefore, got.Expiry)
	}
}

func TestAudienceMayBeAnArray(t *testing.T) {
	got, err := jwtpeek.Unverified(token(`{"alg":"RS256"}`, `{"aud":["a","b"]}`))
	if err != nil || !slices.Equal(got.Audience, []string{"a", "b"}) {
		t.Errorf("got %q, %v", got.Audience, err)
	}
}

func TestClaimsOfTheWrongTypeCountAsAbsent(t *testing.T) {
	got, err := jwtpeek.Unverified(token(`{"alg":"RS256"}`, `{"aud":["a",1],"iss":7,"exp":"soon","iat":1e400,"nbf":-1}`))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Audience) != 0 || got.Issuer != "" || !got.Expiry.IsZero() || !got.IssuedAt.IsZero() || !got.NotBefore.IsZero() {
		t.Errorf("got %+v", got)
	}
}

func TestWhatIsNoJWTIsRefusedAndNotQuoted(t *testing.T) {
	for name, bad := range map[string]string{
		"empty":           "",
		"opaque":          "hunter2",
		"two parts":       encode(`{"alg":"RS256"}`) + "." + encode(`{"sub":"hunter2"}`),
		"encrypted":       "a.b.c.d.e",
		"unsigned":        encode(`{"alg":"RS256"}`) + "." + encode(`{"sub":"hunter2"}`) + ".",
		"no base64":       "hunter2!.hunter2!.x",
		"no object":       token(`{"alg":"RS256"}`, `"hunter2"`),
		"null":            token(`{"alg":"RS256"}`, `null`),
		"two values":      token(`{"alg":"RS256"}`, `{} {"sub":"hunter2"}`),
		"no algorithm":    token(`{}`, `{"sub":"hunter2"}`),
		"cut off":         token(`{"alg":"RS256"}`, `{"sub":"hunter2`),
		"longer than all": strings.Repeat("hunter2.", jwtpeek.MaxToken),
	} {
		_, err := jwtpeek.Unverified(bad)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error quotes the token: %v", name, err)
		}
	}
}

func FuzzUnverified(f *testing.F) {
	f.Add(token(`{"alg":"RS256"}`, `{"aud":["a"],"exp":1e3}`))
	f.Add("a.b.c")
	f.Add(token(`{"alg":"none"}`, `{"aud":{"a":1},"exp":1e999}`))
	f.Fuzz(func(t *testing.T, token string) {
		claims, err := jwtpeek.Unverified(token)
		if err == nil && claims.All == nil {
			t.Error("no error and no claims")
		}
		if !claims.Expiry.IsZero() {
			if _, err := claims.Expiry.UTC().MarshalText(); err != nil {
				t.Errorf("expiry %v cannot be printed: %v", claims.Expiry, err)
			}
		}
	})
}
