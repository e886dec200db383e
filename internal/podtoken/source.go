package podtoken

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/keyless-id/keyless/internal/wire"
)

const (
	apiTimeout = 10 * time.Second
	maxFile    = 1 << 20 // bytes
)

// File returns a source of keys for [Verifier] that reads the JWKS document from a file
// of up to 1 MiB, anew each time.
func File(path string) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return readFile(path)
	}
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%q is larger than 1 MiB", path)
	}
	return data, nil
}

// API is a source of keys for [Verifier]: the Kubernetes API server. Who may ask it is
// said by the cluster role system:service-account-issuer-discovery.
type API struct {
	URL       string // such as https://kubernetes.default.svc/openid/v1/jwks; http on loopback only
	TokenFile string // whose content is shown as bearer token; empty: none is shown
	CAFile    string // PEM certificates, the only ones to trust; empty: the system's
}

// Keys asks for the JWKS document: one request of 10 s at the most, with no proxy and no
// redirects. It reads both files each time, because the kubelet replaces them. The
// document must not be larger than 1 MiB.
func (a API) Keys(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	bearer, err := a.bearer()
	if err != nil {
		return nil, err
	}
	request, err := a.request(ctx, bearer)
	if err != nil {
		return nil, err
	}
	transport, err := a.transport()
	if err != nil {
		return nil, err
	}
	answer, err := wire.Do(&http.Client{Transport: transport}, request)
	if err != nil {
		return nil, err
	}
	if answer.Status != http.StatusOK {
		return nil, fmt.Errorf("%s: answered %d: %s", request.URL.Host, answer.Status, answer.Excerpt(bearer))
	}
	return answer.Body, nil
}

func (a API) bearer() (string, error) {
	if a.TokenFile == "" {
		return "", nil
	}
	data, err := readFile(a.TokenFile)
	if err != nil {
		return "", fmt.Errorf("token for the API server: %w", err)
	}
	token := string(bytes.TrimSpace(data))
	if token == "" {
		return "", errors.New("token for the API server: the file is empty")
	}
	return token, nil
}

func (a API) request(ctx context.Context, bearer string) (*http.Request, error) {
	address, err := wire.Endpoint(a.URL)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	return request, nil
}

// transport is for one request. The clients of package wire use the proxy of the
// environment, which has no business inside a cluster, or refuse public addresses, which
// some clusters give their services.
func (a API) transport() (*http.Transport, error) {
	roots, err := a.roots()
	return &http.Transport{
		TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		DisableKeepAlives: true, // the next request is an hour away
	}, err
}

func (a API) roots() (*x509.CertPool, error) {
	if a.CAFile == "" {
		return nil, nil
	}
	data, err := readFile(a.CAFile)
	if err != nil {
		return nil, &wire.RootsError{Err: err}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, &wire.RootsError{Err: fmt.Errorf("no PEM certificate in %q", a.CAFile)}
	}
	return pool, nil
}
