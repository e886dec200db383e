package sandbox_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/keyless-id/keyless/sandbox"
	"github.com/keyless-id/keyless/trust"
)

func trustingClient(t *testing.T, s *sandbox.Sandbox, dial func(ctx context.Context, network, addr string) (net.Conn, error)) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(s.CAPEM()) {
		t.Fatal("no certificate")
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DialContext: dial, DisableKeepAlives: true}}
}

func TestTheTwinsSpeakTLS(t *testing.T) {
	s := newSandbox(t, sandbox.Demo(), sandbox.Options{})
	c := overSockets(t, s)
	c.client = trustingClient(t, s, nil)
	c.entra, c.sts = s.TLSURL(sandbox.Entra), s.TLSURL(sandbox.STS)
	c.assume(t, sandbox.DemoRoleARN, c.secretToken(t))
	c.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool()}}}
	if c.reaches(t, c.entra) == nil {
		t.Error("a client without the certificate got through")
	}
}

func (c *cloud) reaches(t *testing.T, address string) error {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c.roundTrip(t, r)
}

func TestTheTwinsAlsoGoByTheRealNames(t *testing.T) {
	s := newSandbox(t, sandbox.Demo(), sandbox.Options{})
	c := overSockets(t, s)
	entra := strings.TrimPrefix(s.TLSURL(sandbox.Entra), "https://")
	c.client = trustingClient(t, s, func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, entra)
	})
	c.entra = "https://login.microsoftonline.com"
	c.secretToken(t)
}

func TestOnlyLoopbackIsListenedOn(t *testing.T) {
	s := newSandbox(t, sandbox.Demo(), sandbox.Options{})
	for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0", "example.com:0", "127.0.0.1:65535", "127.0.0.1:x", "127.0.0.1"} {
		if err := s.Listen(addr); err == nil {
			t.Errorf("%q is listened on", addr)
		}
	}
	if s.URL(sandbox.Entra) != "" {
		t.Error(s.URL(sandbox.Entra))
	}
	open := newSandbox(t, sandbox.Demo(), sandbox.Options{AllowNonLoopback: true})
	if err := open.Listen("0.0.0.0:0"); err != nil {
		t.Error(err)
	}
	if !strings.HasPrefix(open.URL(sandbox.STS), "http://127.0.0.1:") {
		t.Error(open.URL(sandbox.STS))
	}
	if err := open.Close(); err != nil {
		t.Error(err)
	}
}

func TestClosingFreesTheAddresses(t *testing.T) {
	s := newSandbox(t, sandbox.Demo(), sandbox.Options{})
	if err := s.Close(); err != nil { // never opened: nothing to do
		t.Error(err)
	}
	if err := s.Listen(""); err != nil {
		t.Fatal(err)
	}
	address := s.URL(sandbox.IMDS)
	if err := s.Listen(""); err == nil {
		t.Error("listens twice")
	}
	if address = strings.TrimPrefix(address, "http://"); s.Close() != nil {
		t.Error("not closed")
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestTheEnvironmentLeadsClientsHere(t *testing.T) {
	s := newSandbox(t, sandbox.Demo(), sandbox.Options{})
	c := overSockets(t, s)
	env := s.Env()
	for _, want := range []string{
		"AZURE_AUTHORITY_HOST=" + s.TLSURL(sandbox.Entra) + "/", "AZURE_POD_IDENTITY_AUTHORITY_HOST=" + c.imds, "AZURE_TENANT_ID=" + sandbox.DemoTenantID,
		"AWS_ENDPOINT_URL_STS=" + c.sts, "AWS_ENDPOINT_URL_S3=" + c.s3, "AWS_ENDPOINT_URL_IAM=" + c.iam, "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1",
	} {
		if !slices.Contains(env, want) {
			t.Errorf("no %s in %q", want, env)
		}
	}
	if strings.Contains(strings.Join(env, " "), sandbox.DemoAppSecret) {
		t.Error("a secret in the environment")
	}
}

func TestTheTransportKnowsTheRealNamesTheAddressesAndNoOthers(t *testing.T) {
	s := newSandbox(t, sandbox.Demo(), sandbox.Options{})
	overSockets(t, s)
	c := inProcess(s)
	if err := c.reaches(t, s.URL(sandbox.Entra)+"/common/discovery/keys"); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"https://example.com/", "http://127.0.0.1:1/", "https://login.microsoftonline.com.example.com/", "https://sqs.eu-west-1.amazonaws.com/"} {
		if err := c.reaches(t, address); err == nil || !strings.Contains(err.Error(), "no host") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// foreignIssuer serves keys of its own on loopback.
func foreignIssuer(t *testing.T, c *cloud) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	keys := c.get(t, "https://login.microsoftonline.com/common/discovery/keys").body
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, server.URL, server.URL+"/keys")
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, keys) })
	return server
}

func TestAnIssuerOnLoopbackIsFetchedForReal(t *testing.T) {
	source := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	server := foreignIssuer(t, source)
	w := sandbox.Demo()
	w.Accounts[0].Providers = []sandbox.OIDCProvider{{URL: server.URL, ClientIDs: []string{"app"}}, {URL: "https://elsewhere.example", ClientIDs: []string{"app"}}}
	w.Accounts[0].Roles = []sandbox.Role{{Name: "foreign", TrustPolicy: `{"Statement":{"Effect":"Allow","Action":"sts:AssumeRoleWithWebIdentity","Principal":{"Federated":["` +
		trust.ProviderARN("", sandbox.DemoAccountID, server.URL) + `","` + trust.ProviderARN("", sandbox.DemoAccountID, "https://elsewhere.example") + `"]}}}`}}
	c := inProcess(newSandbox(t, w, sandbox.Options{}))
	const role = "arn:aws:iam::" + sandbox.DemoAccountID + ":role/foreign"
	token := func(issuer string, how sandbox.Minting) string {
		return source.mint(t, githubClaims("iss", issuer, "aud", "app"), how)
	}
	c.assume(t, role, token(server.URL, sandbox.Minting{}))
	wantSTSError(t, c.post(t, c.sts, webForm(role, token(server.URL, sandbox.Minting{Flaw: sandbox.ForeignKey}))), 400, "InvalidIdentityToken", "")
	wantSTSError(t, c.post(t, c.sts, webForm(role, token("https://elsewhere.example", sandbox.Minting{}))), 400, "IDPCommunicationError", "")
}

func TestManyCallersAtOnce(t *testing.T) {
	everyWay(t, func(t *testing.T, c *cloud) {
		t.Helper()
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				keys := c.assume(t, sandbox.DemoRoleARN, c.identityToken(t, sandbox.DemoAudience))
				if a := c.signedGet(t, c.s3Signer(keys), "/"); a.status != 200 {
					t.Errorf("%d", a.status)
				}
				if i%4 == 0 {
					c.SetSkew(sandbox.S3, 0)
					c.ClearFaults()
					c.RotateKeys()
				}
			})
		}
		all.Wait()
		if c.Requests(sandbox.STS) != 16 || len(c.Log()) == 0 {
			t.Error(c.Requests(sandbox.STS))
		}
	})
}
