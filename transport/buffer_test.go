package transport_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/keyless-id/keyless/transport"
)

// keeping is a base that answers before it reads, and keeps the bodies.
func keeping(bodies *[]io.ReadCloser) base {
	return func(r *http.Request) (*http.Response, error) {
		*bodies = append(*bodies, r.Body)
		return answerOf(r, http.StatusOK, ""), nil
	}
}

// A transport may read a body after it has returned an answer. The memory is not given to
// another request before it has closed the body.
func TestABodyThatIsReadLateIsStillItsOwn(t *testing.T) {
	for kind, make := range makers() {
		for _, length := range []int{1, 16 << 10, 16<<10 + 1, 32 << 10, 64 << 10} {
			var bodies []io.ReadCloser
			tripper := make(keeping(&bodies), nil)
			for n := range 8 {
				r := request(t, http.MethodPost, "http://127.0.0.1/", nil)
				unread(r, strings.Repeat(string(rune('a'+n)), length), int64(length))
				if err := roundTrip(tripper, r); err != nil {
					t.Fatal(err)
				}
				if n%2 == 1 { // so that its memory comes back
					_ = bodies[n].Close()
				}
			}
			for n, body := range bodies {
				content, err := io.ReadAll(body)
				want := strings.Repeat(string(rune('a'+n)), length)
				if n%2 == 1 && strings.Trim(string(content), want[:1]) != "" || n%2 == 0 && (err != nil || string(content) != want) {
					t.Errorf("%s, %d bytes, request %d: %d bytes of %.1q, %v", kind, length, n, len(content), content, err)
				}
			}
		}
	}
}

func TestAClosedBodyCannotBeRead(t *testing.T) {
	var bodies []io.ReadCloser
	r := request(t, http.MethodPost, "http://127.0.0.1/", nil)
	unread(r, strings.Repeat("x", 100<<10), -1)
	if err := roundTrip(signerOf(&vault{}, "sts", keeping(&bodies)), r); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := bodies[0].Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := bodies[0].Read(make([]byte, 10)); n != 0 || err == nil || errors.Is(err, io.EOF) {
		t.Errorf("read %d bytes, %v", n, err)
	}
}

// GetBody is for the base, which may find a connection gone before it sent anything. After
// the answer it has nothing to give.
func TestTheBaseCanHaveTheBodyAgain(t *testing.T) {
	content := strings.Repeat("0123456789", 5000)
	for kind, make := range makers() {
		var late func() (io.ReadCloser, error)
		r := request(t, http.MethodPost, "http://127.0.0.1/", nil)
		unread(r, content, int64(len(content)))
		tripper := make(base(func(r *http.Request) (*http.Response, error) {
			consumed(r)
			again, err := r.GetBody()
			if err != nil {
				return nil, err
			}
			if got, err := io.ReadAll(again); err != nil || string(got) != content {
				t.Errorf("%s: %d bytes, %v", kind, len(got), err)
			}
			_ = again.Close()
			late = r.GetBody
			return answerOf(r, http.StatusOK, ""), nil
		}), nil)
		if err := roundTrip(tripper, r); err != nil {
			t.Fatal(err)
		}
		again, err := late()
		if err != nil {
			continue
		}
		if got, err := io.ReadAll(again); err == nil {
			t.Errorf("%s: %d bytes after the answer", kind, len(got))
		}
	}
}

func TestABodyOfAnyLengthArrivesWhole(t *testing.T) {
	whole := bytes.Repeat([]byte("0123456789abcdef"), 20<<10)
	for _, length := range []int{1, 100, 16<<10 - 1, 16 << 10, 16<<10 + 1, 32<<10 - 1, 32 << 10, 32<<10 + 1, 64 << 10, len(whole)} {
		for _, known := range []int64{-1, int64(length)} {
			a := arrive(t, signerOf(&vault{}, "sts", nil), http.MethodPost, "/", func(r *http.Request) { unread(r, string(whole[:length]), known) })
			verifyOnce(t, a, string(whole[:length]))
		}
	}
}

func verifyOnce(t *testing.T, a arrival, want string) {
	t.Helper()
	if a.content != want || a.ContentLength != int64(len(want)) || a.Header.Get("Authorization") != theSDK(t, a, keysNo(1), "sts") {
		t.Errorf("%d bytes arrived of %d, signed %q", len(a.content), len(want), a.Header.Get("Authorization"))
	}
}

// A body that breaks off must not be signed and sent as if it were whole.
func TestABodyThatBreaksOffIsNotSent(t *testing.T) {
	for kind, make := range makers() {
		for _, length := range []int64{100, 40 << 10, -1} {
			if kind == "sigv4, payload unsigned" && length < 0 { // streamed: the base meets the error
				continue
			}
			b := newBody("half")
			b.err = io.ErrUnexpectedEOF
			r := request(t, http.MethodPost, "http://127.0.0.1/", nil)
			r.Body, r.ContentLength = b, length
			sent := false
			err := roundTrip(make(base(func(r *http.Request) (*http.Response, error) {
				if _, err := io.ReadAll(r.Body); err != nil { // a bearer's body of unknown length is streamed
					return nil, err
				}
				sent = true
				return answerOf(r, http.StatusOK, ""), nil
			}), nil), r)
			if !errors.Is(err, io.ErrUnexpectedEOF) || sent {
				t.Errorf("%s, length %d: sent %v, %v", kind, length, sent, err)
			}
		}
	}
}

func TestATooLongBodySaysSo(t *testing.T) {
	for length, refused := range map[int]bool{10: false, 11: true} {
		for _, known := range []int64{-1, int64(length)} {
			tripper := signerOf(&vault{}, "sts", ok())
			tripper.MaxBuffer = 10
			r := request(t, http.MethodPost, "http://127.0.0.1/", nil)
			unread(r, strings.Repeat("x", length), known)
			err := roundTrip(tripper, r)
			var long *transport.TooLongError
			if errors.As(err, &long) != refused || refused && long.Limit != 10 {
				t.Errorf("%d bytes, length %d: %v", length, known, err)
			}
		}
	}
}

func TestOnlyItsOwnAnswersAreItsOwn(t *testing.T) {
	for status, want := range map[int]bool{http.StatusUnauthorized: true, http.StatusServiceUnavailable: false, http.StatusOK: false} {
		r := request(t, http.MethodPost, "http://127.0.0.1/", nil)
		unread(r, "x", -1)
		answer, err := bearerOf(&issuer{}, base(func(r *http.Request) (*http.Response, error) { return answerOf(r, status, ""), nil })).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		if transport.Own(answer) != want {
			t.Errorf("%d: own: %v, want %v", status, !want, want)
		}
		_ = answer.Body.Close()
	}
}
