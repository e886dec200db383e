package authproxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/authproxy"
	"github.com/keyless-id/keyless/transport"
)

// streaming is an upstream that is the test's own, and reads when it likes.
func streaming(t *testing.T, answer http.HandlerFunc) *upstream {
	t.Helper()
	u := &upstream{Server: httptest.NewTLSServer(answer)}
	t.Cleanup(u.Close)
	return u
}

// signed is a route to the upstream with a signature.
func (u *upstream) signed(t *testing.T, path string, maxBuffer int64) *authproxy.Route {
	t.Helper()
	provider := keyless.CredentialsProviderFunc(func(context.Context) (keyless.Credentials, error) {
		return keyless.Credentials{AccessKeyID: "AKID", SecretAccessKey: keyless.NewSecret(canary), SessionToken: keyless.NewSecret(canary + "s"), Expiry: time.Now().Add(time.Hour)}, nil
	})
	return &authproxy.Route{
		Name: "amp", Path: path, Upstream: address(t, u.URL+"/remote_write"), MaxBody: maxBuffer,
		Transport: &transport.SigV4{Provider: provider, Region: "eu-west-1", Service: "aps", Hosts: []string{"127.0.0.1"}, Base: u.base(t), MaxBuffer: maxBuffer},
	}
}

// unsized hides how long a body is.
type unsized struct{ io.Reader }

func TestBodiesArriveWholeWhateverTheirLength(t *testing.T) {
	u := newUpstream(t, always(http.StatusOK, ""))
	f := newFront(t, u.bearer(t, "/bearer", "/w"), u.signed(t, "/signed", 0))
	for _, path := range []string{"/bearer", "/signed"} {
		for _, length := range []int{0, 1, 4 << 10, 16 << 10, 16<<10 + 1, 64 << 10, 64<<10 + 1, 1 << 20} {
			content := strings.Repeat("0123456789abcdef", length/16+1)[:length]
			for _, body := range []io.Reader{strings.NewReader(content), unsized{strings.NewReader(content)}} {
				before := len(u.seen())
				got := f.send(t, http.MethodPost, path, body)
				a := u.seen()[before]
				if got.status != 200 || a.body != content || a.err != nil {
					t.Errorf("%s %T: %d bytes of %d arrived, %+v", path, body, len(a.body), length, got)
				}
				if path == "/signed" {
					verify(t, u, a)
				}
				if o := f.outcome(t); o.Sent != int64(length) {
					t.Errorf("%s: observed %d bytes of %d", path, o.Sent, length)
				}
			}
		}
	}
}

// verify signs what arrived once more, with the SDK.
func verify(t *testing.T, u *upstream, a arrival) {
	t.Helper()
	got := a.header.Get("Authorization")
	if a.length < 0 || !strings.HasPrefix(got, "AWS4-HMAC-SHA256 Credential=AKID/") || a.header.Get("X-Amz-Security-Token") != canary+"s" {
		t.Fatalf("%d bytes: %v", a.length, a.header)
	}
	r, err := http.NewRequestWithContext(t.Context(), a.method, u.URL+a.uri, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, names, _ := strings.Cut(got, "SignedHeaders=")
	names, _, _ = strings.Cut(names, ",")
	for name := range strings.SplitSeq(names, ";") {
		switch name {
		case "host":
			r.Host = a.host
		case "content-length":
			r.ContentLength = a.length
		default:
			r.Header[http.CanonicalHeaderKey(name)] = a.header.Values(name)
		}
	}
	at, err := time.Parse("20060102T150405Z", a.header.Get("X-Amz-Date"))
	if err != nil {
		t.Fatal(err)
	}
	keys := aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: canary, SessionToken: canary + "s"}
	if err := v4.NewSigner().SignHTTP(t.Context(), keys, r, hash(a.body), "aps", "eu-west-1", at); err != nil {
		t.Fatal(err)
	}
	if want := r.Header.Get("Authorization"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestABodyThatIsTooLongIsRefused(t *testing.T) {
	u := newUpstream(t, always(http.StatusOK, ""))
	short := func(r *authproxy.Route) *authproxy.Route {
		r.MaxBody = 100 << 10
		return r
	}
	narrow := u.signed(t, "/narrow", 10<<10)
	narrow.MaxBody = 100 << 10
	f := newFront(t, short(u.bearer(t, "/bearer", "/w")), u.signed(t, "/signed", 100<<10), narrow)
	for path, limit := range map[string]int{"/bearer": 100 << 10, "/signed": 100 << 10, "/narrow": 10 << 10} {
		for length, want := range map[int]int{limit: 200, limit + 1: 413, 3 << 20: 413} {
			for _, sized := range []bool{true, false} {
				var body io.Reader = strings.NewReader(strings.Repeat("x", length))
				if !sized {
					body = unsized{body}
				}
				whole := 0
				got := f.send(t, http.MethodPost, path, body)
				for _, a := range u.seen() {
					if a.err == nil && len(a.body) == length {
						whole++
					}
				}
				if got.status != want || got.own() != (want == 413) || want == 413 && (whole > 0 || !strings.Contains(got.body, fmt.Sprint(limit))) {
					t.Errorf("%s: %d bytes, length known: %v: %+v, arrived %d times", path, length, sized, got, whole)
				}
			}
		}
	}
}

// A body is passed on while it comes.
func TestABodyIsNotWaitedFor(t *testing.T) {
	first := make(chan string, 1)
	u := streaming(t, func(_ http.ResponseWriter, r *http.Request) {
		part := make([]byte, 5)
		_, _ = io.ReadFull(r.Body, part)
		first <- string(part)
		_, _ = io.Copy(io.Discard, r.Body)
	})
	f := newFront(t, u.bearer(t, "/write", "/w"))
	for _, header := range []string{"Transfer-Encoding: chunked", "Content-Length: 1000000"} {
		connection := f.dial(t)
		body := "hello"
		if strings.HasPrefix(header, "Transfer") {
			body = "5\r\nhello\r\n"
		}
		_, _ = io.WriteString(connection, "POST /write HTTP/1.1\r\nHost: x\r\n"+header+"\r\n\r\n"+body)
		select {
		case got := <-first:
			if got != "hello" {
				t.Errorf("%s: %q", header, got)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: nothing arrived", header)
		}
		_ = connection.Close()
	}
}

// An answer is passed on while it comes.
func TestAnAnswerIsNotWaitedFor(t *testing.T) {
	more := make(chan struct{})
	u := streaming(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "first\n")
		_ = http.NewResponseController(w).Flush()
		<-more
		_, _ = io.WriteString(w, "second\n")
	})
	f := newFront(t, u.bearer(t, "/write", "/w"))
	connection := f.dial(t)
	_, _ = io.WriteString(connection, "POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	lines := bufio.NewReader(answer.Body)
	if line, err := lines.ReadString('\n'); line != "first\n" {
		t.Fatalf("%q, %v", line, err)
	}
	close(more)
	if line, err := lines.ReadString('\n'); line != "second\n" {
		t.Errorf("%q, %v", line, err)
	}
}

func TestTheClientIsToldToGoOnWhenTheUpstreamIs(t *testing.T) {
	u := newUpstream(t, always(http.StatusOK, "done"))
	f := newFront(t, u.bearer(t, "/write", "/w"))
	for target, want := range map[string]string{"/write": "100", "/other": "404"} {
		connection := f.dial(t)
		_, _ = io.WriteString(connection, "POST "+target+" HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n")
		from := bufio.NewReader(connection)
		line, err := from.ReadString('\n')
		if err != nil || !strings.Contains(line, " "+want+" ") {
			t.Fatalf("%s: %q, %v", target, line, err)
		}
		if want != "100" {
			continue
		}
		_, _ = from.ReadString('\n')
		_, _ = io.WriteString(connection, strings.Repeat("x", 100000))
		if got := readReply(t, from); got.body != "done" || u.seen()[0].header.Get("Expect") != "100-continue" {
			t.Errorf("%+v", got)
		}
	}
}

func TestAClientThatHangsUpEndsTheRequest(t *testing.T) {
	arrived, ended := make(chan struct{}, 1), make(chan struct{}, 1)
	u := streaming(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.CopyN(io.Discard, r.Body, 5)
		arrived <- struct{}{}
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		ended <- struct{}{}
		panic(http.ErrAbortHandler) // an answer could still arrive while the connection is being closed
	})
	f := newFront(t, u.bearer(t, "/write", "/w"))
	for name, length := range map[string]int{"after its request": 5, "in its request": 1000000} {
		connection := f.dial(t)
		_, _ = fmt.Fprintf(connection, "POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\nhello", length)
		<-arrived
		_ = connection.Close()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: the upstream is still asked", name)
		}
		if o := f.outcome(t); o.Status < 400 || o.Status > 499 || o.Upstream != 0 {
			t.Errorf("%s: observed %+v", name, o)
		}
	}
	if lines := f.records.lines(); len(lines) > 0 {
		t.Errorf("the route is not to blame: %q", lines)
	}
}

// A client may stop sending and still wait for the answer.
func TestABodyThatBreaksOffIsNotPassedOnAsWhole(t *testing.T) {
	u := newUpstream(t, always(http.StatusOK, ""))
	f := newFront(t, u.bearer(t, "/bearer", "/w"), u.signed(t, "/signed", 0))
	for _, path := range []string{"/bearer", "/signed"} {
		for _, head := range []string{"Content-Length: 100\r\n\r\nhello", "Content-Length: 1000000\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "Transfer-Encoding: chunked\r\n\r\nnonsense\r\n"} {
			connection := f.dial(t)
			_, _ = io.WriteString(connection, "POST "+path+" HTTP/1.1\r\nHost: x\r\n"+head)
			_ = connection.(*net.TCPConn).CloseWrite()
			if got := readReply(t, connection); got.status != http.StatusBadRequest || !got.own() {
				t.Errorf("%s, %q: %+v", path, head, got)
			}
		}
	}
	for _, a := range u.seen() {
		if a.err == nil {
			t.Errorf("arrived as if it were whole: %+v", a)
		}
	}
}

// An upstream that has seen enough does not wait for the rest, and so the client need not.
func TestAnEarlyAnswerDoesNotWaitForTheBody(t *testing.T) {
	u := streaming(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, "enough")
	})
	f := newFront(t, u.bearer(t, "/write", "/w"))
	for _, head := range []string{"Content-Length: 1000000\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"} {
		connection := f.dial(t)
		_, _ = io.WriteString(connection, "POST /write HTTP/1.1\r\nHost: x\r\n"+head)
		if got := readReply(t, connection); got.status != http.StatusRequestEntityTooLarge || got.body != "enough" || got.own() {
			t.Errorf("%q: %+v", head, got)
		}
		if n, err := connection.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%q: the connection goes on: %v", head, err)
		}
	}
}

func TestAnAnswerThatBreaksOffDoesNotLookWhole(t *testing.T) {
	for name, text := range map[string]string{
		"of known length":   "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf",
		"in chunks":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
		"in a chunk":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\nhalf",
		"long, and in part": "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 50000),
	} {
		u := streaming(t, func(w http.ResponseWriter, _ *http.Request) {
			connection, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(connection, text)
			_ = connection.Close()
		})
		f := newFront(t, u.bearer(t, "/write", "/w"))
		connection := f.dial(t)
		_, _ = io.WriteString(connection, "POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
		answer, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err == nil {
			_, err = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
		}
		if err == nil {
			t.Errorf("%s: it looks whole", name)
		}
		if o := f.outcome(t); o.Upstream != 200 {
			t.Errorf("%s: observed %+v", name, o)
		}
	}
}
