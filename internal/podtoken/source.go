package podtoken

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/keyless-id/keyless/internal/wire"
)

const maxKeys = 1 << 20

// File reads the key set from a file.
func File(path string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return readFile(path) }
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, maxKeys+1))
	if err == nil && len(data) > maxKeys {
		err = errors.New("the file is too large")
	}
	return data, err
}

// API reads the key set from the cluster's API server, or from wherever the issuer
// publishes it.
type API struct {
	URL       string
	TokenFile string // with which the API server is asked; read each time; empty: none
	CAFile    string // PEM of the certificates to trust; empty: those of the system
}

// Keys asks for the key set.
func (a API) Keys(ctx context.Context) ([]byte, error) {
	address, err := wire.Endpoint(a.URL)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, err
	}
	if a.TokenFile != "" {
		token, err := readFile(a.TokenFile)
		if err != nil {
			return nil, err
		}
		request.Header.Set("Authorization", "Bearer "+string(bytes.TrimSpace(token)))
	}
	answer, err := wire.Do(a.client(), request)
	if err != nil {
		return nil, err
	}
	if answer.Status != http.StatusOK {
		return nil, fmt.Errorf("%s answers with status %d", address.Host, answer.Status)
	}
	return answer.Body, nil
}

func (a API) client() *http.Client {
	if a.CAFile == "" {
		return wire.Cloud()
	}
	return wire.NewCloud(a.CAFile)
}
