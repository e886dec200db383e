package entra_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/entra"
	"github.com/keyless-id/keyless/internal/jwtpeek"
	"github.com/keyless-id/keyless/sandbox"
)

// world is the demo with a certificate and two federated credentials on its
// application.
func world(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	w := sandbox.Demo()
	app := &w.Tenants[0].Apps[2]
	app.Certificates = [][]byte{validCertificate(t).Raw}
	app.FederatedCredentials = []sandbox.FIC{{Issuer: "https://issuer.example", Subject: "repo:a", Audience: "api://AzureADTokenExchange"}}
	w.Issuers = []sandbox.Issuer{{URL: "https://issuer.example"}}
	s, err := sandbox.New(w, sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func inside(s *sandbox.Sandbox) *http.Client { return &http.Client{Transport: s.RoundTripper()} }

func demoSecret(s *sandbox.Sandbox) entra.ClientSecret {
	return entra.ClientSecret{
		TenantID: sandbox.DemoTenantID, ClientID: sandbox.DemoAppClientID, Secret: keyless.NewSecret(sandbox.DemoAppSecret),
		Scope: entra.Scope(sandbox.DemoAudience), Client: inside(s),
	}
}

func demoCertificate(t *testing.T, s *sandbox.Sandbox) entra.Certificate {
	t.Helper()
	return entra.Certificate{
		TenantID: sandbox.DemoTenantID, ClientID: sandbox.DemoAppClientID, File: write(t, "app.pem", certPEM(validCertificate(t))+keyPEM(t, rsaKey())),
		Scope: entra.Scope(sandbox.DemoAudience), Client: inside(s),
	}
}

func demoAssertion(t *testing.T, s *sandbox.Sandbox, subject string) entra.Assertion {
	t.Helper()
	given := keyless.TokenSourceFunc(func(context.Context) (keyless.Token, error) {
		now := time.Now()
		token, err := s.Mint(map[string]any{
			"iss": "https://issuer.example", "sub": subject, "aud": "api://AzureADTokenExchange",
			"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		}, sandbox.Minting{})
		return keyless.Token{Value: keyless.NewSecret(token)}, err
	})
	return entra.Assertion{
		TenantID: sandbox.DemoTenantID, ClientID: sandbox.DemoAppClientID, Source: given,
		Scope: entra.Scope(sandbox.DemoAudience), Client: inside(s),
	}
}

func TestTheSandboxTakesAllThreeProofs(t *testing.T) {
	s := world(t)
	rs256 := demoCertificate(t, s)
	rs256.RS256, rs256.SendChain = true, true
	v2 := demoSecret(s)
	v2.Scope = entra.Scope(sandbox.DemoV2Audience)
	for name, source := range map[string]keyless.TokenSource{
		"secret": demoSecret(s), "certificate": demoCertificate(t, s), "certificate, RS256": rs256, "assertion": demoAssertion(t, s, "repo:a"), "v2": v2,
	} {
		before := s.Requests(sandbox.Entra)
		token, err := source.Token(t.Context())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		claims, err := jwtpeek.Unverified(token.Value.Reveal())
		if err != nil || claims.Subject != sandbox.DemoAppObjectID {
			t.Errorf("%s: %v, claims %+v", name, err, claims)
		}
		if got := s.Requests(sandbox.Entra) - before; got != 1 {
			t.Errorf("%s: %d requests", name, got)
		}
		if left := time.Until(token.Expiry); left < 50*time.Minute || left > 2*time.Hour {
			t.Errorf("%s: %s left", name, left)
		}
	}
}

func TestTheSandboxRefusesAndTheHintHelps(t *testing.T) {
	for code, c := range map[string]struct {
		hint   string
		change func(*entra.ClientSecret)
	}{
		"AADSTS7000215": {"secret's value", func(c *entra.ClientSecret) { c.Secret = keyless.NewSecret("hunter2") }},
		"AADSTS700016":  {"client_id", func(c *entra.ClientSecret) { c.ClientID = clientID }},
		"AADSTS90002":   {"tenant_id", func(c *entra.ClientSecret) { c.TenantID = tenantID }},
		"AADSTS500011":  {"audience", func(c *entra.ClientSecret) { c.Scope = scope }},
	} {
		source := demoSecret(world(t))
		c.change(&source)
		_, err := source.Token(t.Context())
		if e := wantSourceError(t, err, code); e.Code != code || !strings.Contains(e.Hint, c.hint) {
			t.Errorf("code %q, hint %q, want %q", e.Code, e.Hint, c.hint)
		}
	}
	_, err := demoAssertion(t, world(t), "repo:b").Token(t.Context())
	if e := wantSourceError(t, err, "AADSTS70"); e.Hint == "" {
		t.Errorf("no hint: %v", err)
	}
}

func TestAClockTenMinutesOffIsTheHint(t *testing.T) {
	s := world(t)
	s.SetSkew(sandbox.Entra, 20*time.Minute)
	_, err := demoCertificate(t, s).Token(t.Context())
	if e := wantSourceError(t, err, "AADSTS700024"); !strings.Contains(e.Hint, "clock") {
		t.Errorf("hint %q", e.Hint)
	}
}
