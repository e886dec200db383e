package authproxy_test

import (
	"context"
	"encoding/pem"
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

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/authproxy"
	"github.com/keyless-id/keyless/transport"
)

// unauthorized takes only tokens after the first.
func unauthorized(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") == "Bearer "+canary+".1" {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, "expired")
	}
}

func TestARefusedTokenIsReplacedAndTheRequestRepeatedIfItCanBe(t *testing.T) {
	for length, repeated := range map[int]bool{0: true, 1: true, 64 << 10: true, 64<<10 + 1: false} {
		for _, sized := range []bool{true, false} {
			u := newUpstream(t, unauthorized)
			f := newFront(t, u.bearer(t, "/write", "/w"))
			var body io.Reader = strings.NewReader(strings.Repeat("x", length))
			if !sized {
				body = unsized{body}
			}
			got := f.send(t, http.MethodPost, "/write", body)
			o := f.outcome(t)
			if repeated && sized {
				if got.status != 200 || got.own() || len(u.seen()) != 2 || len(u.seen()[1].body) != length || o.Upstream != 200 {
					t.Errorf("%d bytes: %+v, observed %+v", length, got, o)
				}
				continue
			}
			if got.status != 503 || !got.own() || got.header.Get("Retry-After") != "1" || len(u.seen()) != 1 || o.Upstream != http.StatusUnauthorized {
				t.Errorf("%d bytes, length known: %v: %+v, observed %+v", length, sized, got, o)
			}
			if got := f.send(t, http.MethodPost, "/write", strings.NewReader("again")); got.status != 200 {
				t.Errorf("the next one: %+v", got)
			}
		}
	}
}

func TestARefusalThatANewTokenDoesNotMendIsHeldBack(t *testing.T) {
	u := newUpstream(t, always(http.StatusUnauthorized, "wrong audience"))
	f := newFront(t, u.bearer(t, "/write", "/w"))
	got := f.send(t, http.MethodPost, "/write", strings.NewReader("x"))
	if got.status != 503 || !got.own() || !strings.Contains(got.body, "401 Unauthorized: wrong audience") || len(u.seen()) != 2 {
		t.Errorf("%+v", got)
	}
}

func TestTheTokenGoesNowhereElse(t *testing.T) {
	u := newUpstream(t, always(http.StatusOK, ""))
	r := u.bearer(t, "/write", "/w")
	r.Transport.(*transport.Bearer).Hosts = []string{"example.com"}
	got := newFront(t, r).send(t, http.MethodPost, "/write", strings.NewReader("x"))
	if got.status != 503 || len(u.seen()) > 0 || !strings.Contains(got.body, "is not one that the credentials may go to") {
		t.Errorf("%+v", got)
	}
}

func TestNobodyListens(t *testing.T) {
	u := newUpstream(t, always(http.StatusOK, ""))
	r := u.bearer(t, "/write", "/w")
	u.Close()
	f := newFront(t, r)
	for _, length := range []int{0, 10, 1 << 20} {
		if got := f.send(t, http.MethodPost, "/write", strings.NewReader(strings.Repeat("x", length))); got.status != 503 || seconds(t, got) < 5 {
			t.Errorf("%+v", got)
		}
	}
}

func TestAServerWithAnotherCertificateIsNotTrusted(t *testing.T) {
	u := newUpstream(t, always(http.StatusOK, ""))
	file := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: u.Certificate().Raw})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, files := range [][]string{{file}, nil} {
		base, err := authproxy.Base(false, files...)
		if err != nil {
			t.Fatal(err)
		}
		r := u.bearer(t, "/write", "/w")
		r.Transport.(*transport.Bearer).Base = base
		want := map[bool]int{true: 200, false: 503}[files != nil]
		if got := newFront(t, r).send(t, http.MethodPost, "/write", nil); got.status != want {
			t.Errorf("trusting %q: %+v", files, got)
		}
		base.CloseIdleConnections()
	}
	if _, err := authproxy.Base(false, filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("no error without a file")
	}
}

// versions is what both sides spoke.
func versions(t *testing.T, inbound, outbound bool) (there, here int) {
	t.Helper()
	var major atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		major.Store(int64(r.ProtoMajor))
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	u := &upstream{Server: server}
	base, err := authproxy.Base(outbound)
	if err != nil {
		t.Fatal(err)
	}
	base.TLSClientConfig.RootCAs = u.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	t.Cleanup(base.CloseIdleConnections)
	r := u.bearer(t, "/write", "/w")
	r.Transport.(*transport.Bearer).Base = base

	f := httptest.NewUnstartedServer(&authproxy.Proxy{Routes: []*authproxy.Route{r}})
	f.Config.Protocols = new(http.Protocols)
	f.Config.Protocols.SetHTTP1(true)
	f.Config.Protocols.SetUnencryptedHTTP2(true)
	f.Start()
	t.Cleanup(f.Close)
	client := &http.Transport{Protocols: new(http.Protocols)}
	client.Protocols.SetHTTP1(!inbound)
	client.Protocols.SetUnencryptedHTTP2(inbound)
	defer client.CloseIdleConnections()
	for _, length := range []int{10, 200 << 10} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.URL+"/write", unsized{strings.NewReader(strings.Repeat("x", length))})
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.RoundTrip(request)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", answer, err)
		}
		_ = answer.Body.Close()
		here = answer.ProtoMajor
	}
	return int(major.Load()), here
}

func TestBothVersionsOfHTTPAreSpokenOnBothSides(t *testing.T) {
	for _, inbound := range []bool{false, true} {
		for _, outbound := range []bool{false, true} {
			there, here := versions(t, inbound, outbound)
			if (there == 2) != outbound || (here == 2) != inbound {
				t.Errorf("HTTP/2 asked for here %v, there %v: %d and %d", inbound, outbound, here, there)
			}
		}
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "" { // a refusal of which only the beginning is read
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = io.WriteString(w, strings.Repeat("x", 10<<10))
		}
	})
	var opened atomic.Int64
	r := u.bearer(t, "/write", "/w")
	base := r.Transport.(*transport.Bearer).Base.(*http.Transport)
	dial := base.DialTLSContext
	base.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		opened.Add(1)
		return dial(ctx, network, address)
	}
	f := newFront(t, r)
	for n := range 40 {
		f.send(t, http.MethodPost, []string{"/write", "/write?refuse"}[n%2], strings.NewReader(strings.Repeat("x", n*5000)))
	}
	if opened.Load() != 1 {
		t.Errorf("one after the other took %d connections", opened.Load())
	}
	var all sync.WaitGroup
	for round := range 3 {
		before := opened.Load()
		for range 50 {
			all.Go(func() { f.send(t, http.MethodPost, "/write", strings.NewReader("x")) })
		}
		all.Wait()
		if round == 2 && opened.Load()-before > 10 {
			t.Errorf("50 at a time, which were there before, took %d more", opened.Load()-before)
		}
	}
}

// What is under way is answered before the server goes.
func TestRequestsUnderWayAreAnswered(t *testing.T) {
	arrived, goOn := make(chan struct{}), make(chan struct{})
	u := streaming(t, func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-goOn
		_, _ = io.WriteString(w, "late")
	})
	f := newFront(t, u.bearer(t, "/write", "/w"))
	answer, ended := make(chan reply, 1), make(chan error, 1)
	go func() { answer <- f.send(t, http.MethodPost, "/write", nil) }()
	<-arrived
	go func() { ended <- f.Config.Shutdown(t.Context()) }()
	select {
	case err := <-ended:
		t.Errorf("it went without an answer: %v", err)
	default:
	}
	close(goOn)
	if got := <-answer; got.body != "late" {
		t.Errorf("%+v", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A GET without a body must not become one with an empty body in chunks.
func TestNoBodyIsMadeUp(t *testing.T) {
	u := newUpstream(t, always(http.StatusOK, "x"))
	r := u.bearer(t, "/x", "/x")
	r.Methods = []string{http.MethodGet, http.MethodHead}
	f := newFront(t, r)
	for _, c := range []struct{ method, body, want string }{{http.MethodGet, "", "x"}, {http.MethodHead, "", ""}, {http.MethodGet, "query", "x"}} {
		before := len(u.seen())
		var body io.Reader
		if c.body != "" {
			body = strings.NewReader(c.body)
		}
		got := f.send(t, c.method, "/x", body)
		a := u.seen()[before]
		if a.body != c.body || a.length != int64(len(c.body)) || a.header.Get("Transfer-Encoding") != "" || got.body != c.want || got.header.Get("Content-Length") != "1" {
			t.Errorf("%s %q: arrived %+v, answered %+v", c.method, c.body, a, got)
		}
	}
}

func TestManyClientsAtATime(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("X-N")) })
	f := newFront(t, u.bearer(t, "/bearer", "/w"), u.signed(t, "/signed", 0))
	var all sync.WaitGroup
	for n := range 64 {
		name := strings.Repeat("n", n+1)
		content := strings.Repeat(string(rune('a'+n%26)), n*2000)
		all.Go(func() {
			for _, path := range []string{"/bearer", "/signed"} {
				got := f.send(t, http.MethodPost, path, strings.NewReader(content), func(r *http.Request) { r.Header.Set("X-N", name) })
				if got.status != 200 || got.body != name {
					t.Errorf("%s %d: %+v", path, n, got)
				}
			}
		})
	}
	all.Wait()
	for _, a := range u.seen() {
		if n := len(a.header.Get("X-N")) - 1; a.body != strings.Repeat(string(rune('a'+n%26)), n*2000) {
			t.Errorf("request %d arrived with another's body", n)
		}
	}
}

// A source that is down costs nobody a token that is good.
func TestATokenIsUsedWhileTheSourceIsDown(t *testing.T) {
	u := newUpstream(t, always(http.StatusOK, ""))
	r, source := u.bearer(t, "/write", "/w"), &issuer{}
	r.Transport.(*transport.Bearer).Source = keyless.Cached(source)
	f := newFront(t, r)
	for n := range 3 {
		if got := f.send(t, http.MethodPost, "/write", nil); got.status != 200 {
			t.Errorf("request %d: %+v", n, got)
		}
		source.mu.Lock()
		source.err = &keyless.Error{Hop: keyless.HopSource, Op: "token", Message: "down"}
		source.mu.Unlock()
	}
}
