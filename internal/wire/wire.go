// Package wire asks one far side one thing and brings back one bounded answer.
//
// It is made for requests that carry credentials: redirects are never followed
// (a 307 would send the form body to another host), addresses are never part of
// an error beyond the host, and what is quoted from an answer is cleaned first.
package wire

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// MaxBody is how much of an answer is read, in bytes. Token endpoints and STS
// answer with a few KiB.
const MaxBody = 1 << 20

// Answer is what a far side said, read whole.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	Date   time.Time // the far side's clock, to the second; zero if it did not tell
}

// Error says that the far side could not be asked or did not answer whole. It
// names the host and the cause, never the path, the query or the body.
type Error struct {
	Host string
	Err  error
}

func (e *Error) Error() string { return e.Host + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// RedirectError says that the far side answered with a redirect.
type RedirectError struct {
	Status int
	Target string // the host that the far side pointed at
}

func (e *RedirectError) Error() string {
	return fmt.Sprintf("answered %d with a redirect to %q, which is not followed because the request carries credentials", e.Status, e.Target)
}

var errTooLarge = errors.New("the answer is larger than 1 MiB")

// Do sends request with client and reads the answer. The returned error is always
// an [*Error]; a canceled or expired context is in its chain. Any status but a
// redirect is an answer.
func Do(client *http.Client, request *http.Request) (*Answer, error) {
	direct := *client
	direct.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	direct.Jar = nil
	response, err := direct.Do(request)
	if err != nil {
		return nil, fault(request, err)
	}
	defer response.Body.Close()
	if target := redirect(response); target != nil {
		return nil, fault(request, target)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, MaxBody+1))
	if err != nil {
		return nil, fault(request, fmt.Errorf("the answer broke off: %w", err))
	}
	if len(body) > MaxBody {
		return nil, fault(request, errTooLarge)
	}
	date, _ := http.ParseTime(response.Header.Get("Date"))
	return &Answer{Status: response.StatusCode, Header: response.Header, Body: body, Date: date}, nil
}

// fault strips what net/http wraps round a cause: *url.Error prints the URL.
func fault(request *http.Request, err error) *Error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	if cause := request.Context().Err(); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w (%w)", err, cause)
	}
	return &Error{Host: request.URL.Host, Err: err}
}

func redirect(response *http.Response) error {
	if response.StatusCode < 300 || response.StatusCode > 399 {
		return nil
	}
	target := "nowhere"
	if location, err := response.Location(); err == nil {
		target = location.Host
	}
	return &RedirectError{Status: response.StatusCode, Target: target}
}

// RetryAfter reads the Retry-After header (RFC 9110 section 10.2.3), as seconds or as
// a date measured against the answer's own clock. Zero: it did not say.
func (a *Answer) RetryAfter() time.Duration {
	value := strings.TrimSpace(a.Header.Get("Retry-After"))
	if seconds, err := strconv.Atoi(value); err == nil && seconds > 0 {
		return time.Duration(min(seconds, 24*60*60)) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	now := a.Date
	if now.IsZero() {
		now = time.Now()
	}
	return max(0, min(at.Sub(now), 24*time.Hour))
}

// Skew is how far the far side's clock is ahead of the local one, at the time of
// the call; zero if it did not tell. Its resolution is a second.
func (a *Answer) Skew(now time.Time) time.Duration {
	if a.Date.IsZero() {
		return 0
	}
	return a.Date.Sub(now)
}
