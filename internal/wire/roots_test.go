package wire

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

func get(t *testing.T, client *http.Client, address string) error {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Do(client, request)
	return err
}

// Certificates that cannot be read matter to who asks over https, and to nobody else.
func TestCertificatesAreReadForHTTPSOnly(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{empty, empty + ".gone"} {
		client := NewCloud(file)
		if err := get(t, client, plain.URL); err != nil {
			t.Errorf("http with %s: %v", file, err)
		}
		var roots *RootsError
		if err := get(t, client, secure.URL); !errors.As(err, &roots) {
			t.Errorf("https with %s: %v", file, err)
		}
	}
}

func TestACertificateThatIsNotTrustedIsNoPassingTrouble(t *testing.T) {
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	LoadRoots(Cloud())
	if err := get(t, Cloud(), secure.URL); !Untrusted(err) {
		t.Errorf("err = %v", err)
	}
}
