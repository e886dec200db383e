package authproxy_test

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/keyless-id/keyless/authproxy"
)

func readReply(t *testing.T, from io.Reader) reply {
	t.Helper()
	answer, err := http.ReadResponse(bufio.NewReader(from), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return checked(t, reply{answer.StatusCode, answer.Header, string(content)})
}

func TestARequestArrivesWithTheTokenAndTheAnswerComesBack(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", "7")
		w.Header().Set("X-Ms-Request-Id", "abc")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "thank you")
	})
	f := newFront(t, u.bearer(t, "/api/v1/write", "/dcr/write?api-version=2023-04-24"))
	got := f.send(t, http.MethodPost, "/api/v1/write", strings.NewReader("samples"), func(r *http.Request) {
		r.Header.Set("Content-Encoding", "snappy")
		r.Header.Set("Content-Type", "application/x-protobuf")
		r.Header.Set("User-Agent", "Prometheus/3")
	})
	if got.status != http.StatusAccepted || got.body != "thank you" || got.own() || got.header.Get("X-Prometheus-Remote-Write-Samples-Written") != "7" || got.header.Get("X-Ms-Request-Id") != "abc" {
		t.Errorf("%+v", got)
	}
	a := u.seen()[0]
	if a.uri != "/dcr/write?api-version=2023-04-24" || a.host != u.Listener.Addr().String() || a.body != "samples" || a.length != 7 {
		t.Errorf("arrived: %+v", a)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer " + canary + ".1", "Content-Encoding": "snappy", "Content-Type": "application/x-protobuf", "User-Agent": "Prometheus/3",
	} {
		if values := a.header.Values(name); len(values) != 1 || values[0] != want {
			t.Errorf("%s: %q, want %q", name, values, want)
		}
	}
	want := authproxy.Outcome{Route: "metrics", Method: http.MethodPost, Status: http.StatusAccepted, Upstream: http.StatusAccepted, Sent: 7, Received: 9}
	o := f.outcome(t)
	if o.Took <= 0 {
		t.Errorf("took %s", o.Took)
	}
	if o.Took = 0; o != want {
		t.Errorf("observed %+v, want %+v", o, want)
	}
}

func TestOnlyMethodsOfTheRouteArePassedOn(t *testing.T) {
	u := newUpstream(t, always(http.StatusOK, ""))
	few, many := u.bearer(t, "/few", "/few"), u.bearer(t, "/many/", "/many")
	many.Methods = []string{http.MethodGet, http.MethodPut}
	f := newFront(t, few, many)
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{http.MethodPost, "/few", 200, ""},
		{http.MethodGet, "/few", 405, "POST"},
		{http.MethodGet, "/many/x", 200, ""},
		{http.MethodPut, "/many/x", 200, ""},
		{http.MethodPost, "/many/x", 405, "GET, PUT"},
		{"get", "/many/x", 405, "GET, PUT"},
		{http.MethodTrace, "/many/x", 405, "GET, PUT"},
	} {
		before := len(u.seen())
		got := f.send(t, c.method, c.path, nil)
		if got.status != c.status || got.header.Get("Allow") != c.allow || got.own() == (c.status == 200) || len(u.seen())-before != map[bool]int{true: 1}[c.status == 200] {
			t.Errorf("%s %s: %+v", c.method, c.path, got)
		}
		if o := f.outcome(t); o.Status != c.status || (o.Method == "") != (c.status == 405) || o.Route != "metrics" {
			t.Errorf("%s %s: observed %+v", c.method, c.path, o)
		}
	}
}

// What a request must never become by the way it is written.
func TestNothingLeadsOutOfTheRoute(t *testing.T) {
	u := newUpstream(t, always(http.StatusOK, ""))
	exact, below := u.bearer(t, "/write", "/dcr/write?api-version=1"), u.bearer(t, "/es/", "/base?tenant=a")
	f := newFront(t, exact, below)
	for target, want := range map[string]string{ // "": it is refused
		"/write":         "/dcr/write?api-version=1",
		"/write?x=1":     "/dcr/write?api-version=1&x=1",
		"/es/":           "/base?tenant=a",
		"/es/_bulk":      "/base/_bulk?tenant=a",
		"/es/a/b%20c/ü":  "/base/a/b%20c/%C3%BC?tenant=a",
		"/es/a%3Ab,c*/d": "/base/a%3Ab,c*/d?tenant=a",
		"/es/...":        "/base/...?tenant=a",
		"/es/_bulk?q=1&tenant=b&TENANT=c&t%65nant=d&r": "/base/_bulk?tenant=a&q=1&r",

		"/": "", "/writ": "", "/write/": "", "/write/x": "", "/es": "", "/ES/x": "", "/Write": "", "/esx": "",
		"//write": "", "/es//x": "", "/es/x//": "", "/es/../write": "", "/es/..": "", "/es/.": "", "/es/./x": "", "/es/x/../../secret": "",
		"/es/%2e%2e/x": "", "/es/%2E%2e/x": "", "/es/.%2e/x": "", "/es/%2e/x": "", "/es/..%2fx": "", "/es/%2fx": "", "/es/%2F..%2Fx": "", "/es/%5c..%5cx": "", `/es/..\x`: "",
		"/es/%252e%252e/x": "", "/es/..;/x": "", "/es/x;y": "", "/es/%3bx": "", "/es/%00": "", "/es/a%0d%0ab": "", "/es/%7f": "", "/%65s/x": "", "/es%2fx": "",
		"/write?x=1;api-version=2": "", "/write?x=%zz": "", "/es/x?a=%": "", "/es/x?a#b": "", "/es/x?a=ü": "",
		"http://127.0.0.1/write": "", "https://169.254.169.254/es/x": "", "*": "", "/es/x%": "", "/es/x%2": "",
	} {
		before := len(u.seen())
		got := f.raw(t, "POST "+target+" HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
		arrived := u.seen()[before:]
		switch {
		case want == "" && (got.status < 400 || got.status > 499 || len(arrived) > 0):
			t.Errorf("%s: %d, arrived %v", target, got.status, arrived)
		case want != "" && (got.status != 200 || len(arrived) != 1 || arrived[0].uri != want):
			t.Errorf("%s: %d, arrived %v, want %s", target, got.status, arrived, want)
		}
	}
}

func TestAnExactPathGoesBeforeALongerAndThatBeforeAShorterOne(t *testing.T) {
	u := newUpstream(t, always(http.StatusOK, ""))
	f := newFront(t, u.bearer(t, "/", "/all"), u.bearer(t, "/a/b/", "/long"), u.bearer(t, "/a/", "/short"), u.bearer(t, "/a/b/c", "/exact"))
	for target, want := range map[string]string{"/x": "/all/x", "/a/x": "/short/x", "/a/b/x": "/long/x", "/a/b/c": "/exact", "/a/b/c/": "/long/c/", "/": "/all"} {
		before := len(u.seen())
		f.send(t, http.MethodPost, target, nil)
		if got := u.seen()[before:]; len(got) != 1 || got[0].uri != want {
			t.Errorf("%s: %v, want %s", target, got, want)
		}
	}
}

// CONNECT has no path, and would be a way to anywhere.
func TestThereIsNoWayToAnywhere(t *testing.T) {
	u := newUpstream(t, always(http.StatusOK, ""))
	f := newFront(t, u.bearer(t, "/", "/"))
	for _, line := range []string{"CONNECT example.com:443", "CONNECT /", "POST http://example.com/", "OPTIONS *"} {
		if got := f.raw(t, line+" HTTP/1.1\r\nHost: example.com\r\n\r\n"); got.status != http.StatusBadRequest || !got.own() || len(u.seen()) > 0 {
			t.Errorf("%s: %+v", line, got)
		}
	}
	if got := f.raw(t, "POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 0\r\n\r\n"); got.status != http.StatusOK || len(u.seen()) != 1 {
		t.Errorf("an ordinary one: %+v", got)
	}
}

func TestARouteThatCannotBeServedIsInvalid(t *testing.T) {
	u := httptest.NewServer(nil)
	t.Cleanup(u.Close)
	valid := func() *authproxy.Route {
		return &authproxy.Route{Path: "/x", Upstream: address(t, "https://example.com/y?api-version=1"), Transport: http.DefaultTransport}
	}
	for want, change := range map[string]func(*authproxy.Route){
		"":                   func(*authproxy.Route) {},
		"path \"\"":          func(r *authproxy.Route) { r.Path = "" },
		"path \"x\"":         func(r *authproxy.Route) { r.Path = "x" },
		"path \"/a//b\"":     func(r *authproxy.Route) { r.Path = "/a//b" },
		"path \"/a/../b\"":   func(r *authproxy.Route) { r.Path = "/a/../b" },
		"path \"/a?b\"":      func(r *authproxy.Route) { r.Path = "/a?b" },
		"path \"/a%20b\"":    func(r *authproxy.Route) { r.Path = "/a%20b" },
		"up to 24h":          func(r *authproxy.Route) { r.ForbiddenFor = 25 * time.Hour },
		"negative":           func(r *authproxy.Route) { r.Timeout = -1 },
		"cannot be negative": func(r *authproxy.Route) { r.MaxBody = -1 },
		"upstream: want":     func(r *authproxy.Route) { r.Upstream = nil },
		"and nothing else":   func(r *authproxy.Route) { r.Upstream = address(t, "https://u:"+canary+"@example.com/") },
		"plain http":         func(r *authproxy.Route) { r.Upstream = address(t, "http://10.0.0.1/") },
		"the path has":       func(r *authproxy.Route) { r.Upstream = address(t, "https://example.com/a/../b") },
		"query cannot":       func(r *authproxy.Route) { r.Upstream = address(t, "https://example.com/?a=1;b=2") },
		"method \"CONNECT\"": func(r *authproxy.Route) { r.Methods = []string{"CONNECT"} },
		"method \"post\"":    func(r *authproxy.Route) { r.Methods = []string{"post"} },
		"pass 404":           func(r *authproxy.Route) { r.Pass = []int{401, 404} },
	} {
		r := valid()
		change(r)
		err := r.Validate()
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), canary)) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	local := valid()
	local.Upstream = address(t, u.URL)
	local.Methods, local.Pass = []string{"GET", "PUT"}, []int{401, 403, 408, 429}
	if err := local.Validate(); err != nil {
		t.Error(err)
	}
}
