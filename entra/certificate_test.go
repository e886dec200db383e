package entra_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/entra"
)

func fileSource(f *far, file string) entra.Certificate {
	return entra.Certificate{TenantID: tenantID, ClientID: clientID, Scope: scope, File: file, Client: f.client()}
}

// sent asks once and returns the assertion that was sent.
func sent(t *testing.T, f *far, source entra.Certificate) string {
	t.Helper()
	if _, err := source.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	form := f.forms[len(f.forms)-1]
	if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" || form.Has("client_secret") {
		t.Errorf("form: %v", form)
	}
	return form.Get("client_assertion")
}

func TestTheAssertionIsSignedForTheTokenEndpoint(t *testing.T) {
	certificate := validCertificate(t)
	f := &far{}
	token := sent(t, f, fileSource(f, write(t, "app.pem", keyPEM(t, rsaKey())+certPEM(certificate))))
	header, claims := parts(t, token)
	thumbprint := sha256.Sum256(certificate.Raw)
	if header["alg"] != "PS256" || header["x5t#S256"] != base64.RawURLEncoding.EncodeToString(thumbprint[:]) || header["x5c"] != nil {
		t.Errorf("header %v", header)
	}
	if claims["aud"] != f.urls[0] || claims["iss"] != clientID || claims["sub"] != clientID {
		t.Errorf("claims %v", claims)
	}
	if life := claims["exp"].(float64) - claims["nbf"].(float64); life != 600 || claims["iat"] != claims["nbf"] {
		t.Errorf("claims %v", claims)
	}
	input, signature := digest(t, token)
	if err := rsa.VerifyPSS(&rsaKey().PublicKey, crypto.SHA256, input, signature, &rsa.PSSOptions{SaltLength: 32}); err != nil {
		t.Error(err)
	}
	_, again := parts(t, sent(t, f, fileSource(f, write(t, "app.pem", keyPEM(t, rsaKey())+certPEM(certificate)))))
	if claims["jti"] == "" || claims["jti"] == again["jti"] {
		t.Errorf("jti %v and %v", claims["jti"], again["jti"])
	}
}

func digest(t *testing.T, token string) (sum, signature []byte) {
	t.Helper()
	dot := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	if err != nil {
		t.Fatal(err)
	}
	input := sha256.Sum256([]byte(token[:dot]))
	return input[:], signature
}

// signer hides the concrete key type, as a TPM or a key service does.
type signer struct{ crypto.Signer }

func TestAnySignerWithRS256AndTheChain(t *testing.T) {
	leaf := validCertificate(t)
	issuer := certificateOf(t, rsaKeys()[1].Public(), longAgo, farOff)
	f := &far{}
	source := fileSource(f, "")
	source.Signer, source.Chain, source.RS256, source.SendChain = signer{rsaKey()}, []*x509.Certificate{leaf, issuer}, true, true
	token := sent(t, f, source)
	header, _ := parts(t, token)
	chain, _ := header["x5c"].([]any)
	if header["alg"] != "RS256" || len(chain) != 2 || chain[0] != base64.StdEncoding.EncodeToString(leaf.Raw) {
		t.Errorf("header %v", header)
	}
	input, signature := digest(t, token)
	if err := rsa.VerifyPKCS1v15(&rsaKey().PublicKey, crypto.SHA256, input, signature); err != nil {
		t.Error(err)
	}
}

func TestAllKindsOfFilesAreRead(t *testing.T) {
	leaf, other := validCertificate(t), certificateOf(t, rsaKeys()[1].Public(), longAgo, farOff)
	pkcs1 := pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey()))
	for name, change := range map[string]func(*entra.Certificate){
		"key first":            func(c *entra.Certificate) { c.File = write(t, "a", keyPEM(t, rsaKey())+certPEM(leaf)) },
		"key last":             func(c *entra.Certificate) { c.File = write(t, "a", certPEM(leaf)+pkcs1) },
		"issuer first":         func(c *entra.Certificate) { c.File = write(t, "a", certPEM(other, leaf)+pkcs1) },
		"text around":          func(c *entra.Certificate) { c.File = write(t, "a", "Bag Attributes\n"+certPEM(leaf)+"\nKey:\n"+pkcs1) },
		"key in its own file":  func(c *entra.Certificate) { c.File, c.KeyFile = write(t, "a", certPEM(leaf)), write(t, "b", pkcs1) },
		"PKCS#12, no password": func(c *entra.Certificate) { c.File = write(t, "a", pfx(t, "", rsaKey(), leaf, other)) },
		"PKCS#12": func(c *entra.Certificate) {
			c.File, c.Password = write(t, "a", pfx(t, "hunter2", rsaKey(), leaf)), keyless.NewSecret("hunter2")
		},
		"PKCS#12, password in a file": func(c *entra.Certificate) {
			c.File, c.PasswordFile = write(t, "a", pfx(t, "hunter2", rsaKey(), leaf)), write(t, "b", "hunter2\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := &far{}
			source := fileSource(f, "")
			change(&source)
			header, _ := parts(t, sent(t, f, source))
			thumbprint := sha256.Sum256(leaf.Raw)
			if header["x5t#S256"] != base64.RawURLEncoding.EncodeToString(thumbprint[:]) {
				t.Error("signed as another certificate")
			}
		})
	}
}

func TestARotatedFileCountsAtOnce(t *testing.T) {
	f := &far{}
	file := write(t, "app.pem", certPEM(validCertificate(t))+keyPEM(t, rsaKey()))
	before, _ := parts(t, sent(t, f, fileSource(f, file)))
	second := rsaKeys()[1]
	content := certPEM(certificateOf(t, second.Public(), longAgo, farOff)) + keyPEM(t, second)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	after, _ := parts(t, sent(t, f, fileSource(f, file)))
	if before["x5t#S256"] == after["x5t#S256"] {
		t.Error("the old certificate was used")
	}
}

func TestBadCertificatesAreSaidBeforeAsking(t *testing.T) {
	leaf := validCertificate(t)
	expired := certificateOf(t, rsaKey().Public(), longAgo, longAgo.Add(time.Hour))
	early := certificateOf(t, rsaKey().Public(), farOff.Add(-time.Hour), farOff)
	other := certificateOf(t, rsaKeys()[1].Public(), longAgo, farOff)
	ec := ecKey(t)
	ecCertificate := certificateOf(t, ec.Public(), longAgo, farOff)
	encrypted := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"}, Bytes: []byte("x")}))
	for name, c := range map[string]struct{ want, content string }{
		"no key":            {"no private key", certPEM(leaf)},
		"no certificate":    {"no certificate", keyPEM(t, rsaKey())},
		"expired":           {"expired on 1990-01-01T01:00:00Z", certPEM(expired) + keyPEM(t, rsaKey())},
		"not yet valid":     {"not valid before 2089-12-31T23:00:00Z", certPEM(early) + keyPEM(t, rsaKey())},
		"another key":       {"belongs to none", certPEM(other) + keyPEM(t, rsaKey())},
		"elliptic curve":    {"not RSA", certPEM(ecCertificate) + keyPEM(t, ec)},
		"two keys":          {"several private keys", certPEM(leaf) + keyPEM(t, rsaKey()) + keyPEM(t, rsaKeys()[1])},
		"encrypted":         {"encrypted PEM", certPEM(leaf) + encrypted},
		"encrypted PKCS#8":  {"encrypted PEM", certPEM(leaf) + pemOf("ENCRYPTED PRIVATE KEY", []byte("x"))},
		"broken key":        {"private key is broken", certPEM(leaf) + pemOf("PRIVATE KEY", []byte("hunter2"))},
		"broken":            {"is broken", pemOf("CERTIFICATE", []byte("hunter2"))},
		"empty":             {"is empty", "\n"},
		"neither":           {"neither PEM nor PKCS#12", "hunter2"},
		"wrong password":    {"password is wrong", pfx(t, "hunter2", rsaKey(), leaf)},
		"cut-off PKCS#12":   {"certificate file", pfx(t, "", rsaKey(), leaf)[:200]},
		"curve in PKCS#12":  {"not RSA", pfx(t, "", ec, ecCertificate)},
		"other in PKCS#12":  {"belongs to none", pfx(t, "", rsaKey(), other)},
		"only a public key": {"no certificate", pemOf("PUBLIC KEY", []byte("x"))},
	} {
		t.Run(name, func(t *testing.T) {
			f := &far{}
			_, err := fileSource(f, write(t, "app", c.content)).Token(t.Context())
			wantSourceError(t, err, c.want)
			if len(f.forms) != 0 {
				t.Error("asked all the same")
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error quotes the file: %v", err)
			}
		})
	}
}

func TestMistakesWithCertificatesAreSaidBeforeAsking(t *testing.T) {
	leaf := validCertificate(t)
	file := write(t, "app.pem", certPEM(leaf)+keyPEM(t, rsaKey()))
	for want, change := range map[string]func(*entra.Certificate){
		"no certificate":          func(c *entra.Certificate) { c.File = "" },
		"two certificates":        func(c *entra.Certificate) { c.Signer, c.Chain = rsaKey(), []*x509.Certificate{leaf} },
		"without its certificate": func(c *entra.Certificate) { c.File, c.Signer = "", rsaKey() },
		"two passwords":           func(c *entra.Certificate) { c.Password, c.PasswordFile = keyless.NewSecret("x"), "y" },
		"no such file":            func(c *entra.Certificate) { c.File = filepath.Join(t.TempDir(), "absent") },
		"of no use":               func(c *entra.Certificate) { c.File, c.KeyFile = write(t, "a", pfx(t, "", rsaKey(), leaf)), file },
		"belongs to none":         func(c *entra.Certificate) { c.File, c.Signer, c.Chain = "", rsaKeys()[1], []*x509.Certificate{leaf} },
		"the key is not RSA":      func(c *entra.Certificate) { c.File, c.Signer, c.Chain = "", ecKey(t), []*x509.Certificate{leaf} },
		"password file": func(c *entra.Certificate) {
			c.File, c.PasswordFile = write(t, "a", pfx(t, "", rsaKey(), leaf)), write(t, "b", "\n")
		},
		"tenant id": func(c *entra.Certificate) { c.TenantID = "" },
		"two keys: a file and a s": func(c *entra.Certificate) {
			c.File, c.KeyFile, c.Signer, c.Chain = "", "x", rsaKey(), []*x509.Certificate{leaf}
		},
	} {
		f := &far{}
		source := fileSource(f, file)
		change(&source)
		_, err := source.Token(t.Context())
		wantSourceError(t, err, want)
		if len(f.forms) != 0 {
			t.Errorf("%s: asked all the same", want)
		}
	}
}
