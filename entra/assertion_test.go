package entra_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/entra"
)

func assertionSource(f *far) entra.Assertion {
	return entra.Assertion{TenantID: tenantID, ClientID: clientID, Scope: scope, Client: f.client()}
}

func TestAnAssertionFileIsReadAnewEachTime(t *testing.T) {
	f := &far{}
	source := assertionSource(f)
	source.File = write(t, "token", assertion+"\n")
	for i, want := range []string{assertion, assertion + "x"} {
		if i > 0 {
			if err := os.WriteFile(source.File, []byte(want), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := source.Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := f.forms[i].Get("client_assertion"); got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
		if got := f.forms[i].Get("client_assertion_type"); got != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
			t.Errorf("type %q", got)
		}
	}
}

func TestWhyTheAssertionsSourceFailedIsPassedOn(t *testing.T) {
	refused := &keyless.Error{Hop: keyless.HopSource, Op: "pipeline", Code: "denied", Hint: "ask"}
	source := assertionSource(&far{})
	source.Source = keyless.TokenSourceFunc(func(context.Context) (keyless.Token, error) { return keyless.Token{}, refused })
	if _, err := source.Token(t.Context()); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
}

// A source tries again by itself; to try that again would keep the caller for the
// product of both.
func TestAnAssertionsSourceIsAskedOnce(t *testing.T) {
	asked := 0
	down := &keyless.Error{Hop: keyless.HopSource, Op: "elsewhere", Temporary: true}
	a := entra.Assertion{TenantID: tenantID, ClientID: clientID, Scope: scope, Source: keyless.TokenSourceFunc(func(context.Context) (keyless.Token, error) {
		asked++
		return keyless.Token{}, down
	})}
	if _, err := a.Token(t.Context()); err != error(down) || asked != 1 { //nolint:errorlint // it is handed on as it is
		t.Errorf("%v after %d requests", err, asked)
	}
}

func TestBadAssertionsAreSaidBeforeAsking(t *testing.T) {
	empty := keyless.TokenSourceFunc(func(context.Context) (keyless.Token, error) { return keyless.Token{}, nil })
	plain := keyless.TokenSourceFunc(func(context.Context) (keyless.Token, error) { return keyless.Token{}, errors.New("no luck") })
	for want, change := range map[string]func(*entra.Assertion){
		"no assertion":         func(*entra.Assertion) {},
		"two assertions":       func(a *entra.Assertion) { a.File, a.Source = "x", empty },
		"the token is no JWT":  func(a *entra.Assertion) { a.File = write(t, "token", "hunter2") },
		"is empty":             func(a *entra.Assertion) { a.File = write(t, "token", "\n") },
		"no such file":         func(a *entra.Assertion) { a.File = filepath.Join(t.TempDir(), "absent") },
		"assertion: the token": func(a *entra.Assertion) { a.Source = empty },
		"no luck":              func(a *entra.Assertion) { a.Source = plain },
	} {
		f := &far{}
		source := assertionSource(f)
		change(&source)
		_, err := source.Token(t.Context())
		wantSourceError(t, err, want)
		if len(f.forms) != 0 {
			t.Errorf("%s: asked all the same", want)
		}
	}
}
