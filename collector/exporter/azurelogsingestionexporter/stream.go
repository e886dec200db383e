package azurelogsingestionexporter

import (
	"fmt"
	"sync"
	"time"
)

// destination is where rows go. Empty names are those of the configuration: rows that
// are already stored follow it when it is corrected.
type destination struct {
	dcr, stream string
}

// stream is what was learned about a destination.
type stream struct {
	destination // never with empty names
	rule        *gate
	wire, raw   ceiling

	mu      sync.Mutex
	narrow  bool      // it takes no rows that are far apart
	good    bool      // it has taken rows
	refused int       // rows since it took some
	held    time.Time // since when it takes nothing
	code    string    // the last reason for that
	until   time.Time
}

// manyRefused is how many rows in a row may be refused one by one, and none be taken,
// before it is no longer the rows that are to blame.
const manyRefused = 32

// closed returns how long nothing should be sent.
func (s *stream) closed() time.Duration {
	s.mu.Lock()
	own := time.Until(s.until)
	s.mu.Unlock()
	return max(own, s.rule.closed())
}

// why is the error of who comes while the stream is closed.
func (s *stream) why() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Errorf("%s of %s takes nothing at present: %s", s.stream, s.dcr, orText(s.code, "another stream of the rule was refused"))
}

func (s *stream) close(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until = time.Now().Add(d)
}

func (s *stream) isNarrow() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.narrow
}

func (s *stream) setNarrow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.narrow = true
}

func (s *stream) isGood() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.good
}

// accept notes that rows were taken, and returns the reason why none were before.
func (s *stream) accept(b *body) (code string) {
	s.wire.accept(len(b.wire))
	s.raw.accept(b.raw)
	s.rule.widen()
	s.mu.Lock()
	defer s.mu.Unlock()
	code = s.code
	s.good, s.refused, s.held, s.code = true, 0, time.Time{}, ""
	return code
}

// hold notes that nothing is taken. It returns for how long that has been so, and the
// reason that there was before.
func (s *stream) hold(code string) (time.Duration, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held.IsZero() {
		s.held = time.Now()
	}
	before := s.code
	s.code = code
	return time.Since(s.held), before
}

// refuse notes that a row was refused, and reports whether it is to blame.
func (s *stream) refuse() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused >= manyRefused {
		return false
	}
	s.refused++
	return true
}

// ceiling is a limit of the far side, which may be lower than it is said to be.
type ceiling struct {
	max int

	mu       sync.Mutex
	low      int // the most that was taken since
	high     int // the least that was refused; 0: nothing was
	refused  time.Time
	accepted int // since it was refused, or raised
	raised   int // how often since it was refused
}

// A ceiling that was learned is tried a little higher after a while, and then more and
// more: it may have been a proxy's that is gone.
const (
	probeAfter    = 10 * time.Minute
	probeRequests = 64
)

// get returns what to stay below: halfway between what was taken and what was not.
func (c *ceiling) get() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.high == 0 {
		return c.max
	}
	learned := c.low
	if c.high-c.low > c.high/32 {
		learned = (max(c.low, c.high/4) + c.high) / 2 // somewhat more than half, so that a half fits
	}
	return max(learned, leastRequestBytes)
}

func (c *ceiling) refuse(size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.high, c.refused, c.accepted, c.raised = min(size, c.max), time.Now(), 0, 0
	if c.low >= c.high {
		c.low = 0
	}
}

func (c *ceiling) accept(size int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.low = max(c.low, size); c.high == 0 {
		return
	}
	c.high = max(c.high, c.low+1)
	if c.accepted++; c.accepted < probeRequests || time.Since(c.refused) < probeAfter {
		return
	}
	c.high += c.high >> max(0, 3-c.raised)
	c.accepted, c.raised = 0, c.raised+1
	if c.high >= c.max+c.max/8 {
		c.high = 0
	}
}
