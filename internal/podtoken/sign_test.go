package podtoken_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/keyless-id/keyless/internal/podtoken"
)

const (
	issuer   = "https://oidc.example.test/cluster-1"
	audience = "keyless.example"
)

// made holds keys by what they are; RSA keys take a while to make.
var (
	rsaKey   = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(2048) })
	otherRSA = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(2048) })
	shortRSA = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(1024) })
	p256     = sync.OnceValue(func() *ecdsa.PrivateKey { return newEC(elliptic.P256()) })
	p384     = sync.OnceValue(func() *ecdsa.PrivateKey { return newEC(elliptic.P384()) })
	p521     = sync.OnceValue(func() *ecdsa.PrivateKey { return newEC(elliptic.P521()) })
)

func newRSA(bits int) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return key
}

func newEC(curve elliptic.Curve) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

// object is JSON in the making.
type object = map[string]any

// with returns a copy of o with some members changed; nil takes one away.
func with(o, changes object) object {
	all := maps.Clone(o)
	maps.Copy(all, changes)
	maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
	return all
}

// private is the claim kubernetes.io of a pod.
func private() object {
	return object{
		"namespace":      "shop",
		"serviceaccount": object{"name": "cart", "uid": "5f6c4f0e-0000-4000-8000-000000000001"},
		"pod":            object{"name": "cart-7d9f-x2x4p", "uid": "5f6c4f0e-0000-4000-8000-000000000002"},
		"node":           object{"name": "node-1", "uid": "5f6c4f0e-0000-4000-8000-000000000003"},
		"warnafter":      time.Now().Add(50 * time.Minute).Unix(),
	}
}

// claims are those of a good token, of an hour's life.
func claims() object {
	now := time.Now().Unix()
	return object{
		"iss": issuer, "aud": []string{audience}, "sub": "system:serviceaccount:shop:cart",
		"iat": now, "nbf": now, "exp": now + 3600, "jti": "canary-of-the-claims",
		"kubernetes.io": private(),
	}
}

func segment(tb testing.TB, value any) string {
	tb.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		tb.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(data)
}

// signer is a key, for one algorithm, under an id.
type signer struct {
	key            any
	algorithm, kid string
}

// sign makes a token; changes are to its header.
func (s signer) sign(tb testing.TB, payload, changes object) string {
	tb.Helper()
	header := with(object{"alg": s.algorithm, "kid": s.kid}, changes)
	text := segment(tb, header) + "." + segment(tb, payload)
	signature, err := jwt.GetSigningMethod(s.algorithm).Sign(text, s.key)
	if err != nil {
		tb.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// good is a token that everything is right with.
func good(tb testing.TB) string {
	tb.Helper()
	return signer{p256(), "ES256", "ec"}.sign(tb, claims(), nil)
}

// jwk writes a public key down.
func jwk(kid string, public crypto.PublicKey) object {
	encode := base64.RawURLEncoding.EncodeToString
	switch public := public.(type) {
	case *rsa.PublicKey:
		return object{
			"kty": "RSA", "kid": kid, "use": "sig",
			"n": encode(public.N.Bytes()), "e": encode(big.NewInt(int64(public.E)).Bytes()),
		}
	case *ecdsa.PublicKey:
		point, err := public.Bytes()
		if err != nil {
			panic(err)
		}
		half := len(point) / 2
		return object{
			"kty": "EC", "kid": kid, "use": "sig", "crv": public.Params().Name,
			"x": encode(point[1 : 1+half]), "y": encode(point[1+half:]),
		}
	}
	panic("a key of an unknown kind")
}

func jwks(keys ...object) []byte {
	data, err := json.Marshal(object{"keys": keys})
	if err != nil {
		panic(err)
	}
	return data
}

// cluster is a source of keys that counts how often it is asked.
type cluster struct {
	mu       sync.Mutex
	document []byte
	err      error
	wait     time.Duration
	asked    int
}

func (c *cluster) Keys(ctx context.Context) ([]byte, error) {
	c.mu.Lock()
	c.asked++
	document, err, wait := c.document, c.err, c.wait
	c.mu.Unlock()
	select {
	case <-time.After(wait):
		return document, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (c *cluster) set(err error, keys ...object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.document, c.err = jwks(keys...), err
}

func (c *cluster) wantAsked(t *testing.T, want int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked != want {
		t.Errorf("the keys were asked for %d times, want %d", c.asked, want)
	}
}

// newVerifier returns a verifier and the cluster that it asks.
func newVerifier(keys ...object) (*podtoken.Verifier, *cluster) {
	c := &cluster{document: jwks(keys...)}
	return &podtoken.Verifier{Issuer: issuer, Audience: audience, Keys: c.Keys}, c
}

func verify(v *podtoken.Verifier, token string) error {
	_, err := v.Verify(context.Background(), token)
	return err
}

// wantError wants an error of the kind, or none if kind is nil.
func wantError(tb testing.TB, err, kind error) {
	tb.Helper()
	if !errors.Is(err, kind) {
		tb.Errorf("error: got %v, want %v", err, kind)
	}
	for _, other := range []error{podtoken.ErrToken, podtoken.ErrKeys, podtoken.ErrSetup} {
		if !errors.Is(kind, other) && errors.Is(err, other) {
			tb.Errorf("error %v is a %q too", err, other)
		}
	}
}
