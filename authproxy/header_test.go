package authproxy_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestWhatIsForTheNextHopOrGivesTheClientAwayStaysHere(t *testing.T) {
	u := newUpstream(t, always(http.StatusOK, ""))
	f := newFront(t, u.bearer(t, "/write", "/w"))
	f.raw(t, strings.Join([]string{
		"POST /write HTTP/1.1", "Host: evil.example", "Content-Length: 1", "Connection: x-listed, Keep-Alive,X-ALSO , upgrade", "Connection: X-Third",
		"X-Listed: 1", "X-Also: 1", "X-Third: 1", "Keep-Alive: timeout=5", "Te: trailers", "Trailer: X-T", "Upgrade: websocket", "HTTP2-Settings: x",
		"Proxy-Authorization: Basic " + canary, "Proxy-Connection: keep-alive", "Proxy-Anything: 1",
		"Authorization: Bearer mine", "authorization: Basic mine", "X-Amz-Date: 20200101T000000Z", "x-amz-security-token: mine", "X-Amz-Anything: 1",
		"Cookie: mine", "X-Forwarded-For: 10.0.0.1", "X-Forwarded-Host: evil.example", "x-forwarded-anything: 1", "Forwarded: for=10.0.0.1", "Via: 1.1 x", "X-Real-IP: 10.0.0.1",
		"X-Kept: 1", "X-Kept: 2", "Content-Encoding: gzip", "Accept-Encoding: br", "X-Prometheus-Remote-Write-Version: 0.1.0", "", "x",
	}, "\r\n"))
	a := u.seen()[0]
	want := http.Header{
		"Authorization": {"Bearer " + canary + ".1"}, "X-Kept": {"1", "2"}, "Content-Encoding": {"gzip"}, "Accept-Encoding": {"br"}, "Content-Length": {"1"},
		"X-Prometheus-Remote-Write-Version": {"0.1.0"}, "Http2-Settings": {"x"},
	}
	for name, values := range a.header {
		if strings.Join(want[name], "|") != strings.Join(values, "|") {
			t.Errorf("%s: %q arrived, want %q", name, values, want[name])
		}
	}
	for name := range want {
		if a.header[name] == nil {
			t.Errorf("%s did not arrive", name)
		}
	}
	if a.host != u.Listener.Addr().String() {
		t.Errorf("Host: %s", a.host)
	}
}

func TestWhatIsForTheNextHopStaysThereOnTheWayBackToo(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range map[string]string{
			"Connection": "X-Listed", "X-Listed": "1", "Keep-Alive": "timeout=5", "Proxy-Authenticate": "Basic", "Upgrade": "h3", "Trailer": "X-T",
			"Keyless-Error": "1", "X-Kept": "1", "Content-Encoding": "gzip", "WWW-Authenticate": "Bearer", "X-Prometheus-Remote-Write-Histograms-Written": "3",
		} {
			w.Header().Set(name, value)
		}
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, "not gzip at all")
	})
	got := newFront(t, u.bearer(t, "/write", "/w")).send(t, http.MethodPost, "/write", nil, func(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip") })
	for name, want := range map[string]string{
		"X-Listed": "", "Keep-Alive": "", "Proxy-Authenticate": "", "Upgrade": "", "Trailer": "", "Keyless-Error": "",
		"X-Kept": "1", "Content-Encoding": "gzip", "Www-Authenticate": "Bearer", "X-Prometheus-Remote-Write-Histograms-Written": "3",
	} {
		if got.header.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.header.Get(name), want)
		}
	}
	if got.body != "not gzip at all" {
		t.Errorf("the body was changed: %q", got.body)
	}
}

func TestAnAgentWithoutANameGetsNone(t *testing.T) {
	u := newUpstream(t, always(http.StatusOK, ""))
	newFront(t, u.bearer(t, "/write", "/w")).raw(t, "POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
	if h := u.seen()[0].header; h.Values("User-Agent") != nil || h.Values("Accept-Encoding") != nil {
		t.Errorf("%v", h)
	}
}

// The token would go wherever the answer points.
func TestRedirectsAreHandedBack(t *testing.T) {
	elsewhere := newUpstream(t, always(http.StatusOK, ""))
	for _, status := range []int{301, 302, 303, 307, 308} {
		u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/x?sig=s3cret", status)
		})
		f := newFront(t, u.bearer(t, "/write", "/w"))
		got := f.send(t, http.MethodPost, "/write", strings.NewReader("x"))
		if got.status != status || got.own() || got.header.Get("Location") != elsewhere.URL+"/x?sig=s3cret" || len(elsewhere.seen()) > 0 {
			t.Errorf("%d: %+v", status, got)
		}
		if strings.Contains(strings.Join(f.records.lines(), ""), "s3cret") {
			t.Errorf("recorded: %q", f.records.lines())
		}
	}
}

func TestThereIsNoOtherProtocol(t *testing.T) {
	var asked string
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.Header.Get("Upgrade") + r.Header.Get("Connection")
		connection, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(connection, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
		_ = connection.Close()
	})
	got := newFront(t, u.bearer(t, "/write", "/w")).raw(t, "POST /write HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n")
	if asked != "" || got.status != http.StatusBadGateway || !got.own() {
		t.Errorf("the upstream was asked for %q: %+v", asked, got)
	}
}
