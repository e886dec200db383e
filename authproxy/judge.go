package authproxy

import (
	"net/http"
	"slices"
	"time"

	"github.com/keyless-id/keyless/internal/wire"
)

// maxWait bounds what an upstream may ask for: whoever waits longer learns too late that it
// is well again.
const maxWait = 5 * time.Minute

// patience returns how long to wait, if the upstream does not say, on an answer that will
// be another in a while, and on which agents throw data away: Prometheus keeps them for a
// 5xx only (storage/remote, read in 2026), a 429 is kept if so configured. Not ok is any
// other status; of a 404 nothing says that it will pass.
func patience(status int) (wait time.Duration, ok bool) {
	switch status {
	case http.StatusUnauthorized, http.StatusRequestTimeout:
		return between(5, 10), true
	case http.StatusTooManyRequests:
		return between(10, 30), true
	case http.StatusForbidden:
		return between(20, 30), true
	}
	return 0, false
}

// judge reports whether the answer is to become a 503, and how long the client is to wait.
func (r *Route) judge(answer *http.Response) (wait time.Duration, mapped bool) {
	status := answer.StatusCode
	if status >= 200 && status <= 299 && r.forbidden.Load() != nil {
		r.forbidden.Store(nil)
	}
	wait, ok := patience(status)
	if !ok || slices.Contains(r.Pass, status) || status == http.StatusForbidden && !r.mayPropagate() {
		return 0, false
	}
	if asked := retryAfter(answer.Header); asked > 0 {
		wait = asked
	}
	return wait, true
}

// mayPropagate reports whether a 403 may be that of a role assignment that has not
// arrived everywhere.
func (r *Route) mayPropagate() bool {
	now := time.Now()
	r.forbidden.CompareAndSwap(nil, &now)
	since := r.forbidden.Load()
	return since == nil || now.Sub(*since) < r.forbiddenFor()
}

// retryAfter is what the upstream asks for, within bounds; zero: nothing.
func retryAfter(header http.Header) time.Duration {
	if header.Get("Retry-After") == "" {
		return 0
	}
	date, _ := http.ParseTime(header.Get("Date"))
	asked := (&wire.Answer{Header: header, Date: date}).RetryAfter()
	return min(asked, maxWait)
}
