package podtoken_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyless-id/keyless/internal/podtoken"
	"github.com/keyless-id/keyless/internal/wire"
)

const apiToken = "canary-of-the-daemon's-own-token"

// apiServer plays the part of the API server that publishes keys.
func apiServer(t *testing.T, handler http.HandlerFunc, change func(*tls.Config)) podtoken.API {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{}
	server.Config.ErrorLog = nil
	if change != nil {
		change(server.TLS)
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return podtoken.API{
		URL:       server.URL + "/openid/v1/jwks",
		TokenFile: write(t, []byte("  "+apiToken+"\n")),
		CAFile:    write(t, certificate),
	}
}

func write(t *testing.T, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func publish(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path != "/openid/v1/jwks" || r.Method != http.MethodGet:
		http.NotFound(w, r)
	case r.Header.Get("Authorization") != "Bearer "+apiToken:
		http.Error(w, "who are you, "+r.Header.Get("Authorization"), http.StatusUnauthorized)
	default:
		_, _ = w.Write(jwks(everyKey()...))
	}
}

func TestAPI(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	api := apiServer(t, publish, nil)
	v := &podtoken.Verifier{Issuer: issuer, Audience: audience, Keys: api.Keys}
	wantError(t, v.Load(context.Background()), nil)
	wantError(t, verify(v, good(t)), nil)
}

func TestAPIWithoutToken(t *testing.T) {
	api := apiServer(t, func(w http.ResponseWriter, r *http.Request) {
		if len(r.Header["Authorization"]) != 0 {
			t.Errorf("Authorization: got %q, want none", r.Header["Authorization"])
		}
		_, _ = w.Write(jwks())
	}, nil)
	api.TokenFile = ""
	if _, err := api.Keys(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestAPIRefuses(t *testing.T) {
	large := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20+1)) }
	moved := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}
	other := write(t, []byte("other"))
	cases := map[string]struct {
		handler http.HandlerFunc
		tls     func(*tls.Config)
		change  func(*podtoken.API)
		want    string
	}{
		"wrong token":  {publish, nil, func(a *podtoken.API) { a.TokenFile = other }, "answered 401"},
		"no file":      {publish, nil, func(a *podtoken.API) { a.TokenFile += "x" }, "no such file"},
		"empty token":  {publish, nil, func(a *podtoken.API) { a.TokenFile = write(t, []byte("\n")) }, "is empty"},
		"odd token":    {publish, nil, func(a *podtoken.API) { a.TokenFile = write(t, []byte("canary\ncanary")) }, "invalid header"},
		"no CA":        {publish, nil, func(a *podtoken.API) { a.CAFile = other }, "no PEM certificate"},
		"no CA file":   {publish, nil, func(a *podtoken.API) { a.CAFile += "x" }, "no such file"},
		"system's CAs": {publish, nil, func(a *podtoken.API) { a.CAFile = "" }, "certificate"},
		"plain http":   {publish, nil, func(a *podtoken.API) { a.URL = "http://api.example/openid/v1/jwks" }, "plain http"},
		"no URL":       {publish, nil, func(a *podtoken.API) { a.URL = "" }, "address"},
		"too large":    {large, nil, nil, "larger than 1 MiB"},
		"redirect":     {moved, nil, nil, "redirect"},
		"TLS 1.1": {publish, func(c *tls.Config) {
			c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		}, nil, "protocol version"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			api := apiServer(t, c.handler, c.tls)
			if c.change != nil {
				c.change(&api)
			}
			_, err := api.Keys(context.Background())
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("error: got %v, want %q", err, c.want)
			}
		})
	}
}

func TestAPIHidesItsToken(t *testing.T) {
	api := apiServer(t, func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "may not: "+r.Header.Get("Authorization"), http.StatusForbidden)
	}, nil)
	_, err := api.Keys(context.Background())
	if err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "answered 403: may not") {
		t.Errorf("error: got %v, want the answer without the token", err)
	}
}

func TestAPISaysWhatRootsItLacks(t *testing.T) {
	_, err := podtoken.API{URL: "https://127.0.0.1:1/", CAFile: "/nowhere"}.Keys(context.Background())
	var roots *wire.RootsError
	if !errors.As(err, &roots) {
		t.Errorf("error: got %v, want a RootsError", err)
	}
}

func TestFile(t *testing.T) {
	path := write(t, jwks(everyKey()...))
	v := &podtoken.Verifier{Issuer: issuer, Audience: audience, Keys: podtoken.File(path)}
	wantError(t, verify(v, good(t)), nil)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := podtoken.File(path)(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("error: got %v, want the context's", err)
	}
	for name, path := range map[string]string{
		"absent": filepath.Join(t.TempDir(), "absent"), "folder": t.TempDir(), "large": write(t, make([]byte, 1<<20+1)),
	} {
		if data, err := podtoken.File(path)(context.Background()); err == nil {
			t.Errorf("%s: got %d bytes, want an error", name, len(data))
		}
	}
	if _, err := podtoken.File(write(t, make([]byte, 1<<20)))(context.Background()); err != nil {
		t.Errorf("1 MiB: %v", err)
	}
}
