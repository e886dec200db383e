package podtoken

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"
)

const (
	keysLife     = time.Hour        // after which the keys are asked for again
	keysInterval = 10 * time.Second // between two requests that unknown keys cause
	keysTimeout  = 10 * time.Second
	minRSA       = 2048 // bits
)

var errNoKey = errors.New("the token names a key that the cluster does not publish")

// keyring holds the cluster's keys. What it has once had it keeps until there is a newer
// set: an outage of the API server is not one of the pods.
type keyring struct {
	mu      sync.Mutex
	keys    map[string]any // *rsa.PublicKey or *ecdsa.PublicKey, by id
	number  int            // of the set: another one is another number
	fetched time.Time      // the last success
	tried   time.Time      // the last try
	failure error          // of the last try
	flight  chan struct{}  // the request under way; closed at its end
}

type fetcher func(context.Context) ([]byte, error)

// find returns a key. One that is not there makes the set be asked for anew, because the
// cluster may have changed its keys, and is waited for; an old set is renewed behind the
// caller's back.
func (r *keyring) find(ctx context.Context, fetch fetcher, id string) (any, error) {
	key, flight := r.look(ctx, fetch, id)
	if key != nil {
		return key, nil
	}
	if flight != nil {
		select {
		case <-flight:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrKeys, ctx.Err())
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch key, ok := r.keys[id]; {
	case ok:
		return key, nil
	case r.failure != nil:
		return nil, fmt.Errorf("%w: %w", ErrKeys, r.failure)
	}
	return nil, errNoKey
}

// look returns the key, and the request that is under way for the next set.
func (r *keyring) look(ctx context.Context, fetch fetcher, id string) (any, chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := r.keys[id]
	wanted := key == nil || time.Since(r.fetched) > keysLife
	if wanted && r.flight == nil && time.Since(r.tried) > keysInterval {
		r.flight, r.tried = make(chan struct{}), time.Now()
		go r.renew(context.WithoutCancel(ctx), fetch)
	}
	return key, r.flight
}

func (r *keyring) renew(ctx context.Context, fetch fetcher) {
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	document, err := fetch(ctx)
	var keys map[string]any
	if err == nil {
		keys, err = parseKeys(document)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure = err; err == nil {
		r.keys, r.fetched, r.number = keys, time.Now(), r.number+1
	}
	close(r.flight)
	r.flight = nil
}

// state is which set there is, and whether it is so old that the next is wanted.
func (r *keyring) state() (number int, old bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.number, time.Since(r.fetched) > keysLife
}

// jsonKey is one key of a set (RFC 7517, RFC 7518 section 6).
type jsonKey struct {
	Type  string `json:"kty"`
	Use   string `json:"use"`
	ID    string `json:"kid"`
	N     string `json:"n"`
	E     string `json:"e"`
	Curve string `json:"crv"`
	X     string `json:"x"`
	Y     string `json:"y"`
}

// parseKeys reads a key set. A key of a kind that is not known is left out; a set without
// any that is known is an error.
func parseKeys(document []byte) (map[string]any, error) {
	var set struct {
		Keys []jsonKey `json:"keys"`
	}
	if err := json.Unmarshal(document, &set); err != nil {
		return nil, errors.New("the answer is no key set")
	}
	keys := map[string]any{}
	for _, k := range set.Keys {
		if key := k.public(); key != nil && k.ID != "" && (k.Use == "" || k.Use == "sig") {
			keys[k.ID] = key
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the key set has no key to verify with")
	}
	return keys, nil
}

func (k jsonKey) public() any {
	switch k.Type {
	case "RSA":
		return k.rsa()
	case "EC":
		return k.ec()
	}
	return nil
}

func (k jsonKey) rsa() any {
	n, e := number(k.N), number(k.E)
	if n == nil || e == nil || n.BitLen() < minRSA || !e.IsInt64() || e.Int64() < 3 || e.Int64() > 1<<31-1 {
		return nil
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}
}

func (k jsonKey) ec() any {
	curve, ok := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[k.Curve]
	if !ok {
		return nil
	}
	size := (curve.Params().BitSize + 7) / 8
	x, errX := base64.RawURLEncoding.DecodeString(k.X)
	y, errY := base64.RawURLEncoding.DecodeString(k.Y)
	if errX != nil || errY != nil || len(x) != size || len(y) != size {
		return nil
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, x...), y...))
	if err != nil { // not on the curve
		return nil
	}
	return key
}

func number(text string) *big.Int {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) == 0 {
		return nil
	}
	return new(big.Int).SetBytes(raw)
}
