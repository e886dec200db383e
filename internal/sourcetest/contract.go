package sourcetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	keyless "github.com/keyless-id/keyless"
)

// Far is where a source is to ask: either field may be zero, and then the source
// uses its own default.
type Far struct {
	Client  *http.Client
	Address string // scheme, host and port
}

// Contract says how to make the source and what is particular about it.
type Contract struct {
	New func(Far) keyless.TokenSource
	// Secrets are values that the source proves itself with. They may be in the
	// body or in a header of its requests, and nowhere else. Text of letters and
	// digits in them shows up in errors however the rest is encoded.
	Secrets []string
	// Answer is the far side in good order; nil: it answers every request with an
	// access token as Entra does.
	Answer http.Handler
	// Cold is the number of requests for the first token; zero: one.
	Cold int
	// Challenge answers requests without an Authorization header, which count for
	// nothing else; nil: the far side asks for no such thing.
	Challenge http.Handler
	// Refused is the number of requests for a refusal that stays; zero: as Cold.
	Refused int
	// Local says that the far side is this machine or its link: never to be asked
	// through a proxy, while others are when the environment says so.
	Local bool
}

// canary is the token that the far side hands out. It must not show up in errors.
const canary = "canary-access-token-0123456789abcdef"

func goodAnswer() string {
	return fmt.Sprintf(`{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"access_token":%q}`, canary)
}

// Run tests the contract. It is the whole of a top-level test.
func Run(t *testing.T, c Contract) {
	t.Helper()
	c.proxy(t)
	tests := map[string]func(*testing.T){
		"a cold token takes one request":             c.cold,
		"no secret is in an address":                 c.address,
		"a canceled caller leaves at once":           c.canceled,
		"a caller's deadline holds on silence":       c.deadlineOnSilence,
		"a caller's deadline holds while retrying":   c.deadlineOnFailure,
		"a context that has ended asks nobody twice": c.ended,
		"redirects are not followed":                 c.redirect,
		"an endless answer is not read to its end":   c.bounded,
		"fifty callers at once":                      c.crowd,
		"a hundred cold callers cost one":            c.coldCrowd,
		"an outage in mid-token costs no call":       c.outage,
		"one failure after another passes":           c.recovers,
		"Retry-After is obeyed":                      c.retryAfter,
		"a long Retry-After is not waited for":       c.longRetryAfter,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}
	c.failures(t)
}

// far is the far side as the source is to see it.
func (c Contract) far(f *farSide) Far {
	if c.Challenge == nil {
		return Far{Client: &http.Client{Transport: f}}
	}
	return Far{Client: &http.Client{Transport: &challenger{c.Challenge, f}}}
}

// good is the far side in good order.
func (c Contract) good() *farSide {
	if c.Answer == nil {
		return always(http.StatusOK, "application/json; charset=utf-8", goodAnswer())
	}
	return &farSide{answer: func(r *http.Request, seen request) (*http.Response, error) { return serve(c.Answer, r, seen.body), nil }}
}

func (c Contract) cold(t *testing.T) {
	t.Helper()
	far, want := c.good(), max(c.Cold, 1)
	token, err := c.New(c.far(far)).Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := len(far.seen()); got != want {
		t.Errorf("%d requests for a cold token, want %d", got, want)
	}
	if token.Value.IsZero() || !token.Expiry.After(time.Now()) || !token.Obtained.Equal(time.Now()) {
		t.Errorf("token: empty %v, expiry %v, obtained %v at %v", token.Value.IsZero(), token.Expiry, token.Obtained, time.Now())
	}
}

func (c Contract) address(t *testing.T) {
	t.Helper()
	far := c.good()
	if _, err := c.New(c.far(far)).Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, request := range far.seen() {
		for _, secret := range c.Secrets {
			if strings.Contains(request.url, secret) {
				t.Errorf("the secret %q is in the address %s", secret, request.url)
			}
		}
	}
}

func (c Contract) canceled(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(300*time.Millisecond, cancel)
	started := time.Now()
	_, err := c.New(c.far(silent())).Token(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want one that wraps context.Canceled", err)
	}
	if took := time.Since(started); took > 300*time.Millisecond {
		t.Errorf("left after %s, want 300ms", took)
	}
}

func (c Contract) deadlineOnSilence(t *testing.T) {
	t.Helper()
	err := c.withDeadline(t, silent(), 700*time.Millisecond)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want one that wraps context.DeadlineExceeded", err)
	}
}

// deadlineOnFailure wants the far side's words, not that time ran out.
func (c Contract) deadlineOnFailure(t *testing.T) {
	t.Helper()
	err := c.withDeadline(t, always(http.StatusServiceUnavailable, "text/plain", "down"), 700*time.Millisecond)
	var e *keyless.Error
	if !errors.As(err, &e) || !e.Temporary || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the last answer", err)
	}
}

func (c Contract) withDeadline(t *testing.T, far *farSide, limit time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	started := time.Now()
	_, err := c.New(c.far(far)).Token(ctx)
	if took := time.Since(started); took > limit {
		t.Errorf("returned after %s with a deadline of %s", took, limit)
	}
	return err
}

func (c Contract) ended(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	far := silent()
	if _, err := c.New(c.far(far)).Token(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want one that wraps context.Canceled", err)
	}
	if got := len(far.seen()); got > 1 {
		t.Errorf("%d requests", got)
	}
}

func (c Contract) redirect(t *testing.T) {
	t.Helper()
	for _, status := range []int{301, 302, 303, 307, 308} {
		far := &farSide{answer: func(r *http.Request, _ request) (*http.Response, error) {
			response := reply(r, status, "text/html", "moved")
			response.Header.Set("Location", "https://elsewhere.example/token")
			return response, nil
		}}
		_, err := c.New(c.far(far)).Token(t.Context())
		c.check(t, err)
		for _, request := range far.seen() {
			if request.host == "elsewhere.example" {
				t.Errorf("%d: the redirect was followed", status)
			}
		}
	}
}

func (c Contract) bounded(t *testing.T) {
	t.Helper()
	const most = 4 << 20
	body := &endless{}
	far := &farSide{answer: func(r *http.Request, _ request) (*http.Response, error) {
		response := reply(r, http.StatusOK, "application/json", "")
		response.Body, response.ContentLength = body, -1
		return response, nil
	}}
	_, err := c.New(c.far(far)).Token(t.Context())
	c.check(t, err)
	if tries := len(far.seen()); body.total() > tries*most {
		t.Errorf("read %d bytes in %d requests", body.total(), tries)
	}
}

func (c Contract) crowd(t *testing.T) {
	t.Helper()
	source := c.New(c.far(c.good()))
	errs := make(chan error, 50)
	for range cap(errs) {
		go func() {
			_, err := source.Token(t.Context())
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// recovers demands that one bad answer costs a wait and no more.
func (c Contract) recovers(t *testing.T) {
	t.Helper()
	good, tries := c.good(), 0
	far := &farSide{answer: func(r *http.Request, seen request) (*http.Response, error) {
		if tries++; tries == 1 {
			return reply(r, http.StatusServiceUnavailable, "text/plain", "down"), nil
		}
		return good.answer(r, seen)
	}}
	if _, err := c.New(c.far(far)).Token(t.Context()); err != nil {
		t.Error(err)
	}
}

func throttled(seconds string) *farSide {
	return &farSide{answer: func(r *http.Request, _ request) (*http.Response, error) {
		response := reply(r, http.StatusTooManyRequests, "application/json", failure("temporarily_unavailable", "slow down"))
		response.Header.Set("Retry-After", seconds)
		return response, nil
	}}
}

func (c Contract) retryAfter(t *testing.T) {
	t.Helper()
	far := throttled("7")
	_, err := c.New(c.far(far)).Token(t.Context())
	if e := c.check(t, err); e.RetryAfter != 7*time.Second || !e.Temporary {
		t.Errorf("RetryAfter %s, Temporary %v", e.RetryAfter, e.Temporary)
	}
	seen := far.seen()
	for i := 1; i < len(seen); i++ {
		if wait := seen[i].at.Sub(seen[i-1].at); wait < 7*time.Second {
			t.Errorf("asked again after %s, want 7s", wait)
		}
	}
}

func (c Contract) longRetryAfter(t *testing.T) {
	t.Helper()
	err := c.withDeadline(t, throttled("20"), 5*time.Second)
	if e := c.check(t, err); e.RetryAfter != 20*time.Second {
		t.Errorf("RetryAfter %s, want 20s", e.RetryAfter)
	}
	started := time.Now()
	_, err = c.New(c.far(throttled("3600"))).Token(t.Context())
	if e := c.check(t, err); e.RetryAfter != time.Hour || time.Since(started) > 2*time.Minute {
		t.Errorf("RetryAfter %s, want 1h; returned after %s", e.RetryAfter, time.Since(started))
	}
}

// check demands a typed error with hop and hint, and without secrets.
func (c Contract) check(t *testing.T, err error) keyless.Error {
	t.Helper()
	var e *keyless.Error
	if !errors.As(err, &e) {
		t.Errorf("error %v (%T), want a *keyless.Error", err, err)
		return keyless.Error{}
	}
	if e.Hop != keyless.HopSource || e.Op == "" || e.Hint == "" {
		t.Errorf("hop %q, op %q, hint %q of %v", e.Hop, e.Op, e.Hint, err)
	}
	encoded, _ := json.Marshal(e) //nolint:errchkjson // what does not encode does not leak
	text := fmt.Sprintf("%v\n%+v\n%#v\n%s\n%s", err, *e, *e, e.Hint, encoded)
	for _, secret := range append([]string{canary}, c.Secrets...) {
		if strings.Contains(text, secret) {
			t.Errorf("the secret %q is in the error: %s", secret, text)
		}
	}
	if strings.ContainsAny(err.Error()+e.Hint, "\r\n\x1b") {
		t.Errorf("more than one line, or control characters: %q", err.Error())
	}
	return *e
}
