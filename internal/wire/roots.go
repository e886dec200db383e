package wire

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"sync"
)

// bundles are where Linux distributions keep all roots in one file; the same places
// that crypto/x509 knows, in its order.
var bundles = [...]string{ //nolint:gochecknoglobals // a constant in all but name
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/pki/tls/cacert.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/ssl/cert.pem",
}

// systemRoots returns the system's roots from their one bundle, or nil to let
// crypto/x509 find them. Left alone it parses the bundle and then every file of
// /etc/ssl/certs, which on Debian are the same certificates twice more, and the most
// expensive part of a cold exchange.
func systemRoots() *x509.CertPool {
	if runtime.GOOS != "linux" || os.Getenv("SSL_CERT_FILE") != "" || os.Getenv("SSL_CERT_DIR") != "" { //nolint:forbidigo // crypto/x509 goes by them, so they decide whether to step aside for it
		return nil
	}
	for _, bundle := range bundles {
		pem, err := os.ReadFile(bundle)
		if err != nil {
			continue
		}
		pool := x509.NewCertPool()
		if pool.AppendCertsFromPEM(pem) {
			return pool
		}
	}
	return nil
}

// PEMRoots reads the certificates to trust from PEM files.
func PEMRoots(files []string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	for _, file := range files {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, &RootsError{err}
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, &RootsError{fmt.Errorf("no PEM certificate in %q", file)}
		}
	}
	return pool, nil
}

// RootsError says why the certificates to trust cannot be had.
type RootsError struct{ Err error }

func (e *RootsError) Error() string { return "certificates to trust: " + e.Err.Error() }

func (e *RootsError) Unwrap() error { return e.Err }

// lateRoots is a transport that loads the roots when the first https request needs
// them: they are not free, and many a far side is on loopback.
type lateRoots struct {
	*http.Transport
	roots func() (*x509.CertPool, error)
	once  sync.Once
	err   error
}

func (t *lateRoots) load() error {
	t.once.Do(func() { t.TLSClientConfig.RootCAs, t.err = t.roots() })
	return t.err
}

// RoundTrip implements http.RoundTripper.
func (t *lateRoots) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Scheme == "https" {
		if err := t.load(); err != nil {
			return nil, err
		}
	}
	return t.Transport.RoundTrip(request)
}

// LoadRoots loads what the first https request of client needs. Who knows that there
// will be one can do so while something else is waited for. An error is that request's.
func LoadRoots(client *http.Client) {
	if t, ok := client.Transport.(*lateRoots); ok {
		_ = t.load()
	}
}
