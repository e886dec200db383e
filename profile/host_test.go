package profile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/jwtpeek"
	"github.com/keyless-id/keyless/sandbox"
)

const autoFile = `
profiles:
  any:
    source:
      auto:
    audience: ` + sandbox.DemoAudience + `
    ca_file: CA
`

func listening(t *testing.T, world sandbox.World) (s *sandbox.Sandbox, ca string) {
	t.Helper()
	s, err := sandbox.New(world, sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, s.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return s, ca
}

// hostEnv is the environment of a program on the host, and nothing else.
func hostEnv(t *testing.T, s *sandbox.Sandbox, kind sandbox.HostKind) []string {
	t.Helper()
	pairs, err := s.HostEnv(kind, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var flat []string
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		flat = append(flat, name, value)
	}
	return flat
}

func subject(t *testing.T, built *Built) (string, error) {
	t.Helper()
	token, err := built.Source.Token(t.Context())
	if err != nil {
		return "", err
	}
	claims, err := jwtpeek.Unverified(token.Value.Reveal())
	return claims.Subject, err
}

func TestAHostsIdentityIsFoundOrNamed(t *testing.T) {
	s, ca := listening(t, sandbox.Demo())
	file := strings.Replace(autoFile, "CA", ca, 1)
	keys := map[string]sandbox.HostKind{}
	for kind, host := range map[sandbox.HostKind]struct{ subject, name string }{
		sandbox.HostVM:             {sandbox.DemoVMObjectID, "managed_identity"},
		sandbox.HostAppService:     {sandbox.DemoVMObjectID, "app_service"},
		sandbox.HostAppService2017: {sandbox.DemoVMObjectID, "app_service"},
		sandbox.HostCloudShell:     {sandbox.DemoVMObjectID, "cloud_shell"},
		sandbox.HostAzureML:        {sandbox.DemoAssignedObjectID, "azure_ml"},
		sandbox.HostServiceFabric:  {sandbox.DemoVMObjectID, "service_fabric"},
		sandbox.HostAKS:            {sandbox.DemoAppObjectID, "workload_identity"},
	} {
		getenv := env(hostEnv(t, s, kind)...)
		for _, source := range []string{"auto", host.name} {
			built := buildAny(t, write(t, strings.Replace(file, "auto:", source+": {}", 1)), getenv)
			if other, ok := keys[built.SourceKey]; ok {
				t.Errorf("%s and %s share what is remembered", kind, other)
			}
			keys[built.SourceKey] = kind
			if got, err := subject(t, built); err != nil || got != host.subject {
				t.Errorf("%s as %s: %v, subject %q, want %q", kind, source, err, got, host.subject)
			}
			wantFound(t, source, built, kind)
		}
	}
}

func wantFound(t *testing.T, source string, built *Built, kind sandbox.HostKind) {
	t.Helper()
	if source == "managed_identity" {
		return
	}
	if text, err := built.Found(t.Context()); err != nil || !strings.Contains(text, " (") || built.Unsettled {
		t.Errorf("%s as %s: found %q, %v", kind, source, text, err)
	}
}

func TestANamedHostIsNotTakenForAnother(t *testing.T) {
	s, ca := listening(t, sandbox.Demo())
	file := strings.Replace(autoFile, "CA", ca, 1)
	getenv := env(hostEnv(t, s, sandbox.HostCloudShell)...)
	for source, needs := range map[string]string{
		"app_service":       "IDENTITY_ENDPOINT and IDENTITY_HEADER",
		"workload_identity": "AZURE_FEDERATED_TOKEN_FILE",
		"service_fabric":    "IDENTITY_SERVER_THUMBPRINT",
		"azure_ml":          "MSI_SECRET",
	} {
		_, err := subject(t, buildAny(t, write(t, strings.Replace(file, "auto:", source+": {}", 1)), getenv))
		var e *keyless.Error
		if !errors.As(err, &e) || e.Hop != keyless.HopSource || !strings.Contains(e.Hint, needs) {
			t.Errorf("%s: %#v", source, err)
		}
	}
}

func TestAPodCanBeNamedInFull(t *testing.T) {
	s, ca := listening(t, sandbox.Demo())
	inPod := env(hostEnv(t, s, sandbox.HostAKS)...)
	outside := env("AZURE_AUTHORITY_HOST", s.URL(sandbox.Entra))
	for client, want := range map[string]string{sandbox.DemoAppClientID: sandbox.DemoAppObjectID, sandbox.DemoVMClientID: ""} {
		source := "workload_identity: { tenant_id: " + sandbox.DemoTenantID + ", client_id: " + client + ", file: " + inPod("AZURE_FEDERATED_TOKEN_FILE") + " }"
		got, err := subject(t, buildAny(t, write(t, strings.Replace(strings.Replace(autoFile, "CA", ca, 1), "auto:", source, 1)), outside))
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", client, got, err)
		}
	}
}

// The reason for the choice is part of what went wrong.
func TestAutoSaysWhyItAskedWhomItAsked(t *testing.T) {
	s, ca := listening(t, sandbox.Demo())
	getenv := env(append([]string{"IDENTITY_HEADER", "hunter2"}, hostEnv(t, s, sandbox.HostAppService)...)...)
	_, err := subject(t, buildAny(t, write(t, strings.Replace(autoFile, "CA", ca, 1)), getenv))
	var e *keyless.Error
	if !errors.As(err, &e) || !strings.Contains(e.Hint, "(app service was chosen: IDENTITY_ENDPOINT and IDENTITY_HEADER: set)") || strings.Contains(e.Hint+e.Error(), "hunter2") {
		t.Errorf("%#v", err)
	}
}

func TestTheBeatsBlockWithoutASecretTakesWhatThereIs(t *testing.T) {
	s, ca := listening(t, sandbox.Demo())
	file := "profiles:\n  any:\n    azure_ad: { tenant_id: t, client_id: c, scope: " + sandbox.DemoAudience + "/.default }\n    ca_file: " + ca + "\n"
	application := []string{"AZURE_TENANT_ID", sandbox.DemoTenantID, "AZURE_CLIENT_ID", sandbox.DemoAppClientID, "AZURE_CLIENT_SECRET", sandbox.DemoAppSecret, "AZURE_AUTHORITY_HOST", s.URL(sandbox.Entra)}
	for want, environ := range map[string][]string{
		sandbox.DemoVMObjectID:  hostEnv(t, s, sandbox.HostAppService),
		sandbox.DemoAppObjectID: append(hostEnv(t, s, sandbox.HostAppService), application...),
	} {
		if got, err := subject(t, buildAny(t, write(t, file), env(environ...))); err != nil || got != want {
			t.Errorf("%v, subject %q, want %q", err, got, want)
		}
	}
}

// TestWhoIsSignedInDecidesWhatIsRemembered also looks that nothing takes the short way
// to an answer that another person was given.
func TestWhoIsSignedInDecidesWhatIsRemembered(t *testing.T) {
	home := t.TempDir()
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	program := "#!/bin/sh\necho '{\"accessToken\":\"a.b.c\",\"expires_on\":4102444800}'\n"
	if err := os.WriteFile(filepath.Join(bin, "az"), []byte(program), 0o700); err != nil {
		t.Fatal(err)
	}
	getenv := env("HOME", home, "AZURE_TOKEN_CREDENTIALS", "dev")
	file := strings.Replace(autoFile, "    ca_file: CA\n", "", 1)
	for _, source := range []string{"auto: {}", "azure_cli: { subscription: Production }"} {
		path := write(t, strings.Replace(file, "auto:", source, 1))
		if err := os.RemoveAll(filepath.Join(home, ".azure")); err != nil {
			t.Fatal(err)
		}
		before := buildAny(t, path, getenv)
		if before.Unsettled {
			t.Errorf("%s: unsettled by nobody", source)
		}
		if err := os.MkdirAll(filepath.Join(home, ".azure"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(home, ".azure", "azureProfile.json"), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
		after := buildAny(t, path, getenv)
		if !after.Unsettled || after.SourceKey == before.SourceKey {
			t.Errorf("%s: %+v, before %+v", source, after, before)
		}
		if token, err := after.Source.Token(t.Context()); err != nil || token.Value.Reveal() != "a.b.c" {
			t.Errorf("%s: %v", source, err)
		}
	}
}

func TestSignInsAreNamedOnce(t *testing.T) {
	file := strings.Replace(autoFile, "    ca_file: CA\n", "", 1)
	for source, want := range map[string]string{
		"azure_cli: { tenant_id: a, subscription: b }": "want one of them",
		"azure_cli: { tenant_id: '-x' }":               "letters, digits",
		"azure_developer_cli: { tenant_id: 'a;b' }":    "letters, digits",
	} {
		selected, err := Select("any", write(t, strings.Replace(file, "auto:", source, 1)), nil, env())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := selected.Build(env()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", source, err)
		}
	}
}

func buildAny(t *testing.T, path string, getenv func(string) string) *Built {
	t.Helper()
	selected, err := Select("any", path, nil, getenv)
	if err != nil {
		t.Fatal(err)
	}
	built, err := selected.Build(getenv)
	if err != nil {
		t.Fatal(err)
	}
	return built
}

func TestAutoSaysSoWhereThereIsNothing(t *testing.T) {
	t.Setenv("PATH", "")
	getenv := env("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")
	path := write(t, strings.Replace(autoFile, "    ca_file: CA\n", "", 1))
	began := time.Now()
	_, err := buildAny(t, path, getenv).Source.Token(context.Background())
	var e *keyless.Error
	if !errors.As(err, &e) || e.Hop != keyless.HopSource || e.Hint == "" {
		t.Errorf("err = %#v", err)
	}
	if waited := time.Since(began); waited > 3*time.Second {
		t.Errorf("it took %s", waited)
	}
}

func TestAutoNamesOneIdentity(t *testing.T) {
	_, err := Select("any", write(t, strings.Replace(strings.Replace(autoFile, "    ca_file: CA\n", "", 1), "auto:", "auto: { client_id: a, object_id: b }", 1)), nil, env())
	if err == nil || !strings.Contains(err.Error(), "profiles.any.source.auto: names the identity more than once") {
		t.Errorf("err = %v", err)
	}
}
