package transport_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/transport"
)

// bearerOf sends to this machine.
func bearerOf(source keyless.TokenSource, next http.RoundTripper) *transport.Bearer {
	return &transport.Bearer{Source: source, Hosts: []string{"127.0.0.1"}, Base: next}
}

// only hides all but Token.
type only struct{ keyless.TokenSource }

func TestTheTokenReplacesEveryAuthorization(t *testing.T) {
	far := newFarSide(t, func(int, http.ResponseWriter, *http.Request) {})
	for _, inPlace := range []bool{false, true} {
		tripper := bearerOf(&issuer{stuck: true}, nil)
		tripper.InPlace = inPlace
		for _, header := range []http.Header{
			nil, {}, {"Authorization": {"Basic x"}}, {"authorization": {"Basic x"}, "AUTHORIZATION": {"Basic y", "Basic z"}}, {"Authorization": {"a", "b"}, "X-Y": {"1", "2"}},
		} {
			r := request(t, http.MethodGet, far.URL, nil)
			r.Header = header
			if err := roundTrip(tripper, r); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, s := range far.all() {
		if len(s.authorization) != 1 || s.authorization[0] != "Bearer "+tokenNo(1) {
			t.Errorf("arrived: %q", s.authorization)
		}
	}
	if last := far.all()[len(far.all())-1]; strings.Join(last.header["X-Y"], ",") != "1,2" {
		t.Errorf("the other headers: %v", last.header)
	}
}

// unauthorized refuses the first tokens, the given number of them.
func unauthorized(first int, challenge string) func(int, http.ResponseWriter, *http.Request) {
	return func(_ int, w http.ResponseWriter, r *http.Request) {
		for n := 1; n <= first; n++ {
			if r.Header.Get("Authorization") == "Bearer "+tokenNo(n) {
				w.Header().Set("WWW-Authenticate", challenge)
				w.WriteHeader(http.StatusUnauthorized)
				fmt.Fprint(w, "refused")
				return
			}
		}
		fmt.Fprint(w, "welcome")
	}
}

// unread has a length, but no GetBody.
func unread(r *http.Request, content string, length int64) {
	r.Body, r.ContentLength, r.GetBody = io.NopCloser(strings.NewReader(content)), length, nil
}

func TestARefusedTokenIsReplacedOnce(t *testing.T) {
	short, long := strings.Repeat("s", 64<<10), strings.Repeat("l", 64<<10+1)
	for name, c := range map[string]struct {
		prepare func(*http.Request)
		status  int
		body    string // that arrives, each time
		arrives int
	}{
		"no body":                  {func(*http.Request) {}, 200, "", 2},
		"an empty body":            {func(r *http.Request) { r.Body = http.NoBody }, 200, "", 2},
		"GetBody":                  {func(r *http.Request) { withGetBody(r, long) }, 200, long, 2},
		"a short body":             {func(r *http.Request) { unread(r, short, int64(len(short))) }, 200, short, 2},
		"a long body":              {func(r *http.Request) { unread(r, long, int64(len(long))) }, 503, long, 1},
		"a body of unknown length": {func(r *http.Request) { unread(r, "x", -1) }, 503, "x", 1},
		"the same, said otherwise": {func(r *http.Request) { unread(r, "x", 0) }, 503, "x", 1},
		"a GetBody that fails": {func(r *http.Request) {
			unread(r, "x", 1)
			r.GetBody = func() (io.ReadCloser, error) { return nil, errors.New(canary) }
		}, 503, "x", 1},
	} {
		for _, inPlace := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, in place %v", name, inPlace), func(t *testing.T) {
				far, source := newFarSide(t, unauthorized(1, "Bearer")), &issuer{}
				tripper := bearerOf(keyless.Cached(source), nil)
				tripper.InPlace = inPlace
				r := request(t, http.MethodPost, far.URL, nil)
				c.prepare(r)
				got, err := ask(t, tripper, r)
				if err != nil || got.status != c.status || got.request != r || source.count() != 2 {
					t.Fatalf("%+v, %v, asked %d times", got, err, source.count())
				}
				if c.status == 503 && (got.header.Get("Retry-After") != "1" || !strings.Contains(got.content, "body") || int64(len(got.content)) != got.length || strings.Contains(got.content, canary)) {
					t.Errorf("%+v", got)
				}
				arrived(t, far, c.arrives, c.body)
				if err := roundTrip(tripper, request(t, http.MethodGet, far.URL, nil)); err != nil || source.count() != 2 {
					t.Errorf("the next request: %v, asked %d times", err, source.count())
				}
			})
		}
	}
}

func withGetBody(r *http.Request, content string) {
	unread(r, content, int64(len(content)))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }
}

func arrived(t *testing.T, far *farSide, times int, body string) {
	t.Helper()
	all := far.all()
	if len(all) != times {
		t.Fatalf("%d requests arrived, want %d", len(all), times)
	}
	for n, s := range all {
		if s.body != body || s.authorization[0] != "Bearer "+tokenNo(n+1) {
			t.Errorf("request %d: %d bytes with %q, want %d", n, len(s.body), s.authorization, len(body))
		}
	}
}

func TestA401ThatNothingCanMendComesAsItWas(t *testing.T) {
	const challenge = `Bearer realm="x", error="invalid_token"`
	for name, c := range map[string]struct {
		source  func(*issuer) keyless.TokenSource
		fails   error
		stuck   bool
		refuses int
		arrives int
	}{
		"the same token again":   {func(i *issuer) keyless.TokenSource { return i }, nil, true, 1, 1},
		"no other token":         {func(i *issuer) keyless.TokenSource { return keyless.Cached(i) }, errors.New("down"), false, 1, 1},
		"a source without that":  {func(i *issuer) keyless.TokenSource { return only{i} }, nil, false, 9, 1},
		"the other is no better": {func(i *issuer) keyless.TokenSource { return keyless.Cached(i) }, nil, false, 9, 2},
	} {
		t.Run(name, func(t *testing.T) {
			i := &issuer{stuck: c.stuck}
			far := newFarSide(t, func(n int, w http.ResponseWriter, r *http.Request) {
				i.fail(c.fails)
				unauthorized(c.refuses, challenge)(n, w, r)
			})
			r := request(t, http.MethodPost, far.URL, strings.NewReader("x"))
			got, err := ask(t, bearerOf(c.source(i), nil), r)
			if err != nil || got.status != http.StatusUnauthorized || got.content != "refused" || got.header.Get("WWW-Authenticate") != challenge || len(far.all()) != c.arrives {
				t.Errorf("%+v, %v after %d requests", got, err, len(far.all()))
			}
		})
	}
}

func TestOnlyA401IsAnsweredWithAnotherToken(t *testing.T) {
	for _, status := range []int{200, 204, 301, 400, 403, 407, 429, 500, 503} {
		source := &issuer{}
		next := base(func(r *http.Request) (*http.Response, error) { return answerOf(r, status, "x"), nil })
		got, err := ask(t, bearerOf(source, next), request(t, http.MethodGet, "http://127.0.0.1/", nil))
		if err != nil || got.status != status || got.content != "x" || source.asked != 1 {
			t.Errorf("%d: %v, asked %d times", status, err, source.asked)
		}
	}
}

func TestAClaimsChallengeReachesTheSource(t *testing.T) {
	const claims = `{"access_token":{"nbf":{"essential":true,"value":"1700000000"}}}`
	encoded := base64.StdEncoding.EncodeToString([]byte(claims))
	for challenge, want := range map[string]string{
		`Bearer realm="", error="insufficient_claims", claims="` + encoded + `"`: claims,
		`Bearer realm="", error="invalid_token", claims="` + encoded + `"`:       "",
	} {
		far, source := newFarSide(t, unauthorized(1, challenge)), &issuer{}
		if err := roundTrip(bearerOf(keyless.Cached(source), nil), request(t, http.MethodGet, far.URL, nil)); err != nil {
			t.Fatal(err)
		}
		if len(source.claims) != 2 || source.claims[1] != want {
			t.Errorf("%s: asked with %q, want %q", challenge, source.claims, want)
		}
	}
}

func TestATokenThatIsStillGoodIsUsedWhileTheSourceIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &issuer{}
		var last string
		tripper := bearerOf(keyless.Cached(source), base(func(r *http.Request) (*http.Response, error) {
			last = r.Header.Get("Authorization")
			return answerOf(r, http.StatusOK, ""), nil
		}))
		send := func() error { return roundTrip(tripper, request(t, http.MethodGet, "http://127.0.0.1/", nil)) }
		if err := send(); err != nil {
			t.Fatal(err)
		}
		source.fail(&keyless.Error{Hop: keyless.HopSource, Message: "down", Temporary: true})
		for range 59 {
			time.Sleep(time.Minute)
			if err := send(); err != nil || last != "Bearer "+tokenNo(1) {
				t.Fatalf("%v, sent %q", err, last)
			}
		}
		if source.count() < 3 {
			t.Errorf("the source was asked %d times: it was not down", source.count())
		}
		time.Sleep(2 * time.Minute)
		refusedOn(t, send(), keyless.HopSource)
		source.fail(nil)
		time.Sleep(2 * time.Minute)
		if err := send(); err != nil || last == "Bearer "+tokenNo(1) {
			t.Errorf("%v, sent %q", err, last)
		}
	})
}

func TestEachTokenIsSentAsItself(t *testing.T) {
	current, got := keyless.Secret{}, ""
	tripper := bearerOf(keyless.TokenSourceFunc(func(context.Context) (keyless.Token, error) { return keyless.Token{Value: current}, nil }),
		base(func(r *http.Request) (*http.Response, error) {
			got = r.Header.Get("Authorization")
			return answerOf(r, http.StatusOK, ""), nil
		}))
	a, b := keyless.NewSecret("a"), keyless.NewSecret("b")
	for _, current = range []keyless.Secret{a, a, b, a, b, keyless.NewSecret("b"), keyless.NewSecret("c")} {
		if err := roundTrip(tripper, request(t, http.MethodGet, "http://127.0.0.1/", nil)); err != nil || got != "Bearer "+current.Reveal() {
			t.Errorf("sent %q for %q (%v)", got, current.Reveal(), err)
		}
	}
}

func TestATokenThatNoHeaderCanHaveIsRefused(t *testing.T) {
	for value, good := range map[string]bool{
		"eyJ.eyJ.sig": true, "A-Za_z0~9+/==": true, "a:b;c": true,
		"": false, canary + "\r\nX-Evil: 1": false, canary + " x": false, canary + "\x00": false, canary + "ü": false, canary + "\x7f": false,
	} {
		source := keyless.TokenSourceFunc(func(context.Context) (keyless.Token, error) {
			return keyless.Token{Value: keyless.NewSecret(value)}, nil
		})
		err := roundTrip(bearerOf(source, ok()), request(t, http.MethodGet, "http://127.0.0.1/", nil))
		if good {
			if err != nil {
				t.Errorf("%q: %v", value, err)
			}
			continue
		}
		refusedOn(t, err, keyless.HopSource)
	}
	refusedOn(t, roundTrip(bearerOf(nil, ok()), request(t, http.MethodGet, "http://127.0.0.1/", nil)), keyless.HopDelivery)
}

func TestManyRefusalsAreOneRequestForAToken(t *testing.T) {
	source := &issuer{}
	far := newFarSide(t, unauthorized(1, "Bearer"))
	tripper := bearerOf(keyless.Cached(source), nil)
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			got, err := ask(t, tripper, request(t, http.MethodPost, far.URL, strings.NewReader("x")))
			if err != nil || got.status != http.StatusOK || got.content != "welcome" {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	all.Wait()
	if source.count() != 2 {
		t.Errorf("asked %d times, want 2", source.count())
	}
}

// TestNothingOfTheTokenIsToBeSeen looks at all that a program may print.
func TestNothingOfTheTokenIsToBeSeen(t *testing.T) {
	far := newFarSide(t, unauthorized(9, "Bearer"))
	r := request(t, http.MethodPost, far.URL, strings.NewReader("x"))
	bearer := bearerOf(keyless.Cached(&issuer{}), nil)
	answer, err := bearer.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	signing := &transport.SigV4{Provider: &vault{}, Region: "eu-west-1", Service: "execute-api", Hosts: []string{"127.0.0.1"}}
	if err := roundTrip(signing, request(t, http.MethodPost, far.URL, strings.NewReader("x"))); err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{bearer, signing, r.Header, answer.Request.Header, answer.Header} {
		printed := fmt.Sprintf("%v %+v %#v", v, v, v)
		asJSON, err := json.Marshal(v)
		if err == nil {
			printed += string(asJSON)
		}
		if strings.Contains(printed, canary) || strings.Contains(printed, "Signature=") {
			t.Errorf("%T: %s", v, printed)
		}
	}
}
