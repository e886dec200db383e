package azhost_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/azhost"
	"github.com/keyless-id/keyless/internal/sourcetest"
	"github.com/keyless-id/keyless/sandbox"
)

const (
	tenantID = "22222222-2222-2222-2222-222222222222"
	clientID = "33333333-3333-3333-3333-333333333333"

	// {"alg":"RS256"}.{"aud":"api://AzureADTokenExchange"}
	projected = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJhcGk6Ly9BenVyZUFEVG9rZW5FeGNoYW5nZSJ9.aHVudGVyMg"
)

func TestWorkloadIdentityKeepsTheContract(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(projected), 0o600); err != nil {
		t.Fatal(err)
	}
	sourcetest.Run(t, sourcetest.Contract{
		New: func(far sourcetest.Far) keyless.TokenSource {
			return azhost.WorkloadIdentity{
				Resource: resource, TenantID: tenantID, ClientID: clientID, TokenFile: file, Authority: far.Address, Client: far.Client,
			}
		},
		Secrets: []string{"eyJ"},
	})
}

// pod is a source as the environment of a pod sets it up, in the sandbox.
func pod(t *testing.T) (*sandbox.Sandbox, azhost.WorkloadIdentity) {
	t.Helper()
	s, client := world(t, sandbox.Options{})
	env := environment(t, s, sandbox.HostAKS)
	return s, azhost.WorkloadIdentity{
		Resource: sandbox.DemoAudience, TenantID: env["AZURE_TENANT_ID"], ClientID: env["AZURE_CLIENT_ID"],
		TokenFile: env["AZURE_FEDERATED_TOKEN_FILE"], Authority: env["AZURE_AUTHORITY_HOST"], Client: client,
	}
}

func TestTheTokenOfAPodIsReadAnewEachTime(t *testing.T) {
	s, source := pod(t)
	wantSubject(t, source, sandbox.DemoAppObjectID)
	project := func(subject string) {
		if err := s.ProjectToken(source.TokenFile, sandbox.FIC{Issuer: sandbox.DemoClusterIssuer, Subject: subject, Audience: sandbox.ExchangeAudience}, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	project("system:serviceaccount:demo:other")
	_, err := source.Token(t.Context())
	if e := wantErrorOf(t, err, "workload identity", "AADSTS700213", false); !strings.Contains(e.Hint, "system:serviceaccount:NAMESPACE:NAME") {
		t.Errorf("hint %q", e.Hint)
	}
	project(sandbox.DemoServiceAccount)
	wantSubject(t, source, sandbox.DemoAppObjectID)
	if got := s.Requests(sandbox.Entra); got != 3 {
		t.Errorf("%d requests, want 3", got)
	}
}

func TestAPodWithoutATokenIsToldWhatIsMissing(t *testing.T) {
	s, source := pod(t)
	if err := os.Remove(source.TokenFile); err != nil {
		t.Fatal(err)
	}
	_, err := source.Token(t.Context())
	if e := wantErrorOf(t, err, "workload identity", "no such file", false); !strings.Contains(e.Hint, "azure.workload.identity/use") || s.Requests(sandbox.Entra) != 0 {
		t.Errorf("hint %q", e.Hint)
	}
	for want, change := range map[string]func(*azhost.WorkloadIdentity){
		"no token file": func(w *azhost.WorkloadIdentity) { w.TokenFile = "" },
		"tenant id":     func(w *azhost.WorkloadIdentity) { w.TenantID = "" },
		"client id":     func(w *azhost.WorkloadIdentity) { w.ClientID = "x" },
		"resource":      func(w *azhost.WorkloadIdentity) { w.Resource = "" },
		"authority":     func(w *azhost.WorkloadIdentity) { w.Authority = "http://login.example" },
	} {
		wrong := source
		change(&wrong)
		_, err := wrong.Token(t.Context())
		wantErrorOf(t, err, "workload identity", want, false)
		if wrong.Validate() == nil {
			t.Errorf("%s: Validate finds nothing", want)
		}
	}
}
