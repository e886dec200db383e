package transport_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	keyless "github.com/keyless-id/keyless"
)

// canary is in every token, key and password of these tests, and must be in no error.
const canary = "hunter2"

// issuer hands out numbered tokens, until it is told to fail.
type issuer struct {
	mu     sync.Mutex
	asked  int
	claims []string
	err    error
	stuck  bool // hands out the same token again
}

func (i *issuer) Token(ctx context.Context) (keyless.Token, error) {
	return i.Refresh(ctx, keyless.Token{}, "")
}

func (i *issuer) Refresh(_ context.Context, _ keyless.Token, claims string) (keyless.Token, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked++
	i.claims = append(i.claims, claims)
	if i.err != nil {
		return keyless.Token{}, i.err
	}
	n := i.asked
	if i.stuck {
		n = 1
	}
	now := time.Now()
	return keyless.Token{Value: keyless.NewSecret(tokenNo(n)), Obtained: now, Expiry: now.Add(time.Hour)}, nil
}

func (i *issuer) fail(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.err = err
}

func (i *issuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked
}

func tokenNo(n int) string { return fmt.Sprintf("%s.%d", canary, n) }

// vault hands out numbered credentials, and others when they are refused.
type vault struct {
	asked   atomic.Int64
	renewed atomic.Int64
	err     error
	broken  error // of Renew
}

func (v *vault) Credentials(context.Context) (keyless.Credentials, error) {
	v.asked.Add(1)
	return v.no(1 + v.renewed.Load()), v.err
}

func (v *vault) Renew(context.Context, keyless.Credentials) (keyless.Credentials, error) {
	return v.no(1 + v.renewed.Add(1)), v.broken
}

func (v *vault) no(n int64) keyless.Credentials {
	return keyless.Credentials{
		AccessKeyID: fmt.Sprintf("AKID%d", n), SecretAccessKey: keyless.NewSecret(fmt.Sprintf("%s+key%d", canary, n)),
		SessionToken: keyless.NewSecret(fmt.Sprintf("%s+session%d", canary, n)), Expiry: time.Now().Add(time.Hour),
	}
}

// base is a function as a RoundTripper.
type base func(*http.Request) (*http.Response, error)

func (b base) RoundTrip(r *http.Request) (*http.Response, error) { return b(r) }

// body counts how often it is closed.
type body struct {
	io.Reader
	closed atomic.Int64
	err    error // at its end
}

func newBody(text string) *body { return &body{Reader: strings.NewReader(text)} }

func (b *body) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) && b.err != nil {
		return n, b.err
	}
	return n, err
}

func (b *body) Close() error {
	b.closed.Add(1)
	return nil
}

func request(t *testing.T, method, address string, content io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, content)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// seen is what arrived at a far side.
type seen struct {
	authorization []string
	header        http.Header
	body          string
	length        int64
}

// farSide notes what arrives, and answers with what answer says for the nth request.
type farSide struct {
	*httptest.Server
	mu   sync.Mutex
	seen []seen
}

func newFarSide(t *testing.T, answer func(n int, w http.ResponseWriter, r *http.Request)) *farSide {
	t.Helper()
	f := &farSide{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("far side: %v", err)
		}
		f.mu.Lock()
		f.seen = append(f.seen, seen{r.Header.Values("Authorization"), r.Header, string(content), r.ContentLength})
		n := len(f.seen)
		f.mu.Unlock()
		answer(n, w, r)
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *farSide) all() []seen {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen
}

// answerOf is what a RoundTripper without a network returns.
func answerOf(r *http.Request, status int, content string) *http.Response {
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(content)), ContentLength: int64(len(content)), Request: r,
	}
}

// consumed reads and closes the request's body, as a transport does.
func consumed(r *http.Request) string {
	if r.Body == nil {
		return ""
	}
	var b bytes.Buffer
	_, _ = io.Copy(&b, r.Body)
	_ = r.Body.Close()
	return b.String()
}

// reply is an answer, read whole.
type reply struct {
	status  int
	header  http.Header
	content string
	length  int64
	request *http.Request
}

func ask(t *testing.T, tripper http.RoundTripper, r *http.Request) (reply, error) {
	t.Helper()
	answer, err := tripper.RoundTrip(r)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = answer.Body.Close() }()
	content, err := io.ReadAll(answer.Body)
	return reply{answer.StatusCode, answer.Header, string(content), answer.ContentLength, answer.Request}, err
}

// refusedOn checks that err is keyless's own, of that hop, and does not give anything away.
func refusedOn(t *testing.T, err error, hop keyless.Hop, words ...string) {
	t.Helper()
	var e *keyless.Error
	if !errors.As(err, &e) || e.Hop != hop {
		t.Errorf("err = %#v, want a keyless.Error of the hop %s", err, hop)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("err = %v, want it to name %q", err, word)
		}
	}
	if everything := fmt.Sprintf("%v %+v %#v %s", err, err, *e, e.Hint); strings.Contains(everything, canary) {
		t.Errorf("a secret in %s", everything)
	}
}
