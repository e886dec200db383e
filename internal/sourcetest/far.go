package sourcetest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// request is what the far side saw.
type request struct {
	url    string
	host   string
	header http.Header
	body   string
	at     time.Time
}

// text is the whole request in one line, percent-encoded as it came and decoded.
func (r request) text() string {
	var headers strings.Builder
	_ = r.header.Write(&headers)
	plain, _ := url.QueryUnescape(r.body)
	return strings.Join([]string{r.body, plain, strings.ReplaceAll(headers.String(), "\r\n", " "), r.url}, " | ")
}

// farSide answers in the process and remembers what it was asked.
type farSide struct {
	answer func(*http.Request, request) (*http.Response, error)

	mu       sync.Mutex
	requests []request
}

// RoundTrip is part of http.RoundTripper.
func (f *farSide) RoundTrip(r *http.Request) (*http.Response, error) {
	seen := request{url: r.URL.String(), host: r.URL.Host, header: r.Header.Clone(), at: time.Now()}
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		seen.body = string(body)
		r.Body.Close()
	}
	f.mu.Lock()
	f.requests = append(f.requests, seen)
	f.mu.Unlock()
	return f.answer(r, seen)
}

func (f *farSide) seen() []request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]request(nil), f.requests...)
}

// challenger is a far side that does not listen to who has not met its challenge.
type challenger struct {
	challenge http.Handler
	far       *farSide
}

// RoundTrip is part of http.RoundTripper.
func (c *challenger) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if r.Header.Get("Authorization") == "" {
		return serve(c.challenge, r, ""), nil
	}
	return c.far.RoundTrip(r)
}

func reply(r *http.Request, status int, kind, body string) *http.Response {
	return &http.Response{
		Status: http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}
}

// always answers every request alike.
func always(status int, kind, body string) *farSide {
	return &farSide{answer: func(r *http.Request, _ request) (*http.Response, error) { return reply(r, status, kind, body), nil }}
}

// silent takes requests and never answers.
func silent() *farSide {
	return &farSide{answer: func(r *http.Request, _ request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}}
}

// failure is an error answer in the form of RFC 6749 section 5.2.
func failure(name, description string) string {
	raw, err := json.Marshal(map[string]string{"error": name, "error_description": description})
	if err != nil {
		panic(err) // strings always encode
	}
	return string(raw)
}

// endless is a body without an end, which counts what was read of it.
type endless struct {
	mu   sync.Mutex
	read int
}

// Read is part of io.Reader.
func (e *endless) Read(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range p {
		p[i] = ' '
	}
	e.read += len(p)
	return len(p), nil
}

// Close is part of io.Closer.
func (e *endless) Close() error { return nil }

func (e *endless) total() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.read
}
