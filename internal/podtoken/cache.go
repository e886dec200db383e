package podtoken

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"
)

const (
	keysLife     = time.Hour        // after that they are fetched again
	keysPause    = 10 * time.Second // between fetches that tokens cause
	emptyPause   = time.Second      // the same while there is no key at all
	fetchTimeout = 15 * time.Second // for sources without a limit of their own
	maxKnown     = 1024             // verified tokens that are remembered
)

// flight is one fetch that any number of callers wait for.
type flight struct {
	done     chan struct{}
	err      error // once done is closed
	provoked bool  // by a token; the next such one must wait
}

// wait returns the error of the fetch, or of ctx if that ends before.
func (f *flight) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrKeys, ctx.Err())
	}
}

// Load fetches the cluster's keys if there are none yet, so that the first token need
// not wait, and a program can say that it is ready. Its errors are [ErrKeys] or [ErrSetup].
func (v *Verifier) Load(ctx context.Context) error {
	if err := v.setUp(); err != nil {
		return err
	}
	v.mu.Lock()
	if v.set != nil {
		v.mu.Unlock()
		return nil
	}
	f := v.start(ctx, false) // without a pause: no stranger calls Load
	v.mu.Unlock()
	return f.wait(ctx)
}

// keysFor returns the keys that there are. If kid is not among them it fetches them
// first, but not more often than the pauses allow: anybody can make up a kid.
func (v *Verifier) keysFor(ctx context.Context, kid string) (*keySet, error) {
	v.mu.Lock()
	if v.set != nil {
		if _, found := v.set.byID[kid]; found {
			defer v.mu.Unlock()
			return v.set, nil
		}
	}
	if v.flight == nil && time.Now().Before(v.again) {
		defer v.mu.Unlock()
		return v.set, v.failure
	}
	f := v.start(ctx, true)
	v.mu.Unlock()
	if err := f.wait(ctx); err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.set, nil
}

// start begins a fetch or joins the one under way. It needs the lock. That its first
// caller goes away must not fail the others.
func (v *Verifier) start(ctx context.Context, provoked bool) *flight {
	if v.flight == nil {
		v.flight = &flight{done: make(chan struct{}), provoked: provoked}
		go v.fetch(context.WithoutCancel(ctx), v.flight)
	}
	return v.flight
}

func (v *Verifier) fetch(ctx context.Context, f *flight) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	set, err := v.read(ctx)
	v.mu.Lock()
	defer v.mu.Unlock()
	f.err, v.failure, v.flight = err, err, nil
	if err == nil {
		v.replace(set)
	}
	if f.provoked {
		v.again = time.Now().Add(v.pause())
	}
	close(f.done)
}

// pause needs the lock.
func (v *Verifier) pause() time.Duration {
	if v.set == nil {
		return emptyPause
	}
	return keysPause
}

func (v *Verifier) read(ctx context.Context) (*keySet, error) {
	document, err := v.Keys(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	set, err := parseKeys(document)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	return set, nil
}

// replace puts set in the place of the keys that there are. What these have verified is
// forgotten, unless they are the same. It needs the lock.
func (v *Verifier) replace(set *keySet) {
	v.fetched = time.Now()
	if v.set != nil && v.set.digest == set.digest {
		return
	}
	v.set = set
	clear(v.known)
}

// recall returns whose token has the digest, if it was verified before and is still good.
// In passing it has keys that are old fetched in the background: if all tokens
// are known nobody else would.
func (v *Verifier) recall(ctx context.Context, digest [sha256.Size]byte) (Pod, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	if v.set != nil && now.Sub(v.fetched) >= keysLife && !now.Before(v.again) {
		v.start(ctx, true)
	}
	pod, found := v.known[digest]
	if found && !now.Before(pod.Expiry) {
		delete(v.known, digest)
		return Pod{}, false
	}
	return pod, found
}

// remember keeps what set has verified, if set is still what counts.
func (v *Verifier) remember(digest [sha256.Size]byte, pod Pod, set *keySet) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.set != set {
		return
	}
	if v.known == nil {
		v.known = make(map[[sha256.Size]byte]Pod)
	}
	if len(v.known) >= maxKnown {
		v.makeRoom(time.Now())
	}
	v.known[digest] = pod
}

// makeRoom drops the tokens that are expired, or any one if none is. It needs the lock.
func (v *Verifier) makeRoom(now time.Time) {
	for digest, pod := range v.known {
		if !now.Before(pod.Expiry) {
			delete(v.known, digest)
		}
	}
	for digest := range v.known {
		if len(v.known) < maxKnown {
			return
		}
		delete(v.known, digest)
	}
}
