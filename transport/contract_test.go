package transport_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/transport"
)

// makers make each kind of RoundTripper over next. Fails is what its source says, or nil.
func makers() map[string]func(next http.RoundTripper, fails error) http.RoundTripper {
	bearer := func(inPlace bool) func(http.RoundTripper, error) http.RoundTripper {
		return func(next http.RoundTripper, fails error) http.RoundTripper {
			return &transport.Bearer{Source: &issuer{err: fails}, Hosts: []string{"127.0.0.1"}, Base: next, InPlace: inPlace}
		}
	}
	signing := func(unsigned bool) func(http.RoundTripper, error) http.RoundTripper {
		return func(next http.RoundTripper, fails error) http.RoundTripper {
			return &transport.SigV4{
				Provider: &vault{err: fails}, Region: "eu-west-1", Service: "s3", Hosts: []string{"127.0.0.1"}, Base: next, UnsignedPayload: unsigned,
			}
		}
	}
	return map[string]func(http.RoundTripper, error) http.RoundTripper{
		"bearer": bearer(false), "bearer in place": bearer(true), "sigv4": signing(false), "sigv4, payload unsigned": signing(true),
	}
}

// refusing says to the first request that its credentials are out of date.
func refusing(bodies *[]string) base {
	return func(r *http.Request) (*http.Response, error) {
		*bodies = append(*bodies, consumed(r))
		if len(*bodies) > 1 {
			return answerOf(r, http.StatusOK, ""), nil
		}
		if strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
			return answerOf(r, http.StatusUnauthorized, ""), nil
		}
		return answerOf(r, http.StatusBadRequest, "<Error><Code>ExpiredToken</Code></Error>"), nil
	}
}

func TestTheBodyIsClosedOnce(t *testing.T) {
	down := errors.New("down")
	var bodies []string
	for kind, make := range makers() {
		for name, c := range map[string]struct {
			next    http.RoundTripper
			fails   error
			address string
			broken  error
			failing bool
		}{
			"it goes through":     {next: ok()},
			"it is refused once":  {next: refusing(&bodies)},
			"the host is foreign": {next: ok(), address: "http://127.0.0.2/", failing: true},
			"the source fails":    {next: ok(), fails: down, failing: true},
			"the base fails": {next: base(func(r *http.Request) (*http.Response, error) {
				consumed(r)
				return nil, down
			}), failing: true},
			"the body fails": {next: base(func(r *http.Request) (*http.Response, error) {
				_, err := io.ReadAll(r.Body)
				_ = r.Body.Close()
				return nil, err
			}), broken: down, failing: true},
		} {
			for _, length := range []int64{5, 0, -1, 1 << 20} {
				bodies = nil
				b := newBody("hello")
				b.err = c.broken
				address := c.address
				if address == "" {
					address = "http://127.0.0.1/"
				}
				r := request(t, http.MethodPost, address, nil)
				r.Body, r.ContentLength = b, length
				err := roundTrip(make(c.next, c.fails), r)
				if (err != nil) != c.failing || b.closed.Load() != 1 {
					t.Errorf("%s, %s, length %d: closed %d times, %v", kind, name, length, b.closed.Load(), err)
				}
				if (c.fails != nil || c.broken != nil) && !errors.Is(err, down) {
					t.Errorf("%s, %s: %v, want the error itself", kind, name, err)
				}
			}
		}
	}
}

// snapshot is what a request looks like, without what cannot be compared.
func snapshot(r *http.Request) *http.Request {
	c := r.Clone(r.Context())
	c.Body, c.GetBody = nil, nil
	return c
}

func TestTheRequestIsLeftAsItWas(t *testing.T) {
	for kind, make := range makers() {
		if kind == "bearer in place" {
			continue
		}
		for name, header := range map[string]http.Header{
			"none": nil, "empty": {}, "many": {"Authorization": {"mine"}, "X-Amz-Date": {"never"}, "X-A": append(make10("a"), "b"), "Content-Type": {"text/plain"}, "User-Agent": nil},
		} {
			var bodies []string
			r := request(t, http.MethodPut, "http://127.0.0.1:80/a b/%2F?z=1&a=x%20y&a=w#f", strings.NewReader("hello"))
			r.Header, r.TransferEncoding, r.Trailer = header, []string{"chunked"}, http.Header{"X-T": {"1"}}
			before, body := snapshot(r), r.Body
			if err := roundTrip(make(meddling(refusing(&bodies)), nil), r); err != nil || len(bodies) != 2 {
				t.Fatalf("%s: %v, %q", kind, err, bodies)
			}
			if after := snapshot(r); !reflect.DeepEqual(before, after) || r.Body != body {
				t.Errorf("%s, %s:\nbefore %+v\nafter  %+v", kind, name, before, after)
			}
			if spare := header["X-A"]; len(spare) > 0 && spare[:cap(spare)][len(spare)] == "added" {
				t.Errorf("%s: a value was written behind the caller's", kind)
			}
		}
	}
}

// In place means the header: the rest of the request is left alone there too.
func TestInPlaceChangesTheHeaderOnly(t *testing.T) {
	var bodies []string
	r := request(t, http.MethodPut, "http://127.0.0.1/x", nil)
	unread(r, "hello", 5)
	r.Header.Set("X-A", "a")
	before, body := snapshot(r), r.Body
	before.Header.Set("Authorization", "Bearer "+tokenNo(1))
	if err := roundTrip(makers()["bearer in place"](refusing(&bodies), nil), r); err != nil || len(bodies) != 2 {
		t.Fatalf("%v, %q", err, bodies)
	}
	if after := snapshot(r); !reflect.DeepEqual(before, after) || r.Body != body {
		t.Errorf("want  %+v\nafter %+v", before, after)
	}
}

func make10(value string) []string { return append(make([]string, 0, 10), value) }

// meddling adds to the header that it gets, as a RoundTripper further down may.
func meddling(next http.RoundTripper) base {
	return func(r *http.Request) (*http.Response, error) {
		r.Header.Add("X-A", "added")
		r.Header.Add("Authorization", "added")
		r.Header.Set("Authorization", strings.TrimSuffix(r.Header.Get("Authorization"), "added"))
		return next.RoundTrip(r)
	}
}

func TestTheReplayedBodyIsTheSame(t *testing.T) {
	const content = "the whole body"
	for kind, make := range makers() {
		for name, prepare := range map[string]func(r *http.Request, got *int){
			"GetBody": func(r *http.Request, got *int) {
				r.Body, r.ContentLength = io.NopCloser(strings.NewReader(content)), int64(len(content))
				r.GetBody = func() (io.ReadCloser, error) {
					*got++
					return io.NopCloser(strings.NewReader(content)), nil
				}
			},
			"a short body": func(r *http.Request, _ *int) { unread(r, content, int64(len(content))) },
		} {
			var bodies []string
			got := 0
			r := request(t, http.MethodPost, "http://127.0.0.1/", nil)
			prepare(r, &got)
			if err := roundTrip(make(refusing(&bodies), nil), r); err != nil || len(bodies) != 2 || bodies[0] != content || bodies[1] != content {
				t.Errorf("%s, %s: %q, %v", kind, name, bodies, err)
			}
			want := map[string]int{"bearer": 1, "bearer in place": 1, "sigv4": 2, "sigv4, payload unsigned": 1}[kind] // one to hash
			if name == "GetBody" && got != want {
				t.Errorf("%s: GetBody was called %d times, want %d", kind, got, want)
			}
		}
	}
}

func TestWithoutARefusalGetBodyIsLeftAlone(t *testing.T) {
	r := request(t, http.MethodPost, "http://127.0.0.1/", strings.NewReader("x"))
	r.GetBody = func() (io.ReadCloser, error) {
		t.Error("called")
		return http.NoBody, nil
	}
	if err := roundTrip(bearerOf(&issuer{}, ok()), r); err != nil {
		t.Error(err)
	}
}

// The first answer's connection is free for the replay, however long its page is.
func TestTheRefusalIsReadAndClosedBeforeTheReplay(t *testing.T) {
	for kind, make := range makers() {
		page, sent := newBody("<Code>ExpiredToken</Code>"+strings.Repeat("x", 1<<20)), 0
		tripper := make(base(func(r *http.Request) (*http.Response, error) {
			consumed(r)
			if sent++; sent == 1 {
				status := map[bool]int{true: http.StatusUnauthorized, false: http.StatusForbidden}[strings.HasPrefix(kind, "bearer")]
				answer := answerOf(r, status, "")
				answer.Body = page
				return answer, nil
			}
			if left, _ := io.ReadAll(page.Reader); page.closed.Load() != 1 || len(left) < 1<<20-68<<10 || len(left) > 1<<20-60<<10 {
				t.Errorf("%s: closed %d times with %d bytes left", kind, page.closed.Load(), len(left))
			}
			return answerOf(r, http.StatusOK, ""), nil
		}), nil)
		if err := roundTrip(tripper, request(t, http.MethodGet, "http://127.0.0.1/", nil)); err != nil || sent != 2 || page.closed.Load() != 1 {
			t.Errorf("%s: %v after %d, closed %d times", kind, err, sent, page.closed.Load())
		}
	}
}

// One body after the other fails: the second try's failure is the answer.
func TestAReplayThatFailsIsAnError(t *testing.T) {
	for kind, make := range makers() {
		var bodies []string
		first := refusing(&bodies)
		down := errors.New("down")
		err := roundTrip(make(base(func(r *http.Request) (*http.Response, error) {
			if len(bodies) == 1 {
				consumed(r)
				return nil, down
			}
			return first(r)
		}), nil), request(t, http.MethodPost, "http://127.0.0.1/", strings.NewReader("x")))
		if !errors.Is(err, down) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestManyGoroutinesUseOne(t *testing.T) {
	far := newFarSide(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-N") == "" || r.Header.Get("Authorization") == "" {
			w.WriteHeader(http.StatusTeapot)
		}
	})
	for kind, make := range makers() {
		tripper := make(nil, nil)
		var all sync.WaitGroup
		var good atomic.Int64
		for n := range 64 {
			all.Go(func() {
				content := fmt.Sprintf("body %d", n)
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, far.URL+"/?n="+url.QueryEscape(content), strings.NewReader(content))
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("X-N", content)
				answer, err := tripper.RoundTrip(r)
				if err != nil || answer.StatusCode != http.StatusOK {
					t.Errorf("%s: %v %v", kind, answer, err)
					return
				}
				_ = answer.Body.Close()
				good.Add(1)
			})
		}
		all.Wait()
		if good.Load() != 64 {
			t.Errorf("%s: %d of 64", kind, good.Load())
		}
	}
	for _, s := range far.all() {
		if s.body != s.header.Get("X-N") {
			t.Errorf("body %q of request %q", s.body, s.header.Get("X-N"))
		}
	}
}

// What a Cached source says about a source that is down is what the caller gets.
func TestTheSourcesErrorComesAsItIs(t *testing.T) {
	cause := &keyless.Error{Hop: keyless.HopSource, Op: "token", Code: "AADSTS7000215", Hint: "h"}
	for kind, make := range makers() {
		err := roundTrip(make(ok(), cause), request(t, http.MethodGet, "http://127.0.0.1/", nil))
		var e *keyless.Error
		if !errors.As(err, &e) || e != cause {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
