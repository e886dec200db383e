package azhost_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/azhost"
)

// far plays IMDS in the process.
type far struct {
	answer func(n int, r *http.Request) (status int, header http.Header, body string, err error)
	seen   []*http.Request
	times  []time.Time
}

const good = `{"access_token":"a.b.c","client_id":"c","expires_in":"86399","expires_on":"4102444800","ext_expires_in":"86399","not_before":"1","resource":"r","token_type":"Bearer","refresh_in":"43200"}`

func (f *far) RoundTrip(r *http.Request) (*http.Response, error) {
	f.seen, f.times = append(f.seen, r), append(f.times, time.Now())
	status, header, body, err := http.StatusOK, http.Header{}, good, error(nil)
	if f.answer != nil {
		status, header, body, err = f.answer(len(f.seen), r)
	}
	if err != nil {
		return nil, err
	}
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func says(status int, body string) *far {
	return &far{answer: func(int, *http.Request) (int, http.Header, string, error) { return status, nil, body, nil }}
}

func fails(err error) *far {
	return &far{answer: func(int, *http.Request) (int, http.Header, string, error) { return 0, nil, "", err }}
}

func source(f *far) azhost.ManagedIdentity {
	return azhost.ManagedIdentity{Resource: resource, Client: &http.Client{Transport: f}}
}

func wantError(t *testing.T, err error, text string, temporary bool) keyless.Error {
	t.Helper()
	return wantErrorOf(t, err, "managed identity", text, temporary)
}

func wantErrorOf(t *testing.T, err error, op, text string, temporary bool) keyless.Error {
	t.Helper()
	var e *keyless.Error
	if !errors.As(err, &e) || e.Hop != keyless.HopSource || e.Op != op || e.Temporary != temporary {
		t.Errorf("error %v (%T), temporary want %v", err, err, temporary)
		return keyless.Error{}
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("error %q does not say %q", err, text)
	}
	return *e
}

func TestTheRequestIsTheOneThatIMDSWants(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*azhost.ManagedIdentity)
		want   url.Values
		base   string
	}{
		"system-assigned": {func(*azhost.ManagedIdentity) {}, url.Values{}, "http://169.254.169.254"},
		"client id":       {func(m *azhost.ManagedIdentity) { m.ClientID = "c" }, url.Values{"client_id": {"c"}}, "http://169.254.169.254"},
		"object id":       {func(m *azhost.ManagedIdentity) { m.ObjectID = "o" }, url.Values{"object_id": {"o"}}, "http://169.254.169.254"},
		"resource id":     {func(m *azhost.ManagedIdentity) { m.ResourceID = "/a/b&c" }, url.Values{"msi_res_id": {"/a/b&c"}}, "http://169.254.169.254"},
		"a path is kept":  {func(m *azhost.ManagedIdentity) { m.Endpoint = "http://localhost:8080/pod/" }, url.Values{}, "http://localhost:8080/pod"},
	} {
		f := &far{}
		m := source(f)
		c.change(&m)
		token, err := m.Token(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		c.want.Set("resource", resource)
		c.want.Set("api-version", "2018-02-01")
		if got, want := f.seen[0].URL.String(), c.base+"/metadata/identity/oauth2/token?"+c.want.Encode(); got != want {
			t.Errorf("%s: asked %q, want %q", name, got, want)
		}
		if f.seen[0].Method != http.MethodGet || f.seen[0].Header.Get("Metadata") != "true" || len(f.seen) != 1 {
			t.Errorf("%s: %d requests, %v", name, len(f.seen), f.seen[0].Header)
		}
		if life, hint := token.Expiry.Sub(token.Obtained), token.RefreshAt.Sub(token.Obtained); life != 86399*time.Second || hint != 12*time.Hour {
			t.Errorf("%s: lifetime %s, refresh after %s", name, life, hint)
		}
	}
}

func TestMistakesAreSaidBeforeAsking(t *testing.T) {
	for want, change := range map[string]func(*azhost.ManagedIdentity){
		`resource ""`:    func(m *azhost.ManagedIdentity) { m.Resource = "" },
		`resource "a b"`: func(m *azhost.ManagedIdentity) { m.Resource = "a b" },
		"more than one":  func(m *azhost.ManagedIdentity) { m.ClientID, m.ObjectID = "c", "o" },
		"plain http":     func(m *azhost.ManagedIdentity) { m.Endpoint = "http://imds.example" },
		"not a URL":      func(m *azhost.ManagedIdentity) { m.Endpoint = "http://[" },
	} {
		f := &far{}
		m := source(f)
		change(&m)
		if m.Validate() == nil {
			t.Errorf("%s: Validate finds nothing", want)
		}
		_, err := m.Token(t.Context())
		wantError(t, err, want, false)
		if len(f.seen) != 0 {
			t.Errorf("%s: asked all the same", want)
		}
	}
}

func TestWhichAnswersAreWaitedOutAndForHowLong(t *testing.T) {
	for name, c := range map[string]struct {
		status   int
		min, max time.Duration
	}{
		"404": {404, 5 * time.Second, 30 * time.Second},
		"410": {410, 50 * time.Second, 80 * time.Second},
		"429": {429, 5 * time.Second, 30 * time.Second},
		"500": {500, 5 * time.Second, 30 * time.Second},
		"503": {503, 5 * time.Second, 30 * time.Second},
		"400": {400, 0, 0},
		"401": {401, 0, 0},
		"403": {403, 0, 0},
		"405": {405, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				started := time.Now()
				_, err := source(says(c.status, `{"error":"x","error_description":"y"}`)).Token(context.Background()) //nolint:usetesting // without any deadline
				took := time.Since(started)
				wantError(t, err, "managed identity", c.max > 0)
				if took < c.min || took > c.max {
					t.Errorf("took %s, want %s to %s", took, c.min, c.max)
				}
			})
		})
	}
}

func TestAServiceUnderUpdateIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		started := time.Now()
		f := &far{answer: func(int, *http.Request) (int, http.Header, string, error) {
			if time.Since(started) < time.Minute {
				return http.StatusGone, nil, "", nil
			}
			return http.StatusOK, nil, good, nil
		}}
		if _, err := source(f).Token(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestRetryAfterIsObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &far{answer: func(n int, _ *http.Request) (int, http.Header, string, error) {
			if n == 1 {
				return http.StatusTooManyRequests, http.Header{"Retry-After": {"11"}}, "", nil
			}
			return http.StatusOK, nil, good, nil
		}}
		if _, err := source(f).Token(t.Context()); err != nil {
			t.Fatal(err)
		}
		if wait := f.times[1].Sub(f.times[0]); wait != 11*time.Second {
			t.Errorf("waited %s", wait)
		}
	})
}

func TestHintsForWhatPeopleMeet(t *testing.T) {
	for want, c := range map[string]struct {
		status int
		body   string
	}{
		"az vm identity assign": {400, `{"error":"invalid_request","error_description":"Identity not found"}`},
		"choose with client_id": {400, `{"error":"invalid_request","error_description":"Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request"}`},
		"App ID URI; check":     {400, `{"error":"invalid_resource","error_description":"The resource is unknown."}`},
		"character by char":     {400, `{"error":"invalid_resource","error_description":"AADSTS500011: The resource principal named x was not found in the tenant."}`},
		"drops the Metadata":    {400, `{"error":"invalid_request","error_description":"Required metadata header not specified"}`},
		"Docker Desktop":        {403, "connecting to 169.254.169.254:80: connecting to 169.254.169.254:80: dial tcp 169.254.169.254:80: connectex: A socket operation was attempted to an unreachable network."},
		"firewall":              {403, "forbidden"},
		"captive portal":        {200, "<html>log in</html>"},
	} {
		_, err := source(says(c.status, c.body)).Token(t.Context())
		if e := wantError(t, err, "managed identity", false); !strings.Contains(e.Hint, want) {
			t.Errorf("hint %q does not say %q", e.Hint, want)
		}
	}
}

func TestAnAbsentServiceIsFoundOutWithinThreeSeconds(t *testing.T) {
	for name, f := range map[string]*far{
		"refused":     fails(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}),
		"unreachable": fails(&net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}),
		"no network":  fails(&net.OpError{Op: "dial", Err: syscall.ENETUNREACH}),
		"black hole": {answer: func(_ int, r *http.Request) (int, http.Header, string, error) {
			<-r.Context().Done()
			return 0, nil, "", r.Context().Err()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				started := time.Now()
				_, err := source(f).Token(context.Background()) //nolint:usetesting // without any deadline
				if took := time.Since(started); took > 3*time.Second {
					t.Errorf("took %s", took)
				}
				if e := wantError(t, err, "169.254.169.254", true); !strings.Contains(e.Hint, "is this an Azure VM?") || errors.Is(err, context.Canceled) {
					t.Errorf("%v, hint %q", err, e.Hint)
				}
			})
		})
	}
}

// A listener whose queue is never emptied: connections are made, and no answer
// comes. This one needs a real socket.
func TestAServiceThatConnectsButIsSlowIsWaitedFor(t *testing.T) {
	if testing.Short() {
		t.Skip("takes three seconds of real time")
	}
	t.Parallel()
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		select {
		case <-time.After(2700 * time.Millisecond): // longer than an absent one is waited for
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, good)
	}))
	defer server.Close()
	m := azhost.ManagedIdentity{Resource: resource, Endpoint: server.URL}
	if _, err := m.Token(t.Context()); err != nil || requests.Load() != 1 {
		t.Errorf("%d requests, %v", requests.Load(), err)
	}
}

func TestTheDefaultClientKeepsToThisMachine(t *testing.T) {
	m := azhost.ManagedIdentity{Resource: resource, Endpoint: "https://192.0.2.1"}
	_, err := m.Token(t.Context())
	wantError(t, err, "not a loopback or link-local address", false)
}

func TestResourceIsTheScopeWithoutItsEnd(t *testing.T) {
	if azhost.Resource("api://x/.default") != "api://x" || azhost.Resource("api://x/") != "api://x/" {
		t.Error(azhost.Resource("api://x/.default"))
	}
}
