package hop

import (
	"context"
	"errors"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/wire"
)

// Foreign is the error of somebody else's library: made fit to print, for some of them
// fill a page, and still what it was for errors.Is and errors.As.
func Foreign(h keyless.Hop, op string, err error) *keyless.Error {
	var own *keyless.Error
	if errors.As(err, &own) { // it went through that library only
		return own
	}
	var timeout interface{ Timeout() bool }
	return &keyless.Error{
		Hop: h, Op: op, Err: quoted{err},
		Temporary: errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.As(err, &timeout) && timeout.Timeout(),
	}
}

type quoted struct{ error }

func (q quoted) Error() string { return wire.Quote(q.error.Error()) }

func (q quoted) Unwrap() error { return q.error }
