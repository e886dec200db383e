package entra_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	pkcs12 "software.sslmate.com/src/go-pkcs12"
)

// Bubbles of synctest begin in 2000; certificates must be valid there too.
var (
	longAgo = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)
	farOff  = time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC)
)

var rsaKeys = sync.OnceValue(func() [2]*rsa.PrivateKey {
	var keys [2]*rsa.PrivateKey
	for i := range keys {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys[i] = key
	}
	return keys
})

func rsaKey() *rsa.PrivateKey { return rsaKeys()[0] }

func certificateOf(t *testing.T, public any, notBefore, notAfter time.Time) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "app"}, NotBefore: notBefore, NotAfter: notAfter}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, public, rsaKey())
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func validCertificate(t *testing.T) *x509.Certificate {
	t.Helper()
	return certificateOf(t, rsaKey().Public(), longAgo, farOff)
}

func ecKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func pemOf(kind string, raw []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}))
}

func certPEM(certificates ...*x509.Certificate) string {
	var all strings.Builder
	for _, certificate := range certificates {
		all.WriteString(pemOf("CERTIFICATE", certificate.Raw))
	}
	return all.String()
}

func keyPEM(t *testing.T, key any) string {
	t.Helper()
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pemOf("PRIVATE KEY", raw)
}

func pfx(t *testing.T, password string, key any, certificate *x509.Certificate, rest ...*x509.Certificate) string {
	t.Helper()
	raw, err := pkcs12.Modern.WithIterations(10).Encode(key, certificate, rest, password)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// far plays the token endpoint in the process: it remembers each form and says
// what it is told to say.
type far struct {
	status  int
	body    string
	forms   []url.Values
	headers []http.Header
	urls    []string
}

func (f *far) RoundTrip(r *http.Request) (*http.Response, error) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(raw))
	if err != nil {
		return nil, err
	}
	f.forms, f.headers, f.urls = append(f.forms, form), append(f.headers, r.Header), append(f.urls, r.URL.String())
	status, body := f.status, f.body
	if status == 0 {
		status, body = http.StatusOK, `{"token_type":"Bearer","expires_in":3599,"refresh_in":1800,"access_token":"a.b.c"}`
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func (f *far) client() *http.Client { return &http.Client{Transport: f} }

// parts decodes header and claims of a JWT.
func parts(t *testing.T, token string) (header, claims map[string]any) {
	t.Helper()
	pieces := strings.Split(token, ".")
	if len(pieces) != 3 {
		t.Fatalf("%q is no JWT", token)
	}
	for i, into := range []*map[string]any{&header, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(pieces[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, into); err != nil {
			t.Fatal(err)
		}
	}
	return header, claims
}
