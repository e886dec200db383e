package main

import (
	"strings"
	"testing"
	"time"

	"github.com/keyless-id/keyless/internal/jwtpeek"
)

func TestWhatAWSMakesOfAClaim(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	all := func(pairs ...any) map[string]any {
		claims := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			claims[pairs[i].(string)] = pairs[i+1]
		}
		return claims
	}
	for _, c := range []struct {
		name   string
		claims jwtpeek.Claims
		want   string
	}{
		{"iss", jwtpeek.Claims{Issuer: "https://vstoken.dev.azure.com/4"}, "retires this issuer on 2027-07-01"},
		{"iss", jwtpeek.Claims{Issuer: "https://sts.windows.net/t/"}, "sts.windows.net/t/, slash included"},
		{"iss", jwtpeek.Claims{Issuer: "https://a.b", Version: "2.0"}, "a.b (a version 2.0 token)"},
		{"aud", jwtpeek.Claims{Issuer: "https://a.b", Audience: []string{"x"}}, "key a.b:aud"},
		{"aud", jwtpeek.Claims{Issuer: "https://a.b", Audience: []string{"x"}, AuthorizedParty: "y"}, "key a.b:oaud"},
		{"aud", jwtpeek.Claims{Issuer: "https://a.b", Audience: []string{"https://management.azure.com/"}}, "as good as a key"},
		{"azp", jwtpeek.Claims{Issuer: "https://a.b"}, "for the audience: condition key a.b:aud"},
		{"sub", jwtpeek.Claims{Issuer: "https://a.b", Subject: "s"}, "pin it"},
		{"sub", jwtpeek.Claims{Issuer: "https://a.b", Subject: "s", ObjectID: "s"}, "object id"},
		{"amr", jwtpeek.Claims{Issuer: "https://a.b"}, "condition key a.b:amr"},
		{"exp", jwtpeek.Claims{Expiry: now.Add(time.Hour)}, "in 1h0m0s"},
		{"exp", jwtpeek.Claims{Expiry: now.Add(-time.Hour)}, "1h0m0s ago: STS answers ExpiredTokenException"},
		{"exp", jwtpeek.Claims{}, "not a time"},
		{"nbf", jwtpeek.Claims{NotBefore: now.Add(time.Hour)}, "refuses the token until then"},
		{"nbf", jwtpeek.Claims{NotBefore: now}, "2026-11-21T12:00:00Z"},
		{"https://aws.amazon.com/tags/principal_tags/team", jwtpeek.Claims{}, "sts:TagSession"},
		{"https://aws.amazon.com/source_identity", jwtpeek.Claims{}, "sts:SetSourceIdentity"},
		{"https://aws.amazon.com/roles", jwtpeek.Claims{}, "these roles only"},
		{"https://aws.amazon.com/other", jwtpeek.Claims{}, ""},
		{"oid", jwtpeek.Claims{}, ""},
	} {
		if got := meaning(c.claims, c.name, now); !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: %q does not say %q", c.name, got, c.want)
		}
	}
	order := ""
	for _, r := range remarks(jwtpeek.Claims{All: all("uti", "u", "https://aws.amazon.com/roles", "r", "oid", "o", "aud", []any{"a", "b"}, "iss", "i", "appid", "x")}, now) {
		order += r.claim + "=" + r.value + " "
	}
	if want := `iss=i aud=["a","b"] https://aws.amazon.com/roles=r oid=o appid=x uti=u `; order != want {
		t.Errorf("%s, want %s", order, want)
	}
}

// What a token says can be anything.
func TestAClaimCannotReachTheTerminal(t *testing.T) {
	const evil = "x\x1b[31my\nz"
	for _, r := range remarks(jwtpeek.Claims{Issuer: evil, Version: evil, All: map[string]any{"iss": evil, "sub": evil, evil: evil, "o": []any{evil}}}, time.Now()) {
		if all := r.claim + r.value + r.meaning; strings.ContainsAny(all, "\x1b\n") {
			t.Errorf("%q", all)
		}
	}
}
