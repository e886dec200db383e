package podtoken

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"
	"time"
)

func TestMemoryIsBounded(t *testing.T) {
	set := &keySet{}
	v := &Verifier{set: set}
	remember := func(n int, expiry time.Time) {
		var digest [sha256.Size]byte
		binary.BigEndian.PutUint64(digest[:], uint64(n))
		v.remember(digest, Pod{Expiry: expiry}, set)
		if len(v.known) > maxKnown {
			t.Fatalf("%d tokens are remembered, want up to %d", len(v.known), maxKnown)
		}
	}
	now := time.Now()
	for n := range maxKnown {
		remember(n, now.Add(-time.Minute+time.Duration(n%2)*time.Hour))
	}
	remember(maxKnown, now.Add(time.Hour))
	if len(v.known) != maxKnown/2+1 {
		t.Errorf("%d tokens are remembered, want the %d that are not expired", len(v.known), maxKnown/2+1)
	}
	for n := range 3 * maxKnown {
		remember(maxKnown+n, now.Add(time.Hour))
	}
	if len(v.known) != maxKnown {
		t.Errorf("%d tokens are remembered, want %d", len(v.known), maxKnown)
	}
}

func TestMemoryTakesNothingFromKeysThatAreGone(t *testing.T) {
	v := &Verifier{set: &keySet{}}
	v.remember([sha256.Size]byte{}, Pod{}, &keySet{})
	if len(v.known) != 0 {
		t.Errorf("%d tokens are remembered, want none", len(v.known))
	}
}
