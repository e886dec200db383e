package azurelogsingestionexporter

import (
	"context"
	"sync"
	"time"
)

// gate is the way to one data collection rule: so many requests at once, and none while
// the rule wants to be left alone.
type gate struct {
	max int

	mu       sync.Mutex
	limit    int // 0: max
	inFlight int
	accepted int // since the limit was changed
	until    time.Time
	changed  chan struct{}
}

// closed returns how long the gate remains closed.
func (g *gate) closed() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return time.Until(g.until)
}

// enter waits until there is a place, and reports whether the gate is open then.
func (g *gate) enter(ctx context.Context) (bool, error) {
	for {
		g.mu.Lock()
		if time.Until(g.until) > 0 {
			g.mu.Unlock()
			return false, nil
		}
		if g.inFlight < g.places() {
			g.inFlight++
			g.mu.Unlock()
			return true, nil
		}
		if g.changed == nil {
			g.changed = make(chan struct{})
		}
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-changed:
		}
	}
}

func (g *gate) places() int {
	if g.limit == 0 {
		g.limit = g.max
	}
	return g.limit
}

// leave gives the place to another one.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inFlight--
	g.wake()
}

func (g *gate) wake() {
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
}

// close keeps requests away for a while.
func (g *gate) close(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if until := time.Now().Add(d); until.After(g.until) {
		g.until = until
	}
	g.wake()
}

// narrow halves the number of places: the rule is asked too much.
func (g *gate) narrow() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limit, g.accepted = max(1, g.places()/2), 0
}

// widen gives a place back after a round of requests that were accepted.
func (g *gate) widen() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.accepted++; g.accepted >= g.places() && g.limit < g.max {
		g.limit, g.accepted = g.limit+1, 0
	}
}
