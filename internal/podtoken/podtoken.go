// Package podtoken verifies the projected service account token that a Kubernetes pod
// shows: signed by its cluster, for one audience, not expired. What the token must be is
// in the Kubernetes documentation, "ServiceAccount token volume projection" and
// "ServiceAccount issuer discovery" ("Managing Service Accounts", "Configure Service
// Accounts for Pods").
//
// It does not ask the API server whether the pod still exists, as TokenReview would: a
// token that leaks is good until it expires.
package podtoken

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/keyless-id/keyless/internal/wire"
)

// maxToken is the longest token that is read, in bytes. Kubernetes makes them of 1 to 2 KiB.
const maxToken = 16 << 10

var (
	// ErrToken says that the token is no good: its bearer is to be refused (403).
	ErrToken = errors.New("pod token refused")
	// ErrKeys says that the cluster's keys cannot be had, so that nothing is known of the
	// token: its bearer may come again (503).
	ErrKeys = errors.New("the cluster's keys cannot be had")
	// ErrSetup says that the verifier lacks its issuer, audience or source of keys. No
	// token is good for such a one.
	ErrSetup = errors.New("the verifier of pod tokens needs an issuer, an audience and a source of keys")
)

// Pod is whose token it is.
type Pod struct {
	Namespace, ServiceAccount string
	Name, UID                 string // of the pod; empty if the token is not bound to one
	Subject                   string // system:serviceaccount:NAMESPACE:NAME
	Issued, Expiry            time.Time
}

// Verifier verifies the tokens of one cluster for one audience. Its fields must not
// change once it is used, and it must not be copied. It is safe for many goroutines.
type Verifier struct {
	Issuer   string // what iss must be, to the letter
	Audience string // must be among aud
	// Keys fetches the cluster's JWKS document; see [File] and [API]. It is called once at
	// a time, with a context that ends after 15 s but not with that of Verify or Load.
	Keys func(ctx context.Context) ([]byte, error)

	mu      sync.Mutex
	set     *keySet // nil: none came yet
	fetched time.Time
	again   time.Time // until then no token makes another fetch
	failure error     // of the last fetch
	flight  *flight   // the fetch under way
	known   map[[sha256.Size]byte]Pod
}

// Verify returns whose token it is. Its errors are [ErrToken], [ErrKeys] or [ErrSetup];
// of the token they contain iss, aud and kid at most, quoted and cut.
func (v *Verifier) Verify(ctx context.Context, token string) (Pod, error) {
	if err := v.setUp(); err != nil {
		return Pod{}, err
	}
	if err := compact(token); err != nil {
		return Pod{}, err
	}
	digest := sha256.Sum256([]byte(token))
	if pod, found := v.recall(ctx, digest); found {
		return pod, nil
	}
	claims, set, err := v.signed(ctx, token)
	if err != nil {
		return Pod{}, err
	}
	pod, err := v.judge(claims, time.Now())
	if err != nil {
		return Pod{}, err
	}
	v.remember(digest, pod, set)
	return pod, nil
}

func (v *Verifier) setUp() error {
	if v.Issuer == "" || v.Audience == "" || v.Keys == nil {
		return ErrSetup
	}
	return nil
}

// compact looks at what needs no parsing. The decoder of base64 would skip line breaks.
func compact(token string) error {
	if len(token) > maxToken {
		return refuse("it is longer than 16 KiB")
	}
	foreign := func(r rune) bool { return r != '.' && r != '_' && r != '-' && !alphanumeric(r) }
	if strings.Count(token, ".") != 2 || strings.ContainsFunc(token, foreign) {
		return refuse("it is no signed JWT in compact form")
	}
	return nil
}

func alphanumeric(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

// signed returns the claims of a token with a good signature, and the keys that say so.
func (v *Verifier) signed(ctx context.Context, token string) (jwt.MapClaims, *keySet, error) {
	var set *keySet
	var refusal error
	parser := jwt.NewParser(jwt.WithValidMethods(algorithms()), jwt.WithStrictDecoding(),
		jwt.WithJSONNumber(), jwt.WithoutClaimsValidation()) // judge validates them
	claims := jwt.MapClaims{}
	parsed, err := parser.ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) {
		var key any
		key, set, refusal = v.keyOf(ctx, t.Header)
		return key, refusal
	})
	switch { // the library's own words may quote the token
	case refusal != nil:
		return nil, nil, refusal
	case errors.Is(err, jwt.ErrTokenMalformed):
		return nil, nil, refuse("it is no signed JWT in compact form")
	case set == nil:
		return nil, nil, refuse("its algorithm is not allowed")
	case err != nil || !parsed.Valid:
		return nil, nil, refuse("its signature does not match")
	}
	return claims, set, nil
}

// keyOf finds the key that a token's header names, and the set that it is of.
func (v *Verifier) keyOf(ctx context.Context, header map[string]any) (any, *keySet, error) {
	if _, critical := header["crit"]; critical {
		return nil, nil, refuse("its header has extensions that are critical")
	}
	kid, _ := header["kid"].(string)
	if kid == "" {
		return nil, nil, refuse("its header has no kid")
	}
	set, err := v.keysFor(ctx, kid)
	if err != nil {
		return nil, nil, err
	}
	key, found := set.byID[kid]
	if !found {
		return nil, nil, refuse("the cluster has no key with its kid %s", quote(kid))
	}
	if algorithm, _ := header["alg"].(string); !key.fits(algorithm) {
		return nil, nil, refuse("its algorithm is not that of the key with its kid %s", quote(kid))
	}
	return key.public, set, nil
}

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrToken, fmt.Sprintf(format, args...))
}

// quote makes what a token says fit to print: no more than 100 characters of it.
func quote(text string) string {
	runes := []rune(wire.Quote(text))
	if len(runes) > 100 {
		runes = append(runes[:99], '…')
	}
	return fmt.Sprintf("%q", string(runes))
}
