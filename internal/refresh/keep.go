package refresh

import (
	"context"
	"time"
)

const (
	// keepSoonest keeps a value that cannot be got from making Keep spin.
	keepSoonest = time.Second
	// keepLatest bounds what a machine that slept, or whose clock was set, can miss.
	keepLatest = 30 * time.Second
)

// Keep asks for the next value as soon as it is due, until ctx ends, so that whoever
// calls [Cache.Latest] has it without waiting. It is for caches that are not Lazy. It
// tells seen, unless that is nil, of the value that there is: when it is new, and every
// half a minute.
func (c *Cache[T]) Keep(ctx context.Context, seen func(T)) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if e := c.current.Load(); e == nil || !e.schedule.Fresh(time.Now()) {
			if f, _ := c.start(ctx, c.Fetch, false); f != nil {
				select {
				case <-f.done:
				case <-ctx.Done():
					return
				}
			}
		}
		if value, found, _ := c.Latest(); found && seen != nil {
			seen(value)
		}
		timer.Reset(c.next(time.Now()))
	}
}

// next is how long there is nothing to do.
func (c *Cache[T]) next(now time.Time) time.Duration {
	c.mu.Lock()
	at := c.retryAt
	c.mu.Unlock()
	if e := c.current.Load(); e != nil && e.schedule.Fresh(now) {
		at = e.schedule.Due
	}
	return min(max(at.Sub(now), keepSoonest), keepLatest)
}

// Latest returns the value that there is, and asks nobody. If there is none that may be
// handed out it returns the reason, which is nil if nothing was tried yet.
func (c *Cache[T]) Latest() (value T, found bool, err error) {
	if e := c.current.Load(); e != nil && e.schedule.Usable(time.Now()) {
		return e.value, true, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return value, false, c.lastErr
}
