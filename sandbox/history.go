package sandbox

import (
	"sync"
	"time"
)

// history keeps the versions of a state, so that one service can look at an older one
// than the next: what was written through an API is not in force everywhere at once. A
// version never changes; whoever got one may read it without a lock.
type history[T any] struct {
	mu       sync.Mutex
	versions []version[T] // oldest first
}

type version[T any] struct {
	since time.Time
	value T
}

// begin makes the version that was there all the time.
func (h *history[T]) begin(value T) { h.versions = []version[T]{{value: value}} }

// at returns the version that was in force at a time, and the first for all times
// before it.
func (h *history[T]) at(t time.Time) T {
	h.mu.Lock()
	defer h.mu.Unlock()
	found := h.versions[0].value
	for _, v := range h.versions[1:] {
		if v.since.After(t) {
			break
		}
		found = v.value
	}
	return found
}

// latest returns the version that the next change begins from.
func (h *history[T]) latest() T {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.versions[len(h.versions)-1].value
}

// change adds the version that next makes of the latest one, unless it says no. Nobody
// looks further back than oldest.
func (h *history[T]) change(now, oldest time.Time, next func(latest T) (T, bool)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	value, changed := next(h.versions[len(h.versions)-1].value)
	if !changed {
		return
	}
	for len(h.versions) > 1 && !h.versions[1].since.After(oldest) {
		h.versions = h.versions[1:]
	}
	h.versions = append(h.versions, version[T]{now, value})
}
