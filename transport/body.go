package transport

import (
	"errors"
	"io"
	"net/http"
)

const (
	// maxReplay is how long a body may be that is kept in case it must be sent again, in
	// bytes: JSON for an API fits, and a thousand requests under way keep 64 MiB.
	maxReplay = 64 << 10
	// maxDrain is how much of a refusal is read, in bytes, so that its connection can be
	// used again.
	maxDrain = 64 << 10
)

var errSpent = errors.New("the request's body cannot be sent a second time")

func hasBody(r *http.Request) bool { return r.Body != nil && r.Body != http.NoBody }

// closeBody is for requests that go nowhere: a RoundTripper closes the body whatever
// happens.
func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close() // nobody waits for what was read from it
	}
}

// keep reads a body that is short and says so, and closes it. It returns nil for one that
// need not be kept, since it can be had again, or that is left alone. An error is the
// body's own.
func keep(r *http.Request) (*buffer, error) {
	if !hasBody(r) || r.GetBody != nil || r.ContentLength <= 0 || r.ContentLength > maxReplay {
		return nil, nil
	}
	return readBody(r, r.ContentLength, nil)
}

// reopen returns the body once more; kept is nil, or the body.
func reopen(r *http.Request, kept *buffer) (io.ReadCloser, error) {
	switch {
	case !hasBody(r):
		return r.Body, nil
	case kept != nil:
		return kept.open(), nil
	case r.GetBody != nil:
		return r.GetBody()
	}
	return nil, errSpent
}

// discard makes an answer's connection free for the next request.
func discard(answer *http.Response) {
	if answer.Body == nil {
		return
	}
	_, _ = io.CopyN(io.Discard, answer.Body, maxDrain) // a rest costs the connection, no more
	_ = answer.Body.Close()
}

// header copies h, with the value slices shared, without the names that drop knows. Their
// capacity is cut, so that who adds a value to the copy does not write into the original.
func header(h http.Header, drop func(name string) bool) http.Header {
	copied := make(http.Header, len(h)+1)
	for name, values := range h {
		if !drop(name) {
			copied[name] = values[:len(values):len(values)]
		}
	}
	return copied
}

// shallow copies the request and nothing that it points to.
func shallow(r *http.Request) *http.Request { return r.WithContext(r.Context()) }

func orDefault(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		return http.DefaultTransport
	}
	return base
}
