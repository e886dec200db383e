package sandbox

import (
	"sync"
	"sync/atomic"
	"time"
)

// history keeps the versions of a state, so that one service can look at an older one
// than the next: what was written through an API is not in force everywhere at once. A
// version never changes; who reads needs no lock, also inside of a change.
type history[T any] struct {
	writing  sync.Mutex
	versions atomic.Pointer[[]version[T]] // oldest first, never empty after begin
}

type version[T any] struct {
	since time.Time
	value T
}

// begin makes the version that was there all the time.
func (h *history[T]) begin(value T) { h.versions.Store(&[]version[T]{{value: value}}) }

// at returns the version that was in force at a time, and the first for all times
// before it.
func (h *history[T]) at(t time.Time) T {
	versions := *h.versions.Load()
	found := versions[0].value
	for _, v := range versions[1:] {
		if v.since.After(t) {
			break
		}
		found = v.value
	}
	return found
}

// latest returns the version that the next change begins from.
func (h *history[T]) latest() T {
	versions := *h.versions.Load()
	return versions[len(versions)-1].value
}

// change adds the version that next makes of the latest one, unless it says no. Nobody
// looks further back than oldest.
func (h *history[T]) change(now, oldest time.Time, next func(latest T) (T, bool)) {
	h.writing.Lock()
	defer h.writing.Unlock()
	value, changed := next(h.latest())
	if !changed {
		return
	}
	versions := *h.versions.Load()
	for len(versions) > 1 && !versions[1].since.After(oldest) {
		versions = versions[1:]
	}
	versions = append(versions[:len(versions):len(versions)], version[T]{now, value})
	h.versions.Store(&versions)
}
