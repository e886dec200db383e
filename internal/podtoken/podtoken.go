// Package podtoken verifies the projected tokens of Kubernetes pods.
//
// A pod that asks a node's daemon for credentials sends the token of its service account
// ("Service account token volume projection", Kubernetes documentation). The cluster signs
// it with keys that it publishes ("Service account issuer discovery").
package podtoken

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Pod is whose token it is.
type Pod struct {
	Namespace, ServiceAccount string
	Name, UID                 string // of the pod; empty if the token is not bound to one
	Subject                   string // system:serviceaccount:NAMESPACE:NAME
	Issued, Expiry            time.Time
}

// ErrKeys says that the keys of the cluster cannot be had, so that nothing is known of
// the token.
var ErrKeys = errors.New("the keys of the cluster cannot be had")

// Bounds on what a pod may send.
const (
	maxToken  = 16 << 10
	maxKnown  = 1024             // tokens whose signatures have been verified
	clockSlip = 30 * time.Second // between the cluster's clock and ours
)

// Verifier knows the tokens of one cluster that are for one audience. Issuer, Audience and
// Keys must be set; it must not be copied.
type Verifier struct {
	Issuer   string                                    // to the letter
	Audience string                                    // one of those that the token is for
	Keys     func(ctx context.Context) ([]byte, error) // the key set (RFC 7517)

	keys keyring

	mu    sync.Mutex
	known map[[sha256.Size]byte]Pod // tokens are asked with again and again

	number int // of the keys that known was verified with
}

// claims are what a projected token says.
type claims struct {
	jwt.RegisteredClaims
	Kubernetes struct {
		Namespace      string `json:"namespace"`
		ServiceAccount struct {
			Name string `json:"name"`
		} `json:"serviceaccount"`
		Pod struct {
			Name string `json:"name"`
			UID  string `json:"uid"`
		} `json:"pod"`
	} `json:"kubernetes.io"`
}

// Verify returns whose token it is. An error wraps [ErrKeys] if that cannot be known now;
// any other is the token's fault. No error has a part of the token in it.
func (v *Verifier) Verify(ctx context.Context, token string) (Pod, error) {
	switch {
	case v.Issuer == "" || v.Audience == "":
		return Pod{}, errors.New("no issuer or no audience is configured")
	case len(token) > maxToken:
		return Pod{}, errors.New("the token is too long")
	case strings.ContainsAny(token, "\r\n"): // which base64 would not mind
		return Pod{}, errors.New("it is no token")
	}
	digest := sha256.Sum256([]byte(token))
	number, old := v.keys.state()
	if pod, ok := v.recall(digest, number); ok && !old {
		return pod, nil
	}
	var c claims
	if _, err := v.parser().ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) { return v.key(ctx, t) }); err != nil {
		return Pod{}, reason(err)
	}
	pod, err := v.pod(&c)
	if err == nil {
		v.remember(digest, pod, number)
	}
	return pod, err
}

func (v *Verifier) parser() *jwt.Parser {
	return jwt.NewParser(
		jwt.WithValidMethods([]string{"RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512"}),
		jwt.WithIssuer(v.Issuer), jwt.WithAudience(v.Audience), jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(clockSlip), jwt.WithStrictDecoding(),
	)
}

func (v *Verifier) key(ctx context.Context, t *jwt.Token) (any, error) {
	id, ok := t.Header["kid"].(string)
	if !ok || id == "" {
		return nil, errors.New("the token names no key")
	}
	return v.keys.find(ctx, v.Keys, id)
}

// pod looks at what the library has not.
func (v *Verifier) pod(c *claims) (Pod, error) {
	k := c.Kubernetes
	pod := Pod{
		Namespace: k.Namespace, ServiceAccount: k.ServiceAccount.Name, Name: k.Pod.Name, UID: k.Pod.UID,
		Subject: c.Subject, Expiry: c.ExpiresAt.Time,
	}
	if c.IssuedAt != nil {
		pod.Issued = c.IssuedAt.Time
	}
	switch {
	case !pod.Expiry.After(time.Now()): // no leeway here: what it is traded for outlives it anyway
		return Pod{}, errors.New("the token has expired")
	case pod.Namespace == "" || pod.ServiceAccount == "":
		return Pod{}, errors.New("the token is not that of a service account")
	case pod.Subject != "system:serviceaccount:"+pod.Namespace+":"+pod.ServiceAccount:
		return Pod{}, errors.New("the token's subject is not its service account")
	}
	return pod, nil
}

// reason says what is wrong without quoting the token, which some of the library's errors
// would.
func reason(err error) error {
	switch {
	case errors.Is(err, ErrKeys):
		return err
	case errors.Is(err, jwt.ErrTokenMalformed):
		return errors.New("it is no token")
	case errors.Is(err, jwt.ErrTokenExpired):
		return errors.New("the token has expired")
	case errors.Is(err, jwt.ErrTokenInvalidIssuer):
		return errors.New("the token is of another issuer")
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return errors.New("the token is for another audience")
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return errors.New("the token is not valid yet; are the clocks right?")
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return errors.New("the token lacks exp, iss or aud")
	case errors.Is(err, errNoKey):
		return errNoKey
	}
	return errors.New("the token's signature is not the cluster's")
}

// recall knows a token again that was verified with this set of keys.
func (v *Verifier) recall(digest [sha256.Size]byte, number int) (Pod, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	pod, ok := v.known[digest]
	return pod, ok && number == v.number && pod.Expiry.After(time.Now())
}

// remember forgets all when there are too many, or the keys are others: one that was used
// may be gone. The number is from before the token was verified.
func (v *Verifier) remember(digest [sha256.Size]byte, pod Pod, number int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if number < v.number {
		return
	}
	if len(v.known) >= maxKnown || v.known == nil || number != v.number {
		v.known, v.number = map[[sha256.Size]byte]Pod{}, number
	}
	v.known[digest] = pod
}
