// Package filecache remembers answers for all processes of one user: one lock, one
// request, many readers.
//
// It keeps the contract of package refresh across processes, without a daemon: the
// process that finds an answer due asks for the next one in the foreground, for a
// few seconds at most, and the others go on with the old one. The old answer is
// never removed before the new one is there. A lock ends with the process that holds
// it, however that process ends.
package filecache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gofrs/flock"

	"github.com/keyless-id/keyless/internal/atomicfile"
	"github.com/keyless-id/keyless/internal/refresh"
)

// Cache is a folder that belongs to this user alone. A nil Cache remembers nothing.
type Cache struct{ dir string }

// Answer is what a far side said, and how long it is good for.
type Answer struct {
	refresh.Times
	Payload []byte
}

// Query is one question to a far side.
type Query struct {
	// Key names the answer: a digest of all that changes it. It is a file name.
	Key string
	// Attempt is a digest of all that changes the outcome, secrets included: a
	// failure that was recorded with another one says nothing about this query.
	Attempt string
	refresh.Policy
	Fetch func(context.Context) (Answer, error)
	// Refused says of a remembered payload that the far side has refused it, so that it
	// is of no use however long it has to live; nil: none is.
	Refused func(payload []byte) bool
	// Failure and Failed turn an error into bytes and back, for the processes that
	// waited for the one that failed.
	Failure func(error) []byte
	Failed  func([]byte) error
	Warn    func(error) // is told what did not work and did no harm
}

const (
	usableWait = 5 * time.Second // for the next answer, while there is one to fall back on
	// lockWait is how long a process waits for the one that asks before it asks
	// itself; the ones that waited with it then wait for it.
	lockWait  = 5 * time.Second
	firstPoll = 2 * time.Millisecond
	lastPoll  = 25 * time.Millisecond
)

// Get returns an answer that is good, from the folder if it can.
func (c *Cache) Get(ctx context.Context, q Query) (Entry, error) {
	if c == nil {
		return q.fetch(ctx, Entry{})
	}
	began := time.Now()
	for pause := firstPoll; ; pause = min(2*pause, lastPoll) {
		e := c.read(q)
		now := time.Now()
		if e.Fresh(now) {
			return e, nil
		}
		generation := int(now.Sub(began) / lockWait)
		locked, unlock, err := c.lock(q.Key, generation)
		switch {
		case err != nil:
			q.warn(fmt.Errorf("cache: cannot lock: %w", err))
			return q.fetch(ctx, e)
		case locked:
			defer unlock()
			return c.lead(ctx, q, generation)
		}
		if e, done, err := c.follow(q, e, began); done {
			return e, err
		}
		if !sleep(ctx, pause) {
			return e, gaveUp(ctx, e)
		}
	}
}

// lock tries to become the one process that asks.
func (c *Cache) lock(key string, generation int) (bool, func(), error) {
	lock := flock.New(c.path(key+".lock"+suffix(generation)), flock.SetPermissions(0o600))
	locked, err := lock.TryLock()
	return locked, func() { _ = lock.Close() }, err
}

func suffix(generation int) string {
	if generation == 0 {
		return ""
	}
	return strconv.Itoa(generation)
}

// follow decides whether a process that is not the one that asks has its answer.
func (c *Cache) follow(q Query, e Entry, began time.Time) (Entry, bool, error) {
	now := time.Now()
	if e.Usable(now) && (now.Before(e.Stale) || now.Sub(began) > usableWait) {
		return e, true, nil
	}
	failure, ok := c.failure(q)
	if !ok || failure.recorded.Before(began) {
		return e, false, nil
	}
	if e.Usable(now) {
		return e, true, nil
	}
	return Entry{}, true, failure.err
}

// lead asks, under the lock, unless the answer came or the far side is to be left
// alone.
func (c *Cache) lead(ctx context.Context, q Query, generation int) (Entry, error) {
	e := c.read(q)
	now := time.Now()
	if e.Fresh(now) {
		return e, nil
	}
	failure, failed := c.failure(q)
	if failed && now.Before(failure.until) {
		if e.Usable(now) {
			return e, nil
		}
		return Entry{}, failure.err
	}
	next, err := q.ask(ctx, e)
	if err == nil {
		c.write(q, q.Key+".entry", generation, next)
		q.warn(atomicfile.Missing(os.Remove(c.path(q.Key + ".failure"))))
		c.sweep(time.Now())
		return next, nil
	}
	if ctx.Err() == nil {
		c.write(q, q.Key+".failure", generation, record(q, failure.count+1, err))
	}
	return e.or(err)
}

// or is what a process has when asking failed.
func (e Entry) or(err error) (Entry, error) {
	if e.Usable(time.Now()) {
		return e, nil
	}
	return Entry{}, err
}

// fetch is Get without a folder.
func (q Query) fetch(ctx context.Context, e Entry) (Entry, error) {
	next, err := q.ask(ctx, e)
	if err != nil {
		return e.or(err)
	}
	return next, nil
}

func (q Query) ask(ctx context.Context, e Entry) (Entry, error) {
	if e.Usable(time.Now()) {
		bounded, cancel := context.WithTimeout(ctx, usableWait)
		defer cancel()
		ctx = bounded
	}
	began := time.Now()
	answer, err := q.Fetch(ctx)
	if err != nil {
		return Entry{}, err
	}
	if answer.Obtained.IsZero() {
		answer.Obtained = began
	}
	now := time.Now()
	s := q.Schedule(answer.Times, e.Expiry, now)
	if err := s.Check(answer.Times, now); err != nil {
		return Entry{}, err
	}
	return Entry{Obtained: answer.Obtained, Due: s.Due, Stale: s.Stale, Dead: s.Dead, Expiry: answer.Expiry, Payload: answer.Payload}, nil
}

func (c *Cache) read(q Query) Entry {
	e, err := c.ReadEntry(q.Key)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		q.warn(fmt.Errorf("cache: entry ignored: %w", err))
	}
	if q.Refused != nil && q.Refused(e.Payload) {
		return Entry{}
	}
	return e
}

// ReadEntry reads the entry of key.
func (c *Cache) ReadEntry(key string) (Entry, error) {
	data, err := readFile(c.path(key + ".entry"))
	if err != nil {
		return Entry{}, err
	}
	return decode(data)
}

func (c *Cache) write(q Query, name string, generation int, e Entry) {
	err := writeFile(c.path(name), c.path(q.Key+".tmp"+suffix(generation)), e.encode())
	if err != nil {
		q.warn(fmt.Errorf("cache: nothing remembered: %w", err))
	}
}

func (c *Cache) path(name string) string { return filepath.Join(c.dir, name) }

func (q Query) warn(err error) {
	if q.Warn != nil && err != nil {
		q.Warn(err)
	}
}

// gaveUp is the error of a caller that left, unless it has something to leave with.
func gaveUp(ctx context.Context, e Entry) error {
	if e.Usable(time.Now()) {
		return nil
	}
	return fmt.Errorf("waiting for another process that asks the same: %w", ctx.Err())
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
