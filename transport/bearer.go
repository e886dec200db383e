package transport

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"

	keyless "github.com/keyless-id/keyless"
)

const (
	opBearer      = "bearer"
	authorization = "Authorization"
)

var _ http.RoundTripper = (*Bearer)(nil)

// Bearer adds the token of a source to requests for the hosts that it may go to, in the
// Authorization header ("The OAuth 2.0 Authorization Framework: Bearer Token Usage", RFC
// 6750, section 2.1), in the place of any such header that the request has.
//
// When the far side says 401 and Source is a [keyless.Refresher], Bearer asks it for another
// token, with the claims of a claims challenge if there is one, and sends the request once
// more. That needs a body that can be sent again: none, one with GetBody, or one of a
// ContentLength of at most 64 KiB, which is read into memory beforehand. For other bodies
// the answer is a 503 of Bearer's own with "Retry-After: 1": the new token is there. If
// there is no other token, the caller gets the 401 as it came.
//
// Errors of Bearer's own, and those of Cached sources, are [*keyless.Error]s: of the hop
// delivery for a request that the token must not go with. The Request of an answer is the
// caller's, without the token.
type Bearer struct {
	// Source is asked for a token for each request, so it should remember: see
	// [keyless.Cached].
	Source keyless.TokenSource
	// Hosts are where the token may go: "host" with any port, "host:port" with that
	// port, "*.suffix" (or "*.suffix:port") for all names below suffix, but not suffix
	// itself. Case does not matter. Without an entry every request fails.
	Hosts []string
	// Base sends the requests; nil: [http.DefaultTransport]. It must leave the values of
	// headers alone, as RoundTrippers have to.
	Base http.RoundTripper
	// InPlace lets Bearer put the token into the header of the caller's request, which
	// saves copying it: for programs that own their requests, and use none for two calls
	// at a time. The token stays in it.
	InPlace bool

	guard   guard
	current atomic.Pointer[credential]
}

// credential is a token as the header's value.
type credential struct {
	secret keyless.Secret
	value  []string
}

// RoundTrip implements [http.RoundTripper].
func (b *Bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	token, value, err := b.admit(r)
	if err != nil {
		closeBody(r)
		return nil, err
	}
	var kept *buffer
	if hasBody(r) {
		if kept, err = b.keep(r); err != nil {
			return nil, err
		}
		defer kept.release()
	}
	answer, err := orDefault(b.Base).RoundTrip(b.outgoing(r, value, kept))
	if err != nil {
		return nil, err
	}
	if answer.StatusCode == http.StatusUnauthorized {
		if answer, err = b.refused(r, kept, token, answer); err != nil {
			return nil, err
		}
	}
	answer.Request = r
	return answer, nil
}

// admit returns the token to send, and as the header's value.
func (b *Bearer) admit(r *http.Request) (keyless.Token, []string, error) {
	if err := b.guard.check(opBearer, b.Hosts, r); err != nil {
		return keyless.Token{}, nil, err
	}
	if b.Source == nil {
		return keyless.Token{}, nil, refusal(opBearer, "no source", "")
	}
	token, err := b.Source.Token(r.Context())
	if err != nil {
		return keyless.Token{}, nil, err
	}
	value, err := b.value(token.Value)
	return token, value, err
}

// value is "Bearer " and the token, put together once for each token. Whether it is the
// same one is seen by comparing the Secrets themselves and not what they hold: they are
// pointers to strings that never change, and this one's cannot be used for another string
// while it is kept here. A source that makes a Secret for every call costs an allocation.
func (b *Bearer) value(secret keyless.Secret) ([]string, error) {
	if c := b.current.Load(); c != nil && c.secret == secret {
		return c.value, nil
	}
	token := secret.Reveal()
	if !sendable(token) {
		return nil, &keyless.Error{Hop: keyless.HopSource, Op: opBearer, Message: "the token is empty, or has characters that no header can have"}
	}
	c := &credential{secret, []string{"Bearer " + token}}
	b.current.Store(c)
	return c.value, nil
}

// sendable is somewhat wider than RFC 6750's b64token: whatever is visible ASCII.
func sendable(token string) bool {
	return token != "" && strings.IndexFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) < 0
}

// keep does so only if there may be a second try.
func (b *Bearer) keep(r *http.Request) (*buffer, error) {
	if _, ok := b.Source.(keyless.Refresher); !ok {
		return nil, nil
	}
	return keep(r)
}

// outgoing is the request with the token, and with what was kept of its body.
func (b *Bearer) outgoing(r *http.Request, value []string, kept *buffer) *http.Request {
	sent := r
	if !b.InPlace {
		sent = withToken(r, value)
	} else {
		replaceToken(r, value)
		if kept != nil {
			sent = shallow(r)
		}
	}
	if kept != nil {
		sent.Body, sent.GetBody = kept.open(), kept.again
	}
	return sent
}

func withToken(r *http.Request, value []string) *http.Request {
	sent := shallow(r)
	sent.Header = header(r.Header, isAuthorization)
	sent.Header[authorization] = value
	return sent
}

func replaceToken(r *http.Request, value []string) {
	if r.Header == nil {
		r.Header = http.Header{}
	}
	for name := range r.Header {
		if isAuthorization(name) && name != authorization {
			delete(r.Header, name)
		}
	}
	r.Header[authorization] = value
}

// isAuthorization knows the name in every spelling: a map may hold "authorization" besides.
func isAuthorization(name string) bool {
	return len(name) == len(authorization) && equalFold(name, authorization)
}

// refused answers a 401 with another token.
func (b *Bearer) refused(r *http.Request, kept *buffer, token keyless.Token, answer *http.Response) (*http.Response, error) {
	value := b.another(r.Context(), token, answer.Header)
	if value == nil {
		return answer, nil
	}
	body, err := reopen(r, kept)
	discard(answer)
	if err != nil {
		return tryLater(answer), nil //nolint:nilerr // it says so
	}
	// A copy even if InPlace: the Base may still be reading the first one.
	again := withToken(r, value)
	again.Body = body
	return orDefault(b.Base).RoundTrip(again)
}

// another is a token other than the refused one, as the header's value; nil if there is
// none. The reason is of no use to the caller, who has the far side's.
func (b *Bearer) another(ctx context.Context, refused keyless.Token, answer http.Header) []string {
	source, ok := b.Source.(keyless.Refresher)
	if !ok {
		return nil
	}
	token, err := source.Refresh(ctx, refused, claimsChallenge(answer))
	if err != nil || token.Value.Equal(refused.Value) {
		return nil
	}
	value, err := b.value(token.Value)
	if err != nil {
		return nil
	}
	return value
}

// tryLater stands in for a 401 to a request that cannot be repeated here, but can be by
// the caller.
func tryLater(refused *http.Response) *http.Response {
	const why = "keyless: the token was refused, and there is a new one now, but the request's body cannot be sent a second time: try again\n"
	return &http.Response{
		Status: "503 Service Unavailable", StatusCode: http.StatusServiceUnavailable,
		Proto: refused.Proto, ProtoMajor: refused.ProtoMajor, ProtoMinor: refused.ProtoMinor,
		Header:        http.Header{"Retry-After": {"1"}, "Content-Type": {"text/plain; charset=utf-8"}},
		ContentLength: int64(len(why)), Body: own{strings.NewReader(why)},
	}
}

// own is the body of an answer that no far side has given.
type own struct{ io.Reader }

func (own) Close() error { return nil }

// Own reports whether an answer is a RoundTripper's of this package, and not the far
// side's.
func Own(answer *http.Response) bool {
	_, ok := answer.Body.(own)
	return ok
}
