package entra_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/entra"
)

func secretSource(f *far) entra.ClientSecret {
	return entra.ClientSecret{TenantID: tenantID, ClientID: clientID, Scope: scope, Secret: keyless.NewSecret(hunter2), Client: f.client()}
}

func TestTheRequestIsOneFormToTheTokenEndpoint(t *testing.T) {
	f := &far{}
	token, err := secretSource(f).Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(f.urls) != 1 || f.urls[0] != "https://login.microsoftonline.com/"+tenantID+"/oauth2/v2.0/token" {
		t.Errorf("asked %q", f.urls)
	}
	for name, want := range map[string]string{
		"grant_type": "client_credentials", "client_id": clientID, "scope": scope, "client_secret": hunter2, "claims": "",
	} {
		if got := f.forms[0].Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if life, hint := token.Expiry.Sub(token.Obtained), token.RefreshAt.Sub(token.Obtained); life != 3599*time.Second || hint != 30*time.Minute {
		t.Errorf("lifetime %s, refresh after %s", life, hint)
	}
}

func TestAClaimsChallengeIsPassedOn(t *testing.T) {
	const challenge = `{"access_token":{"nbf":{"essential":true,"value":"1700000000"}}}`
	f := &far{}
	if _, err := secretSource(f).Refresh(t.Context(), keyless.Token{}, challenge); err != nil {
		t.Fatal(err)
	}
	if got := f.forms[0].Get("claims"); got != challenge {
		t.Errorf("claims = %q", got)
	}
}

func TestASecretFileIsReadAnewEachTime(t *testing.T) {
	f := &far{}
	file := write(t, "secret", "first\r\n")
	source := secretSource(f)
	source.Secret, source.SecretFile = keyless.Secret{}, file
	for i, want := range []string{"first", " second "} {
		if i > 0 {
			if err := os.WriteFile(file, []byte(want+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := source.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := f.forms[i].Get("client_secret"); got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
	}
}

func TestABadSecretFileIsSaidBeforeAsking(t *testing.T) {
	for name, file := range map[string]string{
		"is empty":     write(t, "secret", " \n"),
		"no such file": filepath.Join(t.TempDir(), "absent"),
		"is larger":    write(t, "secret", strings.Repeat("x", 100<<10)),
		"is a dir":     t.TempDir(),
	} {
		f := &far{}
		source := secretSource(f)
		source.Secret, source.SecretFile = keyless.Secret{}, file
		_, err := source.Token(t.Context())
		wantSourceError(t, err, name)
		if len(f.forms) != 0 {
			t.Errorf("%s: asked all the same", name)
		}
	}
}

func wantSourceError(t *testing.T, err error, text string) keyless.Error {
	t.Helper()
	var e *keyless.Error
	if !errors.As(err, &e) || e.Hop != keyless.HopSource || e.Temporary {
		t.Errorf("%s: error %v (%T), want a lasting *keyless.Error of the source", text, err, err)
		return keyless.Error{}
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("error %q does not say %q", err, text)
	}
	return *e
}

func TestMistakesAreSaidBeforeAsking(t *testing.T) {
	for want, change := range map[string]func(*entra.ClientSecret){
		`tenant id "common"`:     func(s *entra.ClientSecret) { s.TenantID = "common" },
		`tenant id "a/b.c"`:      func(s *entra.ClientSecret) { s.TenantID = "a/b.c" },
		`tenant id ""`:           func(s *entra.ClientSecret) { s.TenantID = "" },
		`tenant id ".."`:         func(s *entra.ClientSecret) { s.TenantID = ".." },
		`client id "my app"`:     func(s *entra.ClientSecret) { s.ClientID = "my app" },
		`scope "api://x"`:        func(s *entra.ClientSecret) { s.Scope = "api://x" },
		`scope "/.default"`:      func(s *entra.ClientSecret) { s.Scope = "/.default" },
		`scope "a b/.default"`:   func(s *entra.ClientSecret) { s.Scope = "a b/.default" },
		"plain http":             func(s *entra.ClientSecret) { s.Authority = "http://login.example" },
		"nothing else":           func(s *entra.ClientSecret) { s.Authority = "https://login.example/?x=1" },
		"no client secret":       func(s *entra.ClientSecret) { s.Secret = keyless.Secret{} },
		"two client secrets":     func(s *entra.ClientSecret) { s.SecretFile = "/run/secret" },
		"the scheme must be htt": func(s *entra.ClientSecret) { s.Authority = "ftp://login.example" },
	} {
		f := &far{}
		source := secretSource(f)
		change(&source)
		if source.Validate() == nil {
			t.Errorf("%s: Validate finds nothing", want)
		}
		_, err := source.Token(t.Context())
		wantSourceError(t, err, want)
		if len(f.forms) != 0 {
			t.Errorf("%s: asked all the same", want)
		}
	}
}

func TestAnAuthorityMayHaveAPathAndATenantADomain(t *testing.T) {
	f := &far{}
	source := secretSource(f)
	source.TenantID, source.Authority = "contoso.onmicrosoft.com", "https://login.example:8443/entra/"
	if _, err := source.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := "https://login.example:8443/entra/contoso.onmicrosoft.com/oauth2/v2.0/token"; f.urls[0] != want {
		t.Errorf("asked %q, want %q", f.urls[0], want)
	}
}

// aadsts is an error answer as Entra words it.
func aadsts(code, text string) string {
	return `{"error":"invalid_client","error_description":"` + code + `: ` + text +
		` Trace ID: 0f0e0d0c-0000-4000-8000-000000000001 Correlation ID: 0f0e0d0c-0000-4000-8000-000000000002 Timestamp: 2026-01-01 00:00:00Z",` +
		`"error_codes":[` + strings.TrimPrefix(code, "AADSTS") + `],"trace_id":"0f0e0d0c-0000-4000-8000-000000000001","correlation_id":"0f0e0d0c-0000-4000-8000-000000000002"}`
}

func TestAnErrorOfEntraIsTakenApart(t *testing.T) {
	f := &far{status: http.StatusUnauthorized, body: aadsts("AADSTS7000215", "Invalid client secret provided.")}
	_, err := secretSource(f).Token(t.Context())
	e := wantSourceError(t, err, "AADSTS7000215")
	if e.Code != "AADSTS7000215" || !strings.Contains(e.Hint, "secret's value") {
		t.Errorf("code %q, hint %q", e.Code, e.Hint)
	}
	if want := "Invalid client secret provided. (trace 0f0e0d0c-0000-4000-8000-000000000001, correlation 0f0e0d0c-0000-4000-8000-000000000002)"; e.Message != want {
		t.Errorf("message %q, want %q", e.Message, want)
	}
	if len(f.forms) != 1 {
		t.Errorf("asked %d times", len(f.forms))
	}
}

func TestEachListedCodeHasItsHint(t *testing.T) {
	for code, want := range map[string]string{
		"AADSTS7000222": "expired", "AADSTS700016": "no such application", "AADSTS90002": "no such tenant",
		"AADSTS500011": "App ID URI", "AADSTS1002012": "/.default", "AADSTS501051": "assignment",
		"AADSTS700027": "not registered", "AADSTS700024": "clock", "AADSTS700213": "subject", "AADSTS700211": "issuer",
		"AADSTS700212": "audience", "AADSTS70025": "no federated credential", "AADSTS700222": "managed identity",
		"AADSTS53003": "Conditional Access", "AADSTS999999": "error?code=999999",
	} {
		f := &far{status: http.StatusBadRequest, body: aadsts(code, "Something.")}
		_, err := secretSource(f).Token(t.Context())
		if e := wantSourceError(t, err, code); !strings.Contains(e.Hint, want) {
			t.Errorf("%s: hint %q does not say %q", code, e.Hint, want)
		}
	}
}

func TestAFederatedCredentialJustCreatedIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &far{status: http.StatusBadRequest, body: aadsts("AADSTS70021", "No matching federated identity record found.")}
		_, err := secretSource(f).Token(t.Context())
		wantSourceError(t, err, "AADSTS70021")
		if len(f.forms) != 3 {
			t.Errorf("asked %d times, want 3", len(f.forms))
		}
	})
}

func TestTemporarilyUnavailableIsTemporaryWhateverTheStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &far{status: http.StatusBadRequest, body: aadsts("AADSTS90033", "A transient error has occurred.")}
		_, err := secretSource(f).Token(t.Context())
		if !keyless.IsTemporary(err) || len(f.forms) != 3 {
			t.Errorf("asked %d times: %v", len(f.forms), err)
		}
	})
}

func TestACallerWithoutDeadlineIsNotHeldForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started := time.Now()
		source := secretSource(nil)
		source.Client = &http.Client{Transport: silent{}}
		_, err := source.Token(context.Background()) //nolint:usetesting // without any deadline
		if err == nil || time.Since(started) > 2*time.Minute {
			t.Errorf("returned %v after %s", err, time.Since(started))
		}
	})
}

type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestCloudsAreKnownByName(t *testing.T) {
	for name, want := range map[string]string{
		"": "https://login.microsoftonline.com", "public": "https://login.microsoftonline.com", "USGov": "https://login.microsoftonline.us",
		"china": "https://login.partner.microsoftonline.cn", "AzureChina": "https://login.partner.microsoftonline.cn", "bleu": "https://login.sovcloud-identity.fr",
	} {
		if got, err := entra.AuthorityFor(name); got != want || err != nil {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	if _, err := entra.AuthorityFor("mars"); err == nil || !strings.Contains(err.Error(), "usgov") {
		t.Errorf("mars: %v", err)
	}
}

func TestScopeAndAudienceAreOpposites(t *testing.T) {
	for audience, scope := range map[string]string{
		"api://x": "api://x/.default", "https://monitor.azure.com/": "https://monitor.azure.com//.default", "": "",
	} {
		if got := entra.Scope(audience); got != scope {
			t.Errorf("Scope(%q) = %q", audience, got)
		}
		if got := entra.Scope(scope); got != scope {
			t.Errorf("Scope(%q) = %q", scope, got)
		}
		if got := entra.Audience(scope); got != audience {
			t.Errorf("Audience(%q) = %q", scope, got)
		}
	}
}
