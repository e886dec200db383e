package sourcetest

import (
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	keyless "github.com/keyless-id/keyless"
)

// coldCrowd demands that many callers of a cache without a token cost what one costs.
func (c Contract) coldCrowd(t *testing.T) {
	t.Helper()
	far, want := c.good(), max(c.Cold, 1)
	source := keyless.Cached(c.New(c.far(far)))
	var callers sync.WaitGroup
	for range 100 {
		callers.Go(func() {
			if _, err := source.Token(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	if got := len(far.seen()); got != want {
		t.Errorf("%d requests for 100 callers, want %d", got, want)
	}
}

// outage demands that no call fails while nobody can be asked for 30 minutes, or half
// the token's life where that is shorter, from the time at which the token is due.
func (c Contract) outage(t *testing.T) {
	t.Helper()
	var down atomic.Bool
	good := c.good()
	far := &farSide{answer: func(r *http.Request, seen request) (*http.Response, error) {
		if down.Load() {
			return nil, syscall.ECONNREFUSED
		}
		return good.answer(r, seen)
	}}
	source := keyless.Cached(c.New(c.far(far)))
	first, err := source.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cold, life := len(far.seen()), time.Until(first.Expiry)
	<-time.After(life * 2 / 5)
	down.Store(true)
	length := min(30*time.Minute, life/2)
	for end := time.Now().Add(length); time.Now().Before(end); <-time.After(length / 100) {
		if _, err := source.Token(t.Context()); err != nil {
			t.Fatalf("%v before its expiry: %v", time.Until(first.Expiry), err)
		}
	}
	synctest.Wait()
	if len(far.seen()) == cold {
		t.Error("nobody was asked in the outage, so it was none")
	}
}
