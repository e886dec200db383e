package transport_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/transport"
)

// TestTheTokenGoesToTheHostsOnTheList has for each rule what it allows and what it does not.
func TestTheTokenGoesToTheHostsOnTheList(t *testing.T) {
	for _, c := range []struct {
		name, host, address string
		allowed             bool
	}{
		{"a name", "api.example", "https://api.example/x", true},
		{"another name", "api.example", "https://api.example.org/x", false},
		{"the end of a name", "api.example", "https://evil-api.example/x", false},
		{"below a name", "api.example", "https://a.api.example/x", false},
		{"above a name", "api.example", "https://example/x", false},
		{"the name as a user", "api.example", "https://api.example@evil.example/x", false},
		{"the name in the path", "api.example", "https://evil.example/api.example", false},
		{"any port", "api.example", "https://api.example:8443", true},
		{"that port", "api.example:8443", "https://api.example:8443", true},
		{"another port", "api.example:8443", "https://api.example:8444", false},
		{"no port", "api.example:8443", "https://api.example", false},
		{"https's own port", "api.example:443", "https://api.example", true},
		{"http's own port", "127.0.0.1:80", "http://127.0.0.1/", true},
		{"not http's own port", "127.0.0.1:443", "http://127.0.0.1/", false},
		{"upper case in the address", "api.example", "https://API.Example/x", true},
		{"upper case in the list", "API.Example", "https://api.example/x", true},
		{"a dot in the address", "api.example", "https://api.example./x", true},
		{"a dot in the list", "api.example.", "https://api.example/x", true},
		{"two dots", "api.example", "https://api.example../x", false},
		{"a suffix", "*.api.example", "https://a.api.example/x", true},
		{"a suffix, deeper", "*.api.example", "https://a.b.api.example/x", true},
		{"a suffix, upper case and dot", "*.API.example", "https://A.api.EXAMPLE./x", true},
		{"the suffix itself", "*.api.example", "https://api.example/x", false},
		{"not a label", "*.api.example", "https://evilapi.example/x", false},
		{"in the middle", "*.api.example", "https://a.api.example.evil.example/x", false},
		{"a suffix with its port", "*.api.example:8443", "https://a.api.example:8443/x", true},
		{"a suffix with another port", "*.api.example:8443", "https://a.api.example/x", false},
		{"beyond ASCII", "bücher.example", "https://bücher.example/x", true},
		{"encoded otherwise", "bücher.example", "https://xn--bcher-kva.example/x", false},
		{"the Kelvin sign", "kelvin.example", "https://\u212aelvin.example/x", false},
		{"an address", "192.0.2.1", "https://192.0.2.1/x", true},
		{"another address", "192.0.2.1", "https://192.0.2.11/x", false},
		{"IPv6", "2001:db8::1", "https://[2001:db8::1]:444/x", true},
		{"IPv6 in brackets", "[2001:db8::1]", "https://[2001:DB8::1]/x", true},
		{"IPv6 with its port", "[2001:db8::1]:444", "https://[2001:db8::1]:444/x", true},
		{"IPv6 with another port", "[2001:db8::1]:444", "https://[2001:db8::1]:445/x", false},
		{"a user", "api.example", "https://user:" + canary + "@api.example/x", false},
		{"plain http", "api.example", "http://api.example/x", false},
		{"plain http to this machine", "localhost", "http://localhost:1/x", true},
		{"the same, by address", "127.0.0.1", "http://127.0.0.1:1/x", true},
		{"the same, over IPv6", "::1", "http://[::1]:1/x", true},
		{"plain http to the link", "169.254.169.254", "http://169.254.169.254/x", false},
		{"plain http nearly to this machine", "*.evil.example", "http://localhost.evil.example/x", false},
		{"not http at all", "api.example", "ftp://api.example/x", false},
		{"this machine, not on the list", "api.example", "http://127.0.0.1:1/x", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, err := url.Parse(c.address)
			if err != nil {
				t.Fatal(err)
			}
			goes(t, []string{"unrelated.example", c.host}, &http.Request{Method: http.MethodGet, URL: u}, c.allowed)
		})
	}
}

// goes sends r with a token and with a signature.
func goes(t *testing.T, hosts []string, r *http.Request, allowed bool) {
	t.Helper()
	var arrived int
	next := base(func(r *http.Request) (*http.Response, error) {
		arrived++
		return answerOf(r, http.StatusOK, ""), nil
	})
	for _, tripper := range []http.RoundTripper{
		&transport.Bearer{Source: &issuer{}, Hosts: hosts, Base: next},
		&transport.SigV4{Provider: &vault{}, Region: "eu-west-1", Service: "execute-api", Hosts: hosts, Base: next},
	} {
		arrived = 0
		answer, err := tripper.RoundTrip(r)
		if answer != nil {
			_ = answer.Body.Close()
		}
		switch {
		case allowed && (err != nil || arrived != 1):
			t.Errorf("%T: %v, arrived %d times, want it to go through", tripper, err, arrived)
		case !allowed && arrived != 0:
			t.Errorf("%T: arrived", tripper)
		case !allowed && r.URL != nil:
			refusedOn(t, err, keyless.HopDelivery, `"`+r.URL.Hostname()+`"`)
		case !allowed:
			refusedOn(t, err, keyless.HopDelivery)
		}
	}
}

func TestARequestThatNamesTwoHostsNeedsBothOnTheList(t *testing.T) {
	for host, allowed := range map[string]bool{
		"": true, "api.example": true, "API.example": true, "api.example:443": true, "front.example": true, "evil.example": false, "api.example.evil.example": false,
	} {
		u := &url.URL{Scheme: "https", Host: "api.example", Path: "/"}
		r := &http.Request{Method: http.MethodGet, URL: u, Host: host}
		tripper := &transport.Bearer{Source: &issuer{}, Hosts: []string{"api.example", "front.example"}, Base: base(func(r *http.Request) (*http.Response, error) {
			return answerOf(r, http.StatusOK, ""), nil
		})}
		answer, err := tripper.RoundTrip(r)
		if allowed {
			if err != nil {
				t.Errorf("%q: %v", host, err)
				continue
			}
			_ = answer.Body.Close()
			continue
		}
		refusedOn(t, err, keyless.HopDelivery, host)
	}
}

// An address that no parser made may hold anything.
func TestAHostThatIsNoNameIsNotBelowASuffix(t *testing.T) {
	for host, allowed := range map[string]bool{
		"a.api.example": true, "a_b-1.api.example": true,
		"evil.example/.api.example": false, "evil.example?.api.example": false, "u@evil.example#.api.example": false,
		"evil.example\x00.api.example": false, `evil.example\.api.example`: false, ".api.example": false, "..api.example": false, "": false,
	} {
		u := &url.URL{Scheme: "https", Host: host, Path: "/"}
		if err := roundTrip(&transport.Bearer{Source: &issuer{}, Hosts: []string{"*.api.example"}, Base: ok()}, &http.Request{URL: u}); (err == nil) != allowed {
			t.Errorf("%q: %v", host, err)
		}
	}
	goes(t, []string{"*.api.example"}, &http.Request{}, false)
}

func ok() base {
	return func(r *http.Request) (*http.Response, error) {
		consumed(r)
		return answerOf(r, http.StatusOK, ""), nil
	}
}

func roundTrip(tripper http.RoundTripper, r *http.Request) error {
	answer, err := tripper.RoundTrip(r)
	if err == nil {
		_ = answer.Body.Close()
	}
	return err
}

func TestAListThatCannotBeMeantLetsNothingThrough(t *testing.T) {
	for _, hosts := range [][]string{
		nil,
		{},
		{""},
		{"*"},
		{"*."},
		{"*.*.example"},
		{"a.*.example"},
		{"*api.example"},
		{"https://api.example"},
		{"api.example/"},
		{"api.example:"},
		{"api.example:https"},
		{"user@api.example"},
		{"[::1"},
		{"[::1]x"},
		{".api.example"},
		{"api example"},
		{":443"},
		{"api.example", ""},
	} {
		r := request(t, http.MethodGet, "https://api.example/", nil)
		source := &issuer{}
		err := roundTrip(&transport.Bearer{Source: source, Hosts: hosts, Base: ok()}, r)
		if err == nil || source.asked != 0 {
			t.Errorf("%q: asked for %d tokens, %v", hosts, source.asked, err)
		}
		refusedOn(t, err, keyless.HopDelivery)
	}
	if err := roundTrip(&transport.Bearer{Source: &issuer{}, Hosts: []string{"api.example"}, Base: ok()}, request(t, http.MethodGet, "https://api.example/", nil)); err != nil {
		t.Errorf("a good list: %v", err)
	}
}

// TestARedirectDoesNotTakeTheTokenAlong has a client that follows redirects, on purpose.
func TestARedirectDoesNotTakeTheTokenAlong(t *testing.T) {
	elsewhere := newFarSide(t, func(int, http.ResponseWriter, *http.Request) {})
	home := newFarSide(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, elsewhere.URL+"/x", http.StatusTemporaryRedirect)
		case "/near":
			http.Redirect(w, r, "/here", http.StatusTemporaryRedirect)
		}
	})
	for name, tripper := range bothFor(host(t, home.Server)) {
		client := &http.Client{Transport: tripper}
		answer, err := client.Do(request(t, http.MethodGet, home.URL+"/near", nil))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = answer.Body.Close()
		answer, err = client.Do(request(t, http.MethodGet, home.URL+"/away", nil))
		if err == nil {
			_ = answer.Body.Close()
		}
		refusedOn(t, err, keyless.HopDelivery, `"127.0.0.1"`)
	}
	if len(elsewhere.all()) != 0 || len(home.all()) != 6 {
		t.Errorf("%d requests arrived elsewhere, %d at home; want 0 and 6", len(elsewhere.all()), len(home.all()))
	}
	for _, s := range home.all() {
		if len(s.authorization) != 1 {
			t.Errorf("at home: %q", s.authorization)
		}
	}
}

func host(t *testing.T, s *httptest.Server) string {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func bothFor(hosts ...string) map[string]http.RoundTripper {
	return map[string]http.RoundTripper{
		"bearer": &transport.Bearer{Source: keyless.Cached(&issuer{}), Hosts: hosts},
		"sigv4":  &transport.SigV4{Provider: &vault{}, Region: "eu-west-1", Service: "execute-api", Hosts: hosts},
	}
}
