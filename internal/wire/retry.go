package wire

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff says how often and how fast a request is tried again.
type Backoff struct {
	Tries int           // in all, the first one included
	First time.Duration // the wait after the first try; it doubles each time
	Max   time.Duration // the longest wait, but for one that the far side asked for
}

// Verdict is what is to follow a failed try.
type Verdict struct {
	Again bool
	After time.Duration // what the far side asked for; zero: the back-off's own wait
}

// Retry calls try until it succeeds, judge says no, the tries are used up, or the
// next wait would outlast ctx. It returns the last try's error, so that the caller
// learns what the far side said and not that time ran out.
func (b Backoff) Retry(ctx context.Context, try func(context.Context) error, judge func(error) Verdict) error {
	for n := 1; ; n++ {
		err := try(ctx)
		if err == nil || n >= b.Tries {
			return err
		}
		verdict := judge(err)
		if !verdict.Again || !sleep(ctx, b.wait(n, verdict.After)) {
			return err
		}
	}
}

func (b Backoff) wait(n int, asked time.Duration) time.Duration {
	if asked > 0 {
		return asked
	}
	full := min(b.First<<min(n-1, 20), b.Max)
	return full/2 + rand.N(full/2+1)
}

// sleep reports whether it could sleep for d before ctx ends; if not it returns at once.
func sleep(ctx context.Context, d time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
