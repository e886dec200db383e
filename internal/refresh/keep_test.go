package refresh

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestKeptValuesAreThereWithoutWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour, delay: 3 * time.Second}
		c := cacheOf(i)
		c.Policy = Policy{MinLeft: 20 * time.Minute, Margin: time.Minute}
		if _, found, err := c.Latest(); found || err != nil {
			t.Errorf("a value from nowhere: %v", err)
		}
		ctx, stop := context.WithCancel(t.Context())
		go c.Keep(ctx, nil)
		time.Sleep(4 * time.Second)
		for range 24 * 60 {
			v, found, err := c.Latest()
			if left := time.Until(v.Expiry); !found || err != nil || left < 20*time.Minute {
				t.Fatalf("%v, %s left", err, left)
			}
			time.Sleep(time.Minute)
		}
		if asked := i.asked.Load(); asked < 24*2 || asked > 24*3 {
			t.Errorf("asked %d times in a day", asked)
		}
		stop()
		synctest.Wait()
	})
}

func TestKeepingGoesOnThroughAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := &issuer{life: time.Hour}
		c := cacheOf(i)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go c.Keep(ctx, nil)
		time.Sleep(time.Minute)
		i.down.Store(true)
		before := i.asked.Load()
		for minute := range 90 {
			_, found, err := c.Latest()
			if found != (minute < 59) || !found && !errors.Is(err, i.fault) {
				t.Fatalf("minute %d: %v, %v", minute, found, err)
			}
			time.Sleep(time.Minute)
		}
		if asked := i.asked.Load() - before; asked < 30 || asked > 105 { // about 70 an hour
			t.Errorf("asked %d times in an outage of 90 minutes", asked)
		}
		i.down.Store(false)
		time.Sleep(time.Minute + time.Second)
		if _, found, err := c.Latest(); !found || err != nil {
			t.Errorf("%v", err)
		}
		stop()
		synctest.Wait()
	})
}
