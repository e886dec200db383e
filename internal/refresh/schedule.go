package refresh

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Times is the life of one value.
type Times struct {
	Obtained  time.Time // zero: when the request for it began
	RefreshAt time.Time // the issuer's hint; zero: none
	Expiry    time.Time // zero: never
}

// Policy says what consumers of a value need. The zero Policy hands values out
// until they expire.
type Policy struct {
	// MinLeft is how long a value is to remain valid when it is handed out. It
	// applies to values that live at least twice as long, and gives way when
	// refreshing fails.
	MinLeft time.Duration
	// Margin is how long before its expiry a value counts as expired.
	Margin time.Duration
}

// Schedule is what becomes of a value as time goes by.
type Schedule struct {
	From  time.Time // before it the clock was set back: due
	Due   time.Time // from here on a new value is asked for, the old one is handed out
	Stale time.Time // from here on a caller waits a moment for the new value
	Dead  time.Time // from here on the old one is handed out no more
}

const (
	never        = 100 * 365 * 24 * time.Hour
	clockSlack   = time.Minute // a clock that is set back by less is not worth a request
	minInterval  = time.Minute
	sameExpiry   = 5 * time.Second // issuers compute the expiry anew from whole seconds
	dueEarliest  = 0.40            // of the lifetime; the jitter keeps a fleet from asking in step
	dueLatest    = 0.45
	backoffFirst = 2 * time.Second // half of it is certain, half is jitter
	backoffMax   = time.Minute
	backoffAsked = time.Hour // the longest Retry-After that is believed
)

// Schedule plans the life of a value that came at now; previous is the expiry of
// the value that it replaces, or zero.
func (p Policy) Schedule(t Times, previous, now time.Time) Schedule {
	if t.Obtained.IsZero() {
		t.Obtained = now
	}
	if t.Expiry.IsZero() {
		t.Expiry = t.Obtained.Add(never)
	}
	life := t.Expiry.Sub(t.Obtained)
	s := Schedule{From: t.Obtained.Add(-clockSlack), Due: due(t, life), Dead: t.Expiry.Add(-p.Margin)}
	s.Stale = s.Dead
	if life >= 2*p.MinLeft {
		s.Stale = t.Expiry.Add(-max(p.MinLeft, p.Margin))
	}
	if !previous.IsZero() && t.Expiry.Sub(previous).Abs() < sameExpiry {
		s.Due = now.Add(max(t.Expiry.Sub(now)/2, minInterval))
		if t.RefreshAt.After(now) { // but knows when it will
			s.Due = earlier(s.Due, t.RefreshAt)
		}
		s.Stale = later(s.Stale, s.Due) // the issuer has nothing better; waiting for it is idle
	}
	s.Due = earlier(s.Due, s.Dead)
	s.Stale = earlier(s.Stale, s.Dead)
	return s
}

// due is the earlier of the issuer's hint and 40 to 45 % of the lifetime. A hint
// that would make every call a request counts as one minute.
func due(t Times, life time.Duration) time.Time {
	share := dueEarliest + (dueLatest-dueEarliest)*rand.Float64() //nolint:gosec // jitter
	at := t.Obtained.Add(time.Duration(share * float64(life)))
	if t.RefreshAt.IsZero() {
		return at
	}
	return earlier(at, later(t.RefreshAt, t.Obtained.Add(minInterval)))
}

// Fresh reports whether the value may be handed out without a thought.
func (s Schedule) Fresh(now time.Time) bool { return !now.Before(s.From) && now.Before(s.Due) }

// Usable reports whether the value may be handed out at all.
func (s Schedule) Usable(now time.Time) bool { return now.Before(s.Dead) }

// Backoff is how long to leave the far side alone after so many failures in a row:
// 1 s doubling to 1 min with jitter, or what the far side asked for.
func Backoff(failures int, asked time.Duration) time.Duration {
	full := min(backoffFirst<<min(max(failures-1, 0), 10), backoffMax)
	wait := full/2 + rand.N(full/2+1) //nolint:gosec // jitter
	return max(wait, min(asked, backoffAsked))
}

// Asked is the Retry-After in err, found by its one-method interface.
func Asked(err error) time.Duration {
	var limited interface{ After() time.Duration }
	if errors.As(err, &limited) {
		return limited.After()
	}
	return 0
}

// DeadOnArrivalError says that a far side handed out a value that was expired, by
// this machine's clock, when it came.
type DeadOnArrivalError struct{ Expiry, Now time.Time }

func (e *DeadOnArrivalError) Error() string {
	return fmt.Sprintf("the answer had expired when it came, at %s; it is now %s here: is this machine's clock right?",
		e.Expiry.UTC().Format(time.RFC3339), e.Now.UTC().Format(time.RFC3339))
}

// Check returns a [*DeadOnArrivalError] if a value with this schedule is of no use.
func (s Schedule) Check(t Times, now time.Time) error {
	if s.Usable(now) {
		return nil
	}
	return &DeadOnArrivalError{Expiry: t.Expiry, Now: now}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
