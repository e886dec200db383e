package authproxy

import (
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"
)

// FuzzRoute looks for requests that leave the place that their route leads to, for whoever
// decodes the path once or twice.
func FuzzRoute(f *testing.F) {
	for _, target := range []string{
		"/write", "/write?x=1&API-version=2", "/es/a%20b?tenant=b", "/es/../x", "/es/%2e%2e/x", "/es//x", "/es/%2fx", "/es/..;/x", "/es/%252e%252e/x", "/es/x?a=1;b=2", "/ES/x", "//x", "/es/?#000", `/es/..\x`,
	} {
		f.Add(target)
	}
	exact := &Route{Path: "/write", Upstream: &url.URL{Scheme: "https", Host: "example.com", Path: "/dcr/write", RawQuery: "api-version=1"}}
	below := &Route{Path: "/es/", Upstream: &url.URL{Scheme: "https", Host: "example.com", Path: "/base", RawQuery: "tenant=a"}}
	proxy := &Proxy{Routes: []*Route{exact, below}}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Host != "" || !plain(u.EscapedPath()) {
			return
		}
		route, rest := proxy.route(u.EscapedPath())
		if route == nil {
			return
		}
		got, ok := route.address(rest, u.RawQuery)
		if !ok {
			return
		}
		sent, err := url.Parse(got.String())
		if err != nil || sent.Host != "example.com" || sent.Scheme != "https" || sent.User != nil || sent.Fragment != "" {
			t.Fatalf("%q leads to %q, %v", target, got, err)
		}
		checkQuery(t, target, route, sent)
		if route == exact && sent.EscapedPath() != "/dcr/write" {
			t.Fatalf("%q leads to %q", target, got)
		}
		for once := sent.Path; route == below; {
			if cleaned := path.Clean(strings.ReplaceAll(once, `\`, "/")); cleaned != "/base" && !strings.HasPrefix(cleaned, "/base/") {
				t.Fatalf("%q leads to %q, which is %q", target, got, cleaned)
			}
			twice, err := url.PathUnescape(once)
			if err != nil || twice == once {
				break
			}
			once = twice
		}
	})
}

// checkQuery says that what the upstream's query sets is set once, and as it says.
func checkQuery(t *testing.T, target string, route *Route, sent *url.URL) {
	t.Helper()
	query, err := url.ParseQuery(sent.RawQuery)
	if err != nil {
		t.Fatalf("%q: %q cannot be read", target, sent.RawQuery)
	}
	for name, want := range route.Upstream.Query() {
		for other, values := range query {
			if strings.EqualFold(name, other) && (other != name || len(values) != 1 || values[0] != want[0]) {
				t.Fatalf("%q: the query is %q", target, sent.RawQuery)
			}
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, value := range []string{"", "1", "-1", "99999999999999999999", "Sat, 21 Nov 2026 10:00:00 GMT", "soon", " 7 "} {
		f.Add(value, "Sat, 21 Nov 2026 09:00:00 GMT")
		f.Add(value, "")
	}
	f.Fuzz(func(t *testing.T, value, date string) {
		if got := retryAfter(http.Header{"Retry-After": {value}, "Date": {date}}); got < 0 || got > maxWait {
			t.Fatalf("%q at %q: %s", value, date, got)
		}
	})
}
