// Package refresh keeps one value fresh for many callers.
//
// A fresh value is handed out without a lock. A value that is due is handed out
// too, while one request behind the callers' backs gets the next. Only when there
// is nothing left to hand out does a caller wait, for that one request or for its
// own context, whichever ends first. A failure never costs a value that is still
// good.
package refresh

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	fetchTimeout  = 30 * time.Second // of one request that no caller can cancel
	staleWait     = 5 * time.Second  // how long a caller waits while it has a value to fall back on
	renewInterval = 10 * time.Second // between renewals that a far side's refusal asks for
)

// Cache keeps one value fresh. Set the exported fields before the first call and
// leave them alone; a Cache must not be copied.
type Cache[T any] struct {
	Fetch func(context.Context) (T, error)
	Times func(T) Times
	Policy
	// Lazy makes the caller that finds the value due do the request itself, for at
	// most 5 s, instead of a goroutine: for programs that are frozen or end between
	// calls.
	Lazy bool

	current atomic.Pointer[entry[T]]

	mu       sync.Mutex
	flight   *flight[T] // the request under way
	failures int
	retryAt  time.Time
	lastErr  error
	renewed  time.Time
}

type entry[T any] struct {
	value    T
	schedule Schedule
	expiry   time.Time

	stored time.Time // with its monotonic reading
	// trusted is the age in ns up to which the value is known to be fresh, which the
	// monotonic clock alone can tell: it costs half of what the time of day costs.
	trusted atomic.Int64
}

// wallCheck is how often the time of day is looked at: the monotonic clock stands
// still while a machine sleeps, and takes no notice of a clock that is set.
const wallCheck = time.Second

func (e *entry[T]) fresh() bool {
	age := time.Since(e.stored)
	if int64(age) < e.trusted.Load() {
		return true
	}
	now := time.Now()
	if !e.schedule.Fresh(now) {
		return false
	}
	e.trusted.Store(int64(age + min(wallCheck, e.schedule.Due.Sub(now))))
	return true
}

// flight is one request. Its result may be read once done is closed.
type flight[T any] struct {
	done  chan struct{}
	limit time.Duration
	value T
	err   error
	// left says that the lazy caller who ran the request left before its end,
	// which is no news of the far side: the others try again.
	left bool
}

// Get returns the value.
func (c *Cache[T]) Get(ctx context.Context) (T, error) {
	e := c.current.Load()
	if e != nil && e.fresh() {
		return e.value, nil
	}
	return c.get(ctx, e)
}

// get is Get when the value is not fresh.
func (c *Cache[T]) get(ctx context.Context, e *entry[T]) (T, error) {
	f, err := c.start(ctx, c.Fetch, false)
	now := time.Now()
	switch {
	case e == nil || !e.schedule.Usable(now):
		return c.await(ctx, f, err)
	case f == nil:
		return e.value, nil // the far side is to be left alone, or another caller is on it
	case c.Lazy || !now.Before(e.schedule.Stale):
		return awaitOr(ctx, f, e.value)
	}
	return e.value, nil
}

// Renew returns a value that refused says no to. It asks fetch for one unless the
// current value is such a one already, and at most every 10 s: a far side that
// refuses everything must not make us flood the issuer.
func (c *Cache[T]) Renew(ctx context.Context, refused func(T) bool, fetch func(context.Context) (T, error)) (T, error) {
	if e := c.current.Load(); e != nil && e.schedule.Usable(time.Now()) && (!refused(e.value) || !c.mayRenew()) {
		return e.value, nil
	}
	f, err := c.start(ctx, fetch, true)
	return c.await(ctx, f, err)
}

func (c *Cache[T]) mayRenew() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flight != nil {
		return true // join it
	}
	now := time.Now()
	if now.Sub(c.renewed) < renewInterval {
		return false
	}
	c.renewed = now
	return true
}

// start returns the request under way, and begins it if there is none. It returns
// nil while the far side is to be left alone, with the error that is the reason.
func (c *Cache[T]) start(ctx context.Context, fetch func(context.Context) (T, error), renew bool) (*flight[T], error) {
	f, begin, err := c.admit(renew)
	if begin {
		c.launch(ctx, f, fetch)
	}
	return f, err
}

func (c *Cache[T]) admit(renew bool) (f *flight[T], begin bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	e := c.current.Load()
	usable := e != nil && e.schedule.Usable(now)
	switch {
	case c.flight != nil && c.Lazy && usable:
		return nil, false, nil
	case c.flight != nil:
		return c.flight, false, nil
	case usable && !renew && e.schedule.Fresh(now): // it came while this caller waited for the lock
		return landed(e.value), false, nil
	case now.Before(c.retryAt):
		return nil, false, c.lastErr
	}
	c.flight = &flight[T]{done: make(chan struct{}), limit: fetchTimeout}
	if c.Lazy && usable {
		c.flight.limit = staleWait
	}
	return c.flight, true, nil
}

func landed[T any](value T) *flight[T] {
	f := &flight[T]{done: make(chan struct{}), value: value}
	close(f.done)
	return f
}

func (c *Cache[T]) launch(ctx context.Context, f *flight[T], fetch func(context.Context) (T, error)) {
	if c.Lazy {
		c.run(ctx, f, fetch)
		return
	}
	go c.run(context.WithoutCancel(ctx), f, fetch)
}

func (c *Cache[T]) run(ctx context.Context, f *flight[T], fetch func(context.Context) (T, error)) {
	bounded, cancel := context.WithTimeout(ctx, f.limit)
	defer cancel()
	began := time.Now()
	f.value, f.err = fetch(bounded)
	c.land(ctx, f, began)
	close(f.done)
}

// land keeps what a request brought, or notes its failure.
func (c *Cache[T]) land(ctx context.Context, f *flight[T], began time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flight = nil
	if f.err == nil {
		f.err = c.keep(f.value, began)
	}
	if f.err == nil {
		c.failures, c.retryAt, c.lastErr = 0, time.Time{}, nil
		return
	}
	if f.left = ctx.Err() != nil; f.left {
		return
	}
	c.failures++
	c.retryAt = time.Now().Add(Backoff(c.failures, Asked(f.err)))
	c.lastErr = f.err
}

func (c *Cache[T]) keep(value T, began time.Time) error {
	times := c.Times(value)
	if times.Obtained.IsZero() {
		times.Obtained = began
	}
	var previous time.Time
	if old := c.current.Load(); old != nil {
		previous = old.expiry
	}
	now := time.Now()
	schedule := c.Schedule(times, previous, now)
	if err := schedule.Check(times, now); err != nil {
		return err
	}
	c.current.Store(&entry[T]{value: value, schedule: schedule, expiry: times.Expiry, stored: now})
	return nil
}

// await waits for f or for the end of ctx. Without f it returns err, the reason.
func (c *Cache[T]) await(ctx context.Context, f *flight[T], err error) (T, error) {
	var none T
	if f == nil {
		return none, err
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		select {
		case <-f.done: // both at once: the value wins
		default:
			return none, c.gaveUp(ctx.Err())
		}
	}
	if f.left && ctx.Err() == nil {
		return c.Get(ctx)
	}
	return f.value, f.err
}

func (c *Cache[T]) gaveUp(cause error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lastErr == nil {
		return fmt.Errorf("no answer yet: %w", cause)
	}
	return fmt.Errorf("no answer yet: %w; the try before said: %w", cause, c.lastErr)
}

// awaitOr waits a moment for f and falls back on what there is.
func awaitOr[T any](ctx context.Context, f *flight[T], fallback T) (T, error) {
	timer := time.NewTimer(staleWait)
	defer timer.Stop()
	select {
	case <-f.done:
		if f.err == nil {
			return f.value, nil
		}
	case <-timer.C:
	case <-ctx.Done():
	}
	return fallback, nil
}
