package keyless

import (
	"context"
	"time"
)

// Token is a bearer token that says who its holder is.
type Token struct {
	Value    Secret
	Obtained time.Time // when the issuer was asked; zero: unknown
	Expiry   time.Time
	// RefreshAt is the issuer's hint when to ask again (refresh_in of Entra);
	// zero if the issuer gave none.
	RefreshAt time.Time
}

// TokenSource proves one subject to one audience, both bound when the source is
// made. Token asks the far side each time; see [Cached].
type TokenSource interface {
	Token(ctx context.Context) (Token, error)
}

// TokenSourceFunc is a function as a [TokenSource].
type TokenSourceFunc func(ctx context.Context) (Token, error)

// Token calls f.
func (f TokenSourceFunc) Token(ctx context.Context) (Token, error) { return f(ctx) }

// Refresher is what a [TokenSource] may do besides: get another token because the
// far side refused this one, with a 401, as expired, or with a claims challenge
// of Continuous Access Evaluation. Claims is that challenge, decoded, or empty.
type Refresher interface {
	Refresh(ctx context.Context, refused Token, claims string) (Token, error)
}
