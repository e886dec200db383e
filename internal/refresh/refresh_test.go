package refresh

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

type value struct {
	n int
	Times
}

// issuer is the far side: it counts what it is asked and can be slow or down.
type issuer struct {
	asked  atomic.Int32
	life   time.Duration
	delay  time.Duration
	hint   time.Duration
	down   atomic.Bool
	fault  error
	frozen time.Time // the expiry that it insists on, as a platform cache does
}

func (i *issuer) fetch(ctx context.Context) (value, error) {
	n := i.asked.Add(1)
	select {
	case <-time.After(i.delay):
	case <-ctx.Done():
		return value{}, ctx.Err()
	}
	if i.down.Load() {
		return value{}, i.fault
	}
	v := value{n: int(n), Times: Times{Obtained: time.Now(), Expiry: time.Now().Add(i.life)}}
	if i.hint != 0 {
		v.RefreshAt = time.Now().Add(i.hint)
	}
	if !i.frozen.IsZero() {
		v.Expiry = i.frozen
	}
	return v, nil
}

func cacheOf(i *issuer) *Cache[value] {
	if i.fault == nil {
		i.fault = errors.New("down")
	}
	return &Cache[value]{Fetch: i.fetch, Times: func(v value) Times { return v.Times }}
}

func mustGet(t *testing.T, c *Cache[value]) value {
	t.Helper()
	v, err := c.Get(t.Context())
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	return v
}

func TestHundredColdCallersMakeOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &issuer{life: time.Hour, delay: time.Second}
		c := cacheOf(far)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if v := mustGet(t, c); v.n != 1 {
					t.Errorf("got value %d, want 1", v.n)
				}
			})
		}
		wg.Wait()
		if n := far.asked.Load(); n != 1 {
			t.Errorf("%d requests, want 1", n)
		}
	})
}

func TestOutageOfThirtyMinutesInMidTokenIsInvisible(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &issuer{life: time.Hour, delay: 50 * time.Millisecond}
		c := cacheOf(far)
		first := mustGet(t, c)
		time.Sleep(20 * time.Minute)
		far.down.Store(true)
		for range 30 * 60 {
			began := time.Now()
			if v := mustGet(t, c); v.n != first.n {
				t.Fatalf("value %d during the outage, want the old one", v.n)
			}
			if waited := time.Since(began); waited != 0 {
				t.Fatalf("a caller waited %v during the outage", waited)
			}
			time.Sleep(time.Second)
		}
		if n := far.asked.Load(); n > 60 {
			t.Errorf("%d requests during the outage: no back-off", n)
		}
		far.down.Store(false)
		time.Sleep(2 * time.Minute)
		mustGet(t, c)
		synctest.Wait()
		time.Sleep(time.Second)
		if v := mustGet(t, c); v.n == first.n {
			t.Error("the outage ended and nothing new was fetched")
		}
	})
}

func TestExpiredValueIsAnErrorWhileTheFarSideIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &issuer{life: time.Hour}
		c := cacheOf(far)
		mustGet(t, c)
		far.down.Store(true)
		time.Sleep(time.Hour)
		if _, err := c.Get(t.Context()); !errors.Is(err, far.fault) {
			t.Fatalf("err = %v, want %v", err, far.fault)
		}
		asked := far.asked.Load()
		for range 100 { // within the back-off nobody asks again
			if _, err := c.Get(t.Context()); !errors.Is(err, far.fault) {
				t.Fatalf("err = %v, want %v", err, far.fault)
			}
		}
		if n := far.asked.Load(); n != asked {
			t.Errorf("%d more requests within the back-off", n-asked)
		}
	})
}

func TestNobodyWaitsPastTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cacheOf(&issuer{life: time.Hour, delay: 20 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err := c.Get(ctx)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v, want deadline exceeded", err)
		}
		if waited := time.Since(began); waited != 100*time.Millisecond {
			t.Errorf("waited %v", waited)
		}
		time.Sleep(time.Minute)
	})
}

func TestFirstCallerLeavingHarmsNoOther(t *testing.T) {
	for name, lazy := range map[string]bool{"eager": false, "lazy": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				far := &issuer{life: time.Hour, delay: time.Second}
				c := cacheOf(far)
				c.Lazy = lazy
				first, leave := context.WithCancel(t.Context())
				go func() { _, _ = c.Get(first) }()
				synctest.Wait()
				second := make(chan error)
				go func() { _, err := c.Get(t.Context()); second <- err }()
				synctest.Wait()
				leave()
				if err := <-second; err != nil {
					t.Errorf("the second caller got %v", err)
				}
			})
		})
	}
}

func TestDeadOnArrivalIsAnErrorAndNoLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &issuer{life: -10 * time.Minute}
		c := cacheOf(far)
		for range 3600 {
			_, err := c.Get(t.Context())
			var dead *DeadOnArrivalError
			if !errors.As(err, &dead) || !strings.Contains(err.Error(), "clock") {
				t.Fatalf("err = %v, want one that asks about the clock", err)
			}
			time.Sleep(time.Second)
		}
		if n := far.asked.Load(); n > 130 {
			t.Errorf("%d requests in an hour", n)
		}
	})
}

func TestSlowIdentityDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := cacheOf(&issuer{life: time.Hour, delay: 25 * time.Second})
		fast := cacheOf(&issuer{life: time.Hour, delay: time.Millisecond})
		go func() { _, _ = slow.Get(t.Context()) }()
		synctest.Wait()
		began := time.Now()
		mustGet(t, fast)
		if waited := time.Since(began); waited > 10*time.Millisecond {
			t.Errorf("the fast identity waited %v for the slow one", waited)
		}
		time.Sleep(time.Minute)
	})
}

type limited struct{ after time.Duration }

func (limited) Error() string          { return "429" }
func (l limited) After() time.Duration { return l.after }

func TestRetryAfterIsObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &issuer{life: time.Hour, fault: limited{5 * time.Minute}}
		far.down.Store(true)
		c := cacheOf(far)
		for range 299 {
			if _, err := c.Get(t.Context()); err == nil {
				t.Fatal("no error")
			}
			time.Sleep(time.Second)
		}
		if n := far.asked.Load(); n != 1 {
			t.Errorf("%d requests within Retry-After, want 1", n)
		}
		far.down.Store(false)
		time.Sleep(2 * time.Second)
		mustGet(t, c)
	})
}

func TestDueValueIsReplacedBehindTheCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &issuer{life: time.Hour, delay: time.Second}
		c := cacheOf(far)
		mustGet(t, c)
		time.Sleep(23 * time.Minute) // 38 %
		mustGet(t, c)
		synctest.Wait()
		if n := far.asked.Load(); n != 1 {
			t.Fatalf("%d requests before 40 %% of the lifetime", n)
		}
		time.Sleep(5 * time.Minute) // 46 %
		if v := mustGet(t, c); v.n != 1 {
			t.Errorf("value %d, want the old one at once", v.n)
		}
		time.Sleep(2 * time.Second)
		if v := mustGet(t, c); v.n != 2 {
			t.Errorf("value %d, want the new one", v.n)
		}
	})
}

func TestIssuersHintIsObeyedButNotEverySecond(t *testing.T) {
	now := time.Now()
	s := Policy{}.Schedule(Times{Obtained: now, RefreshAt: now.Add(10 * time.Minute), Expiry: now.Add(time.Hour)}, time.Time{}, now)
	if got := s.Due.Sub(now); got != 10*time.Minute {
		t.Errorf("due after %v, want the hint", got)
	}
	s = Policy{}.Schedule(Times{Obtained: now, RefreshAt: now, Expiry: now.Add(time.Hour)}, time.Time{}, now)
	if got := s.Due.Sub(now); got != time.Minute {
		t.Errorf("due after %v, want a minute", got)
	}
}

func TestUnchangedExpiryMovesTheNextTryToHalfOfWhatRemains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &issuer{life: time.Hour, frozen: time.Now().Add(time.Hour)}
		c := cacheOf(far)
		for range 60 * 60 {
			mustGet(t, c)
			synctest.Wait()
			time.Sleep(time.Second - time.Millisecond)
		}
		if n := far.asked.Load(); n < 4 || n > 10 {
			t.Errorf("%d requests in the hour of an unchanging token, want about log2", n)
		}
	})
}

func TestCredentialsKeepTwentyMinutesUnlessRefreshFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &issuer{life: time.Hour, delay: time.Second}
		c := cacheOf(far)
		c.Policy = Policy{MinLeft: 20 * time.Minute, Margin: time.Minute}
		mustGet(t, c)
		time.Sleep(41 * time.Minute) // nobody asked meanwhile
		if v := mustGet(t, c); v.n != 2 {
			t.Errorf("value %d with %v left, want a new one", v.n, time.Until(v.Expiry))
		}
		far.down.Store(true)
		time.Sleep(50 * time.Minute)
		if v := mustGet(t, c); v.n != 2 {
			t.Errorf("value %d, want the old one while refresh fails", v.n)
		}
		time.Sleep(9*time.Minute + time.Second)
		if v, err := c.Get(t.Context()); err == nil {
			t.Errorf("handed out %v before expiry", time.Until(v.Expiry))
		}
	})
}

func TestLazyCacheRefreshesInTheForegroundForFiveSecondsAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &issuer{life: time.Hour, delay: time.Second}
		c := cacheOf(far)
		c.Lazy = true
		mustGet(t, c)
		time.Sleep(30 * time.Minute)
		if v := mustGet(t, c); v.n != 2 {
			t.Errorf("value %d, want the refreshed one", v.n)
		}
		time.Sleep(30 * time.Minute)
		far.delay = time.Minute
		began := time.Now()
		if v := mustGet(t, c); v.n != 2 || time.Since(began) != 5*time.Second {
			t.Errorf("value %d after %v, want the old one after 5s", v.n, time.Since(began))
		}
	})
}

func TestClockSetBackIsDueNotFresh(t *testing.T) {
	now := time.Now()
	s := Policy{}.Schedule(Times{Obtained: now, Expiry: now.Add(time.Hour)}, time.Time{}, now)
	if back := now.Add(-time.Hour); s.Fresh(back) || !s.Usable(back) {
		t.Error("want due and usable when the clock is an hour back")
	}
}

func TestRenewAsksOnceForManyRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &issuer{life: time.Hour, delay: time.Second}
		c := cacheOf(far)
		old := mustGet(t, c)
		refused := func(v value) bool { return v.n == old.n }
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if v, err := c.Renew(t.Context(), refused, far.fetch); err != nil || v.n != 2 {
					t.Errorf("got %d, %v", v.n, err)
				}
			})
		}
		wg.Wait()
		everything := func(value) bool { return true }
		for range 50 {
			_, _ = c.Renew(t.Context(), everything, far.fetch)
		}
		if n := far.asked.Load(); n != 2 {
			t.Errorf("%d requests, want 2", n)
		}
		far.down.Store(true)
		time.Sleep(time.Minute)
		if _, err := c.Renew(t.Context(), everything, far.fetch); !errors.Is(err, far.fault) {
			t.Errorf("err = %v, want the fault", err)
		}
		if v := mustGet(t, c); v.n != 2 {
			t.Error("a failed renewal cost the value that was there")
		}
	})
}

func TestBackoffStaysBetweenASecondAndAMinute(t *testing.T) {
	for n := range 100 {
		if d := Backoff(n, 0); d < time.Second || d > time.Minute {
			t.Errorf("Backoff(%d) = %v", n, d)
		}
	}
	if d := Backoff(1, 10*time.Minute); d != 10*time.Minute {
		t.Errorf("asked for 10m, got %v", d)
	}
}

func TestFreshValueCostsNoAllocation(t *testing.T) {
	c := cacheOf(&issuer{life: time.Hour})
	mustGet(t, c)
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() { _, _ = c.Get(ctx) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestFreshValueTakesNoLock(t *testing.T) {
	c := cacheOf(&issuer{life: time.Hour})
	mustGet(t, c)
	c.mu.Lock()
	defer c.mu.Unlock()
	mustGet(t, c) // would never return
}
