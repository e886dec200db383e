package bench_test

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	keyless "github.com/keyless-id/keyless"
)

// crowdSize makes RunParallel start 64 goroutines in all.
func crowdSize() int { return max(1, 64/runtime.GOMAXPROCS(0)) }

// TestThousandColdCallersMakeOneRequest is a count and no time, so it is a test.
func TestThousandColdCallersMakeOneRequest(t *testing.T) {
	var requests atomic.Int64
	source := keyless.Cached(keyless.TokenSourceFunc(func(context.Context) (keyless.Token, error) {
		requests.Add(1)
		return keyless.Token{Value: keyless.NewSecret(value), Obtained: time.Now(), Expiry: time.Now().Add(time.Hour)}, nil
	}))
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() {
			if _, err := source.Token(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := requests.Load(); got != 1 {
		t.Errorf("requests: got %d, want 1", got)
	}
}
