// Package holding knows why an exporter holds back what it has.
package holding

import (
	"sync"
	"time"
)

// Reason is why nothing gets through, and since when. Its zero value holds nothing.
type Reason struct {
	mu    sync.Mutex
	code  string
	since time.Time
}

// GoesOn notes a reason; tell hears of it, and that the one before is over.
func (r *Reason) GoesOn(code string, now time.Time, tell func(code string, since time.Duration)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.code != code {
		r.end(tell)
		r.code, r.since = code, now
	}
	// A second at least: zero says that it is over.
	tell(code, max(now.Sub(r.since), time.Second))
}

// Over tells that something got through, if nothing did before.
func (r *Reason) Over(tell func(code string, since time.Duration)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end(tell)
}

func (r *Reason) end(tell func(code string, since time.Duration)) {
	if r.code != "" {
		tell(r.code, 0)
	}
	r.code = ""
}
