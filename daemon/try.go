package daemon

import (
	"sync"
	"time"

	"github.com/keyless-id/keyless/internal/filecache"
)

// tries is how asking for one thing goes.
type tries struct {
	mu       sync.Mutex
	any      chan struct{} // closed when there was one; made by newTries
	obtained time.Time
	expiry   time.Time // of the latest that came
	failure  filecache.Failure
	good     int
	bad      int
}

func newTries() *tries { return &tries{any: make(chan struct{})} }

// came notes an answer: an old one, which comes because asking fails, is a failure too.
func (t *tries) came(obtained, expiry time.Time, failure filecache.Failure) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case failure.Err != nil:
		t.failed(failure)
	case !expiry.Equal(t.expiry):
		t.good++
		t.failure = filecache.Failure{}
	}
	t.obtained, t.expiry = obtained, expiry
	t.end()
}

// refused notes that no answer came.
func (t *tries) refused(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed(filecache.Failure{At: time.Now(), Err: err})
	t.end()
}

// failed counts each failure once; the cache tells of one until another try is due.
func (t *tries) failed(failure filecache.Failure) {
	if failure.At.Equal(t.failure.At) {
		return
	}
	t.bad++
	t.failure = failure
}

func (t *tries) end() {
	select {
	case <-t.any:
	default:
		close(t.any)
	}
}

// tally is a copy for those who tell of it.
type tally struct {
	obtained, expiry time.Time
	failure          filecache.Failure
	good, bad        int
}

func (t *tries) tally() tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	return tally{t.obtained, t.expiry, t.failure, t.good, t.bad}
}
