package azhost_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/azhost"
	"github.com/keyless-id/keyless/internal/jwtpeek"
	"github.com/keyless-id/keyless/sandbox"
)

func demo(t *testing.T) (*sandbox.Sandbox, azhost.ManagedIdentity) {
	t.Helper()
	s, err := sandbox.New(sandbox.Demo(), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s, azhost.ManagedIdentity{Resource: sandbox.DemoAudience, Client: &http.Client{Transport: s.RoundTripper()}}
}

func TestTheSandboxKnowsTheIdentitiesOfItsMachine(t *testing.T) {
	for want, change := range map[string]func(*azhost.ManagedIdentity){
		sandbox.DemoVMObjectID + "":        func(*azhost.ManagedIdentity) {},
		sandbox.DemoAssignedObjectID:       func(m *azhost.ManagedIdentity) { m.ClientID = sandbox.DemoAssignedClientID },
		sandbox.DemoAssignedObjectID + " ": func(m *azhost.ManagedIdentity) { m.ObjectID = sandbox.DemoAssignedObjectID },
		sandbox.DemoVMObjectID + " ":       func(m *azhost.ManagedIdentity) { m.ResourceID = sandbox.DemoVMResourceID },
	} {
		s, source := demo(t)
		change(&source)
		token, err := source.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		claims, err := jwtpeek.Unverified(token.Value.Reveal())
		if err != nil || claims.Subject != strings.TrimSpace(want) || time.Until(token.Expiry) < 20*time.Hour || s.Requests(sandbox.IMDS) != 1 {
			t.Errorf("%v, subject %q, want %q, expiry %v, %d requests", err, claims.Subject, want, token.Expiry, s.Requests(sandbox.IMDS))
		}
	}
}

func TestTheSandboxRefusesAndTheHintHelps(t *testing.T) {
	for hint, change := range map[string]func(*azhost.ManagedIdentity){
		"az vm identity assign": func(m *azhost.ManagedIdentity) { m.ClientID = sandbox.DemoAppClientID },
		"character by char":     func(m *azhost.ManagedIdentity) { m.Resource = "api://nobody" },
	} {
		_, source := demo(t)
		change(&source)
		_, err := source.Token(t.Context())
		if e := wantError(t, err, "managed identity", false); !strings.Contains(e.Hint, hint) {
			t.Errorf("hint %q, want %q", e.Hint, hint)
		}
	}
}

func TestTheSandboxOnARealSocket(t *testing.T) {
	s, source := demo(t)
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	source.Client, source.Endpoint = nil, s.URL(sandbox.IMDS)
	s.SetFault(sandbox.IMDS, sandbox.Fault{Reset: true, Times: 1})
	if _, err := source.Token(t.Context()); err != nil || s.Requests(sandbox.IMDS) != 2 {
		t.Errorf("%d requests: %v", s.Requests(sandbox.IMDS), err)
	}
	s.SetFault(sandbox.IMDS, sandbox.Fault{Body: "<html>log in</html>"})
	_, err := source.Token(t.Context())
	if wantError(t, err, "<html>", false); keyless.IsTemporary(err) {
		t.Errorf("%v", err)
	}
}
