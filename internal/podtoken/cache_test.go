package podtoken_test

import (
	"context"
	"crypto/elliptic"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyless-id/keyless/internal/podtoken"
)

var errDown = errors.New("the API server is down")

func TestNewKeyIsPickedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, c := newVerifier(jwk("ec", &p256().PublicKey))
		old := good(t)
		wantError(t, verify(v, old), nil)
		next := signer{p384(), "ES384", "next"}.sign(t, claims(), nil)

		c.set(nil, jwk("next", &p384().PublicKey), jwk("ec", &p256().PublicKey))
		wantError(t, verify(v, next), podtoken.ErrToken) // the keys are but a moment old
		c.wantAsked(t, 1)
		time.Sleep(10 * time.Second)
		wantError(t, verify(v, next), nil)
		wantError(t, verify(v, old), nil)
		c.wantAsked(t, 2)
	})
}

func TestNewKeyIsPickedUpAtOnceAfterLoad(t *testing.T) {
	v, c := newVerifier(jwk("ec", &p256().PublicKey))
	wantError(t, v.Load(context.Background()), nil)
	wantError(t, v.Load(context.Background()), nil)
	c.wantAsked(t, 1)
	c.set(nil, jwk("next", &p384().PublicKey))
	wantError(t, verify(v, signer{p384(), "ES384", "next"}.sign(t, claims(), nil)), nil)
	wantError(t, verify(v, good(t)), podtoken.ErrToken)
}

func TestOldKeysSurviveAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, c := newVerifier(jwk("ec", &p256().PublicKey))
		wantError(t, v.Load(t.Context()), nil)
		for name, change := range map[string]func(){
			"down":    func() { c.set(errDown) },
			"no keys": func() { c.set(nil) },
			"useless": func() { c.set(nil, jwk("short", &shortRSA().PublicKey)) },
			"no JSON": func() { c.set(nil); c.document = []byte("<html>") },
		} {
			change()
			for range 3 {
				time.Sleep(2 * time.Hour)
				wantError(t, verify(v, good(t)), nil)
				synctest.Wait()
			}
			// Whether its key is a new one cannot be told.
			err := verify(v, signer{p384(), "ES384", "next"}.sign(t, claims(), nil))
			wantError(t, err, podtoken.ErrKeys)
			if name == "down" && !errors.Is(err, errDown) {
				t.Errorf("error: got %v, want the cause in it", err)
			}
		}
		c.set(nil, jwk("next", &p384().PublicKey))
		time.Sleep(10 * time.Second)
		wantError(t, verify(v, signer{p384(), "ES384", "next"}.sign(t, claims(), nil)), nil)
	})
}

func TestNoKeysYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, c := newVerifier()
		c.set(errDown)
		wantError(t, v.Load(t.Context()), podtoken.ErrKeys)
		for range 10 {
			wantError(t, verify(v, good(t)), podtoken.ErrKeys)
		}
		c.wantAsked(t, 2)
		c.set(nil, jwk("ec", &p256().PublicKey))
		time.Sleep(time.Second)
		wantError(t, verify(v, good(t)), nil)
		c.wantAsked(t, 3)
	})
}

func TestBurstOfForgedKids(t *testing.T) {
	for name, load := range map[string]bool{"cold": false, "loaded": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v, c := newVerifier(jwk("ec", &p256().PublicKey))
				c.wait = 100 * time.Millisecond
				want := 1
				if load {
					wantError(t, v.Load(t.Context()), nil)
					want = 2
				}
				stranger := newEC(elliptic.P256())
				burst := func(wave int) {
					var all sync.WaitGroup
					for i := range 20 {
						token := signer{stranger, "ES256", fmt.Sprintf("forged-%d-%d", wave, i)}.sign(t, claims(), nil)
						all.Go(func() { wantError(t, verify(v, token), podtoken.ErrToken) })
					}
					all.Wait()
				}
				for wave := range 9 { // 9 s and a little
					burst(wave)
					time.Sleep(time.Second)
				}
				c.wantAsked(t, want)
				time.Sleep(2 * time.Second)
				burst(9)
				c.wantAsked(t, want+1)
			})
		})
	}
}

func TestKeysAreFetchedAgainAfterAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, c := newVerifier(jwk("ec", &p256().PublicKey))
		token := signer{p256(), "ES256", "ec"}.sign(t, with(claims(), object{"exp": time.Now().Add(9 * time.Hour).Unix()}), nil)
		wantError(t, verify(v, token), nil)
		time.Sleep(59 * time.Minute)
		wantError(t, verify(v, token), nil)
		synctest.Wait()
		c.wantAsked(t, 1)
		c.set(nil, jwk("next", &p384().PublicKey))
		time.Sleep(time.Minute)
		wantError(t, verify(v, token), nil) // in the background
		synctest.Wait()
		c.wantAsked(t, 2)
		wantError(t, verify(v, token), podtoken.ErrToken) // known, by a key that is gone
	})
}

func TestKnownTokensExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, _ := newVerifier(jwk("ec", &p256().PublicKey))
		token := good(t)
		wantError(t, verify(v, token), nil)
		time.Sleep(time.Hour - time.Second)
		wantError(t, verify(v, token), nil)
		time.Sleep(time.Second)
		wantError(t, verify(v, token), podtoken.ErrToken)
	})
}

func TestACallerGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, c := newVerifier(jwk("ec", &p256().PublicKey))
		c.wait = 5 * time.Second
		token := good(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var stays sync.WaitGroup
		stays.Go(func() {
			time.Sleep(100 * time.Millisecond)
			wantError(t, verify(v, token), nil)
		})
		_, err := v.Verify(ctx, token)
		wantError(t, err, podtoken.ErrKeys)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error: got %v, want the context's in it", err)
		}
		stays.Wait()
		c.wantAsked(t, 1)
	})
}

func TestASourceThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, c := newVerifier()
		c.wait = time.Hour
		began := time.Now()
		wantError(t, v.Load(t.Context()), podtoken.ErrKeys)
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("took %v, want 15 s", took)
		}
	})
}

func TestManyAtOnce(t *testing.T) {
	v, c := newVerifier(everyKey()...)
	tokens := []string{good(t), signer{rsaKey(), "RS256", "rsa"}.sign(t, claims(), nil)}
	forged := signer{newEC(elliptic.P256()), "ES256", "ec"}.sign(t, claims(), nil)
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for range 20 {
				wantError(t, verify(v, tokens[i%2]), nil)
				wantError(t, verify(v, forged), podtoken.ErrToken)
				wantError(t, v.Load(context.Background()), nil)
			}
		})
	}
	all.Wait()
	c.wantAsked(t, 1)
}

func BenchmarkVerifyKnown(b *testing.B) {
	v, _ := newVerifier(everyKey()...)
	token := good(b)
	for b.Loop() {
		if err := verify(v, token); err != nil {
			b.Fatal(err)
		}
	}
}

func TestOtherAlgorithmsFetchNothing(t *testing.T) {
	v, c := newVerifier(everyKey()...)
	token := signer{[]byte("a shared secret"), "HS256", "oct"}.sign(t, claims(), nil)
	wantError(t, verify(v, token), podtoken.ErrToken)
	c.wantAsked(t, 0)
}
