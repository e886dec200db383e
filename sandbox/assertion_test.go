package sandbox_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func selfSigned(t *testing.T, until time.Time) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: until.AddDate(-1, 0, 0), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &testKey().PublicKey, testKey())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// signed makes a JWT without the help of the package under test.
func signed(t *testing.T, header, claims map[string]any) string {
	t.Helper()
	var parts [2]string
	for i, part := range []map[string]any{header, claims} {
		text, err := json.Marshal(part)
		if err != nil {
			t.Fatal(err)
		}
		parts[i] = base64.RawURLEncoding.EncodeToString(text)
	}
	text := parts[0] + "." + parts[1]
	sum := sha256.Sum256([]byte(text))
	var options crypto.SignerOpts = crypto.SHA256
	if header["alg"] == "PS256" {
		options = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
	}
	signature, err := testKey().Sign(rand.Reader, sum[:], options)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func assertionForm(assertion string) url.Values {
	form := secretForm("client_assertion", assertion, "client_assertion_type", assertionType)
	form.Del("client_secret")
	return form
}

func certificateClaims(change ...any) map[string]any {
	now := time.Now().Unix()
	claims := map[string]any{
		"aud": "https://login.microsoftonline.com/" + sandbox.DemoTenantID + "/oauth2/v2.0/token", "iss": sandbox.DemoAppClientID, "sub": sandbox.DemoAppClientID,
		"jti": "1", "nbf": now, "exp": now + 600,
	}
	for i := 0; i < len(change); i += 2 {
		claims[change[i].(string)] = change[i+1]
	}
	return claims
}

func worldWithCertificate(t *testing.T, until time.Time) (sandbox.World, []byte) {
	t.Helper()
	w, der := sandbox.Demo(), selfSigned(t, until)
	w.Tenants[0].Apps[2].Certificates = [][]byte{der}
	return w, der
}

func TestACertificateProvesTheApplication(t *testing.T) {
	w, der := worldWithCertificate(t, time.Now().Add(time.Hour))
	c := overSockets(t, newSandbox(t, w, sandbox.Options{}))
	one, two := sha1.Sum(der), sha256.Sum256(der)
	for name, header := range map[string]map[string]any{
		"RS256, x5t":                  {"alg": "RS256", "x5t": base64.RawURLEncoding.EncodeToString(one[:])},
		"RS256, x5t padded":           {"alg": "RS256", "x5t": base64.URLEncoding.EncodeToString(one[:])},
		"PS256, x5t#S256":             {"alg": "PS256", "x5t#S256": base64.RawURLEncoding.EncodeToString(two[:])},
		"PS256, x5t#S256 in std form": {"alg": "PS256", "x5t#S256": base64.StdEncoding.EncodeToString(two[:])},
		"with the chain":              {"alg": "RS256", "x5t": base64.RawURLEncoding.EncodeToString(one[:]), "x5c": []string{base64.StdEncoding.EncodeToString(der)}},
	} {
		a := c.post(t, c.tokenURL(), assertionForm(signed(t, header, certificateClaims("aud", c.tokenURL()))))
		if a.status != 200 {
			t.Errorf("%s: %s", name, a.body)
			continue
		}
		if claims := claimsOf(t, decode[accessToken](t, a).AccessToken); claims["appidacr"] != "2" {
			t.Errorf("%s: appidacr %v", name, claims["appidacr"])
		}
	}
}

func TestACertificateAssertionThatIsNotRightIsRefused(t *testing.T) {
	w, der := worldWithCertificate(t, time.Now().Add(time.Hour))
	c := inProcess(newSandbox(t, w, sandbox.Options{}))
	one := sha1.Sum(der)
	header := map[string]any{"alg": "RS256", "x5t": base64.RawURLEncoding.EncodeToString(one[:])}
	now := time.Now().Unix()
	for name, row := range map[string]struct {
		claims map[string]any
		code   int
	}{
		"expired":          {certificateClaims("exp", now-400, "nbf", now-1000), 700024},
		"not yet":          {certificateClaims("nbf", now+400), 700024},
		"no expiry":        {certificateClaims("exp", nil), 50027},
		"no jti":           {certificateClaims("jti", nil), 50027},
		"for someone else": {certificateClaims("aud", "https://example.com"), 700023},
		"other tenant":     {certificateClaims("aud", "https://login.microsoftonline.com/other/oauth2/v2.0/token"), 700023},
		"other subject":    {certificateClaims("sub", "other"), 700021},
	} {
		t.Run(name, func(t *testing.T) {
			wantRefusal(t, c.post(t, c.tokenURL(), assertionForm(signed(t, header, row.claims))), 401, row.code, "invalid_client")
		})
	}
	good := signed(t, header, certificateClaims())
	broken := good[:len(good)-4] + "AAAA"
	wantRefusal(t, c.post(t, c.tokenURL(), assertionForm(broken)), 401, 700027, "invalid_client")
	stranger := maps.Clone(header)
	stranger["x5t"] = base64.RawURLEncoding.EncodeToString(make([]byte, 20))
	wantRefusal(t, c.post(t, c.tokenURL(), assertionForm(signed(t, stranger, certificateClaims()))), 401, 700027, "invalid_client")
	if a := c.post(t, c.tokenURL(), assertionForm(good)); a.status != 200 {
		t.Error(a.body)
	}
}

func TestAnExpiredCertificateIsRefused(t *testing.T) {
	w, der := worldWithCertificate(t, time.Now().Add(-time.Hour))
	c := inProcess(newSandbox(t, w, sandbox.Options{}))
	one := sha1.Sum(der)
	header := map[string]any{"alg": "RS256", "x5t": base64.RawURLEncoding.EncodeToString(one[:])}
	wantRefusal(t, c.post(t, c.tokenURL(), assertionForm(signed(t, header, certificateClaims()))), 401, 700027, "invalid_client")
}

const github = "https://token.actions.githubusercontent.com"

func federatedWorld() sandbox.World {
	w := sandbox.Demo()
	w.Issuers = []sandbox.Issuer{{URL: github}}
	w.Tenants[0].Apps[2].FederatedCredentials = []sandbox.FIC{
		{Issuer: github, Subject: "repo:a/b", Audience: sandbox.ExchangeAudience},
		{Issuer: sandbox.DemoV2Issuer, Subject: sandbox.DemoVMObjectID, Audience: sandbox.ExchangeAudience},
		{Issuer: sandbox.DemoV2Issuer, Subject: sandbox.DemoAppObjectID, Audience: sandbox.ExchangeAudience},
	}
	return w
}

func githubClaims(change ...any) map[string]any {
	now := time.Now().Unix()
	claims := map[string]any{"iss": github, "sub": "repo:a/b", "aud": sandbox.ExchangeAudience, "iat": now, "nbf": now, "exp": now + 300}
	for i := 0; i < len(change); i += 2 {
		claims[change[i].(string)] = change[i+1]
	}
	return claims
}

func (c *cloud) mint(t *testing.T, claims map[string]any, how sandbox.Minting) string {
	t.Helper()
	token, err := c.Mint(claims, how)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestAFederatedAssertionMatchesExactlyOrNotAtAll(t *testing.T) {
	c := inProcess(newSandbox(t, federatedWorld(), sandbox.Options{}))
	if a := c.post(t, c.tokenURL(), assertionForm(c.mint(t, githubClaims(), sandbox.Minting{}))); a.status != 200 {
		t.Fatal(a.body)
	}
	now := time.Now().Unix()
	for name, row := range map[string]struct {
		claims map[string]any
		how    sandbox.Minting
		status int
		code   int
	}{
		"issuer":    {githubClaims("iss", github+"/"), sandbox.Minting{}, 401, 700211},
		"audience":  {githubClaims("aud", "api://azureadtokenexchange"), sandbox.Minting{}, 401, 700212},
		"subject":   {githubClaims("sub", "repo:a/B"), sandbox.Minting{}, 401, 700213},
		"expired":   {githubClaims("exp", now-301), sandbox.Minting{}, 401, 700024},
		"signature": {githubClaims(), sandbox.Minting{Flaw: sandbox.BadSignature}, 401, 700027},
		"foreign":   {githubClaims(), sandbox.Minting{Flaw: sandbox.ForeignKey}, 401, 700027},
		"algorithm": {githubClaims(), sandbox.Minting{Algorithm: "ES256"}, 401, 50027},
		"unsigned":  {githubClaims(), sandbox.Minting{Flaw: sandbox.Unsigned}, 401, 50027},
	} {
		t.Run(name, func(t *testing.T) {
			wantRefusal(t, c.post(t, c.tokenURL(), assertionForm(c.mint(t, row.claims, row.how))), row.status, row.code, "invalid_client")
		})
	}
	byID := c.mint(t, githubClaims("aud", sandbox.ExchangeClientID), sandbox.Minting{})
	wantRefusal(t, c.post(t, c.tokenURL(), assertionForm(byID)), 400, 700214, "invalid_request")
	c.SetFault(sandbox.Keys, sandbox.Fault{Status: 503})
	wantRefusal(t, c.post(t, c.tokenURL(), assertionForm(c.mint(t, githubClaims(), sandbox.Minting{}))), 400, 50166, "invalid_request")
}

func TestAManagedIdentityMayStandForAnApplicationAndAnApplicationMayNot(t *testing.T) {
	c := inProcess(newSandbox(t, federatedWorld(), sandbox.Options{}))
	assertion := c.identityToken(t, sandbox.ExchangeAudience)
	if claims := claimsOf(t, assertion); claims["aud"] != sandbox.ExchangeClientID || claims["ver"] != "2.0" {
		t.Errorf("%v %v", claims["aud"], claims["ver"])
	}
	if a := c.post(t, c.tokenURL(), assertionForm(assertion)); a.status != 200 {
		t.Error(a.body)
	}
	wantRefusal(t, c.post(t, c.tokenURL(), assertionForm(c.secretToken(t, "scope", sandbox.ExchangeAudience+"/.default"))), 400, 700222, "invalid_request")
}

func TestAnApplicationWithoutFederatedCredentialsSaysSo(t *testing.T) {
	w := federatedWorld()
	w.Tenants[0].Apps[2].FederatedCredentials = nil
	c := inProcess(newSandbox(t, w, sandbox.Options{}))
	wantRefusal(t, c.post(t, c.tokenURL(), assertionForm(c.mint(t, githubClaims(), sandbox.Minting{}))), 400, 70025, "invalid_request")
}
