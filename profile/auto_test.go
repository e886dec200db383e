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

func TestAutoFindsTheHostsIdentity(t *testing.T) {
	s, err := sandbox.New(sandbox.Demo(), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, s.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	path := write(t, strings.Replace(autoFile, "CA", ca, 1))
	keys := map[string]sandbox.HostKind{}
	for kind, want := range map[sandbox.HostKind]string{
		sandbox.HostVM:             sandbox.DemoVMObjectID,
		sandbox.HostAppService:     sandbox.DemoVMObjectID,
		sandbox.HostAppService2017: sandbox.DemoVMObjectID,
		sandbox.HostCloudShell:     "",
		sandbox.HostAKS:            sandbox.DemoAppObjectID,
	} {
		pairs, err := s.HostEnv(kind, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		var flat []string
		for _, pair := range pairs {
			name, value, _ := strings.Cut(pair, "=")
			flat = append(flat, name, value)
		}
		built := buildAny(t, path, env(flat...))
		if other, ok := keys[built.SourceKey]; ok {
			t.Errorf("%s and %s share what is remembered", kind, other)
		}
		keys[built.SourceKey] = kind
		token, err := built.Source.Token(t.Context())
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if claims, err := jwtpeek.Unverified(token.Value.Reveal()); err != nil || want != "" && claims.Subject != want {
			t.Errorf("%s: %v, subject %q, want %q", kind, err, claims.Subject, want)
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
