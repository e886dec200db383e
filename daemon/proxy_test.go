package daemon_test

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keyless-id/keyless/profile"
	"github.com/keyless-id/keyless/sandbox"
)

// upstream is where proxies send what they get.
type upstream struct {
	*httptest.Server
	connections atomic.Int32
	refusals    atomic.Int32 // how many requests more are answered with 401
	down        atomic.Int32 // a status that every request is answered with; 0: 204

	mu  sync.Mutex
	got []received
}

type received struct {
	path, authorization, securityToken, body string
}

func newUpstream(t *testing.T, w *world) *upstream {
	t.Helper()
	u := &upstream{}
	u.Server = httptest.NewUnstartedServer(http.HandlerFunc(u.answer))
	u.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			u.connections.Add(1)
		}
	}
	u.StartTLS()
	t.Cleanup(u.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: u.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(w.dir, "upstream.pem"), ca, 0o600); err != nil {
		t.Fatal(err)
	}
	return u
}

func (u *upstream) answer(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	u.mu.Lock()
	u.got = append(u.got, received{r.URL.RequestURI(), r.Header.Get("Authorization"), r.Header.Get("X-Amz-Security-Token"), string(body)})
	u.mu.Unlock()
	switch status := int(u.down.Load()); {
	case u.refusals.Add(-1) >= 0:
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
	case status != 0:
		w.WriteHeader(status)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

func (u *upstream) last() received {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.got) == 0 {
		return received{}
	}
	return u.got[len(u.got)-1]
}

// sending is a daemon with a proxy at IMDS, whose free port serves any purpose.
func sending(t *testing.T, proxy string) (*world, *upstream) {
	t.Helper()
	w := newWorld(t)
	u := newUpstream(t, w)
	w.writeProxy(t, u, proxy)
	w.start(t)
	return w, u
}

// writeProxy sets what the daemon proxies; UPSTREAM is where to, with the certificate to trust.
func (w *world) writeProxy(t *testing.T, u *upstream, proxy string) {
	t.Helper()
	routes := strings.NewReplacer("UPSTREAM", u.URL, "TRUSTED", "ca_file: DIR/upstream.pem").Replace(proxy)
	w.write(t, "serve:\n  listen: LISTEN\n  directory: DIR/run\n  profiles: [ vm ]\n  proxy:\n    - "+routes+"\n")
}

const twoRoutes = `{ listen: "IMDS", routes: [
  { path: /api/v1/write, upstream: "UPSTREAM/write?api-version=1", profile: plain, TRUSTED },
  { path: /aws/, upstream: "UPSTREAM/workspaces/", profile: vm, sigv4: { service: aps, region: eu-west-1 }, TRUSTED } ] }`

func (w *world) post(t *testing.T, path, body string, header ...string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+w.imds+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	answer, err := w.client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	text, _ := io.ReadAll(answer.Body)
	return answer.StatusCode, string(text)
}

func TestAProxyAddsTheTokenOfItsProfile(t *testing.T) {
	w, u := sending(t, twoRoutes)
	if status, body := w.post(t, "/api/v1/write", "samples", "Authorization", "Bearer mine", "X-Amz-Security-Token", "mine"); status != 204 {
		t.Fatalf("%d %s", status, body)
	}
	token, err := w.socket().Token(t.Context(), "plain")
	if err != nil {
		t.Fatal(err)
	}
	if got := u.last(); got != (received{"/write?api-version=1", "Bearer " + token.Reveal(), "", "samples"}) {
		t.Errorf("%+v", got)
	}
	if status, body := w.post(t, "/aws/ws-1/api/v1/remote_write", "samples"); status != 204 {
		t.Fatalf("%d %s", status, body)
	}
	if got := u.last(); got.path != "/workspaces/ws-1/api/v1/remote_write" || !strings.Contains(got.authorization, "/eu-west-1/aps/aws4_request") || got.securityToken == "" || got.securityToken == "mine" {
		t.Errorf("%+v", got)
	}
	for path, want := range map[string]int{"/api/v1/write/": 404, "/api/v1": 404, "/aws": 404, "/": 404} {
		if status, body := w.post(t, path, "x"); status != want {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, _ := w.ask(t, "http://"+w.imds+"/api/v1/write"); status != 405 {
		t.Errorf("GET: %d", status)
	}
	if strings.Contains(w.log.String()+w.audit.String(), token.Reveal()) {
		t.Error("the token is in a log")
	}
}

func TestAProxyCountsWhatItSends(t *testing.T) {
	w, u := sending(t, twoRoutes)
	u.down.Store(404)
	for range 3 {
		if status, body := w.post(t, "/api/v1/write", "12345"); status != 404 {
			t.Fatalf("%d %s", status, body)
		}
	}
	for _, address := range []string{w.imds, w.listen} {
		_, metrics := w.ask(t, "http://"+address+"/metrics")
		for _, want := range []string{
			`keyless_proxy_requests_total{route="plain /api/v1/write",code="404",upstream="404"} 3`,
			`keyless_proxy_sent_bytes_total{route="plain /api/v1/write"} 15`,
			`keyless_proxy_duration_seconds_count{route="plain /api/v1/write"} 3`,
		} {
			if !strings.Contains(metrics, want) {
				t.Errorf("%s: no %s in\n%s", address, want, metrics)
			}
		}
	}
}

// What the upstream refuses must not come back out of the cache of all processes.
func TestARefusedTokenIsReplaced(t *testing.T) {
	w := newWorld(t)
	u := newUpstream(t, w)
	w.writeProxy(t, u, `{ listen: "IMDS", routes: [ { upstream: "UPSTREAM", profile: app, TRUSTED } ] }`)
	app := `
  app: { source: { client_secret: { tenant_id: ` + sandbox.DemoTenantID + `, client_id: ` + sandbox.DemoAppClientID + `, client_secret: "` + sandbox.DemoAppSecret + `" } }, audience: "` + sandbox.DemoAudience + `", ca_file: "` + w.dir + `/far.pem" }
serve:`
	if err := os.WriteFile(filepath.Join(w.dir, "far.pem"), w.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(w.config)
	if err := os.WriteFile(w.config, []byte(strings.Replace(string(text), "\nserve:", app, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	w.start(t)
	if status, body := w.post(t, "/", "x"); status != 204 {
		t.Fatalf("%d %s", status, body)
	}
	first := u.last().authorization
	u.refusals.Store(1)
	if status, body := w.post(t, "/", "x"); status != 204 || u.last().authorization == first {
		t.Errorf("%d %s with %q", status, body, u.last().authorization)
	}
	if asked := w.requests(sandbox.Entra); asked != 2 {
		t.Errorf("Entra was asked %d times", asked)
	}
}

func TestAProxyIsReadyWithATokenThatLasts(t *testing.T) {
	for readyFor, want := range map[string]int{"5m": 200, "48h": 503} {
		w, _ := sending(t, `{ listen: "IMDS", ready_for: `+readyFor+`, routes: [ { upstream: "UPSTREAM", profile: plain, TRUSTED } ] }`)
		for _, address := range []string{w.imds, w.listen} {
			if status, body := w.ask(t, "http://"+address+"/readyz"); status != want || want == 503 && !strings.Contains(body, "plain: delivery: proxy: what there is expires in") {
				t.Errorf("%s: %d %s", readyFor, status, body)
			}
		}
	}
}

func TestAClientTokenIsShownOrNothingIsSent(t *testing.T) {
	w := newWorld(t)
	u := newUpstream(t, w)
	secret := "correct-horse-battery"
	if err := os.WriteFile(filepath.Join(w.dir, "client"), []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.writeProxy(t, u, `{ listen: "IMDS", client_token_file: DIR/client, routes: [ { upstream: "UPSTREAM", profile: plain, TRUSTED } ] }`)
	w.start(t)
	if status, body := w.post(t, "/", "x", "Authorization", "Bearer "+secret); status != 204 || strings.Contains(u.last().authorization, secret) {
		t.Errorf("%d %s, sent %q", status, body, u.last().authorization)
	}
	for _, shown := range []string{"", "Bearer", "Bearer " + secret + "x", secret, "Basic " + secret, "Bearer " + secret[1:]} {
		if status, _ := w.post(t, "/", "x", "Authorization", shown); status != 401 {
			t.Errorf("%q: %d", shown, status)
		}
	}
	if n := len(u.got); n != 1 {
		t.Errorf("%d requests arrived", n)
	}
}

func TestAProxyIsForProgramsOfThisMachineOnly(t *testing.T) {
	w, u := sending(t, twoRoutes)
	for name, value := range map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "X-Forwarded-For": "192.0.2.1", "Via": "1.1 x"} {
		if status, body := w.post(t, "/api/v1/write", "x", name, value); status != 403 || !strings.Contains(body, "keyless: the request does not come straight from a program on this machine (users of serve.proxy names") {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+w.imds+"/api/v1/write", strings.NewReader("x"))
	request.Host = "evil.example"
	answer, err := w.client.Do(request)
	if err != nil || answer.StatusCode != http.StatusForbidden {
		t.Errorf("%v, %+v", err, answer)
	}
	_ = answer.Body.Close()
	if len(u.got) != 0 {
		t.Errorf("%d requests arrived", len(u.got))
	}
}

func TestAProxyAnswersOnASocket(t *testing.T) {
	w, u := sending(t, `{ listen: DIR/proxy.sock, routes: [ { upstream: "UPSTREAM", profile: plain, TRUSTED } ] }`)
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(w.dir, "proxy.sock"))
	}}}
	answer, err := client.Post("http://anything/", "text/plain", strings.NewReader("x"))
	if err != nil || answer.StatusCode != http.StatusNoContent || len(u.got) != 1 {
		t.Fatalf("%v, %+v", err, answer)
	}
	_ = answer.Body.Close()
}

func TestAProxyTakesHTTP2(t *testing.T) {
	w, u := sending(t, twoRoutes)
	next := &http.Transport{Protocols: new(http.Protocols)}
	next.Protocols.SetUnencryptedHTTP2(true)
	defer next.CloseIdleConnections()
	answer, err := (&http.Client{Transport: next}).Post("http://"+w.imds+"/api/v1/write", "text/plain", strings.NewReader("x"))
	if err != nil || answer.ProtoMajor != 2 || answer.StatusCode != http.StatusNoContent || u.last().body != "x" {
		t.Fatalf("%v, %+v", err, answer)
	}
	_ = answer.Body.Close()
	if answer, err := (&http.Client{Transport: next}).Get("http://" + w.listen + "/healthz"); err == nil { // where credentials are
		_ = answer.Body.Close()
		t.Errorf("HTTP/%d", answer.ProtoMajor)
	}
}

func TestAReloadKeepsTheConnectionsOfARouteThatStays(t *testing.T) {
	w, u := sending(t, twoRoutes)
	write := func() {
		t.Helper()
		if status, body := w.post(t, "/api/v1/write", "x"); status != 204 {
			t.Fatalf("%d %s", status, body)
		}
	}
	write()
	w.writeProxy(t, u, strings.Replace(twoRoutes, "/aws/", "/other/", 1))
	w.again(t)
	write()
	if n := u.connections.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	if status, _ := w.post(t, "/aws/x", "x"); status != 404 {
		t.Errorf("the old path: %d", status)
	}
	if status, body := w.post(t, "/other/x", "x"); status != 204 {
		t.Errorf("the new path: %d %s", status, body)
	}
}

// An outage of everything that tokens come from is none of the proxy while its token lives.
func TestAnOutageOfTheSourceFailsNoRequest(t *testing.T) {
	w, _ := sending(t, twoRoutes)
	w.SetFault(sandbox.IMDS, sandbox.Fault{Status: 500})
	w.SetFault(sandbox.STS, sandbox.Fault{Status: 503})
	for range 50 {
		for _, path := range []string{"/api/v1/write", "/aws/x"} {
			if status, body := w.post(t, path, "x"); status != 204 {
				t.Fatalf("%d %s", status, body)
			}
		}
	}
}

func TestWithoutATokenDataIsKept(t *testing.T) {
	w := newWorld(t)
	u := newUpstream(t, w)
	w.SetFault(sandbox.IMDS, sandbox.Fault{Status: 500})
	w.writeProxy(t, u, twoRoutes)
	w.startWithoutWaiting(t)
	w.until(t, "it answers", func() bool {
		status, body := w.post(t, "/api/v1/write", "x")
		return status == 503 && strings.HasPrefix(body, "keyless: ")
	})
	if len(u.got) != 0 {
		t.Error("something was sent")
	}
	if status, _ := w.ask(t, "http://"+w.imds+"/healthz"); status != 200 {
		t.Errorf("health: %d", status)
	}
	if status, _ := w.ask(t, "http://"+w.imds+"/readyz"); status != 503 {
		t.Errorf("ready: %d", status)
	}
}

func TestOneProxyLeavesNothingBehind(t *testing.T) {
	w := newWorld(t)
	u := newUpstream(t, w)
	settings := map[string]profile.Setting{}
	for _, s := range append(profile.Settings(), profile.ProxySettings()...) {
		settings[s.Flag] = s
	}
	given := func(flags ...string) (all []profile.Given) {
		for i := 0; i < len(flags); i += 2 {
			all = append(all, profile.Given{Setting: settings[flags[i]], Values: []string{flags[i+1]}})
		}
		return all
	}
	w.proxyOnly = func() (*profile.Config, error) {
		return profile.OneProxy("", "", given("source", "managed_identity", "audience", sandbox.DemoAudience),
			given("listen", w.imds, "upstream", u.URL, "upstream-ca-file", filepath.Join(w.dir, "upstream.pem")), w.getenv)
	}
	w.start(t)
	if status, body := w.post(t, "/any/path", "x"); status != 204 || u.last().path != "/any/path" {
		t.Errorf("%d %s", status, body)
	}
	w.end(t)
	if all, _ := filepath.Glob(filepath.Join(w.dir, "*")); len(all) != 2 { // the certificate and the cache
		t.Errorf("%q", all)
	}
}

func TestWhatCannotBeProxiedIsSaid(t *testing.T) {
	route := func(text string) string { return `{ listen: "IMDS", routes: [ { ` + text + ` } ] }` }
	for proxy, want := range map[string]string{
		route(`upstream: "UPSTREAM", profile: nobody`):                                                          "serve.proxy[0].routes[0].profile: there is no profile",
		route(`upstream: nowhere, profile: plain`):                                                              "serve.proxy[0].routes[0].upstream: is no address",
		route(`upstream: "http://192.0.2.1/", profile: plain`):                                                  "serve.proxy[0].routes[0]",
		route(`upstream: "UPSTREAM", profile: plain, sigv4: { service: aps, region: eu-west-1 }`):               "profiles.plain: names no role",
		route(`upstream: "UPSTREAM", profile: plain, preset: azure-monitor-worksapce`):                          "azure-monitor-workspace",
		route(`upstream: "UPSTREAM", profile: plain, sigv4: { service: aps }`):                                  "wants service and region",
		route(`upstream: "UPSTREAM", profile: plain, pass: [ 500 ]`):                                            "serve.proxy[0].routes[0]",
		route(`upstream: "UPSTREAM", profile: plain }, { upstream: "UPSTREAM", profile: plain`):                 "is another route's already",
		`{ listen: "0.0.0.0:8081", routes: [ { upstream: "UPSTREAM", profile: plain } ] }`:                      "can be reached from the network",
		`{ listen: "169.254.169.254:80", routes: [ { upstream: "UPSTREAM", profile: plain } ] }`:                "want an address of loopback",
		`{ listen: "127.0.0.1:80", public_health: true, routes: [ { upstream: "UPSTREAM", profile: plain } ] }`: "want a port",
		`{ listen: "LISTEN", routes: [ { upstream: "UPSTREAM", profile: plain } ] }`:                            "is in use already",
		`{ listen: "IMDS" }`: "names no route",
		`{ listen: "IMDS", client_token_file: DIR/none, routes: [ { upstream: "UPSTREAM", profile: plain } ] }`:                                                                                          "client_token_file",
		`{ listen: "IMDS", client_token_file: DIR/x, users: [ root ], routes: [ { upstream: "UPSTREAM", profile: plain } ] }`:                                                                            "stands beside client_token_file",
		`{ listen: "IMDS", users: [ nobody-of-that-name ], routes: [ { upstream: "UPSTREAM", profile: plain } ] }`:                                                                                       `there is no user "nobody-of-that-name"`,
		route(`preset: azure-logs-ingestion, upstream: "https://x-1.westeurope-1.ingest.monitor.azure.us/dataCollectionRules/dcr-00000000000000000000000000000000/streams/Custom-X_CL", profile: plain`): "azure-logs-ingestion takes tokens for https://monitor.azure.us",
	} {
		w := newWorld(t)
		u := newUpstream(t, w)
		w.writeProxy(t, u, proxy)
		w.startWithoutWaiting(t)
		select {
		case err := <-w.gone(t):
			if err == nil || !strings.Contains(err.Error()+said(err), want) {
				t.Errorf("%s\n%v, want %q", proxy, err, want)
			}
		case <-time.After(time.Minute):
			t.Errorf("%s is taken", proxy)
		}
	}
}

// said is the hint of an error of the configuration.
func said(err error) string {
	var wrong *profile.Error
	if !errors.As(err, &wrong) {
		return ""
	}
	return wrong.Hint
}
