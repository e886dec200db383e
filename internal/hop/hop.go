// Package hop words what goes wrong on the wire as the project's own error, the
// same way for every source and exchange.
package hop

import (
	"context"
	"errors"
	"fmt"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/wire"
)

// Failed is the error of a request that got no answer.
func Failed(h keyless.Hop, op string, err error) *keyless.Error {
	failed := &keyless.Error{
		Hop: h, Op: op, Temporary: true, Err: err,
		Hint: "the far side could not be asked; is the address right, and is a proxy or firewall in the way?",
	}
	var redirect *wire.RedirectError
	var roots *wire.RootsError
	switch {
	case errors.Is(err, context.Canceled):
		failed.Hint = "the caller gave up before the answer came"
	case errors.Is(err, context.DeadlineExceeded):
		failed.Hint = "no answer in time; is the address right, and is a proxy or firewall in the way?"
	case errors.Is(err, wire.ErrNotLocal):
		failed.Temporary = false
		failed.Hint = "an identity endpoint is on this machine or its link; for another address give the source a client of its own"
	case wire.Untrusted(err):
		failed.Temporary = false
		failed.Hint = "the certificate is not trusted: for a private CA set ca_file in the profile, or SSL_CERT_FILE; if it is said to be expired, check this machine's clock"
	case errors.As(err, &roots):
		failed.Temporary = false
		failed.Hint = "ca_file in the profile, or AWS_CA_BUNDLE, must name a PEM file"
	case errors.As(err, &redirect):
		failed.Temporary = false
		failed.Hint = "a credential endpoint does not redirect; is a captive portal or a proxy answering in its place?"
	}
	return failed
}

// maxWait is the longest that a caller without a deadline is held for a far side
// that asks to be left alone. A cache in front waits longer, and holds nobody.
const maxWait = 30 * time.Second

// Verdict says whether a request that failed with err may be sent again.
func Verdict(err error) wire.Verdict {
	var e *keyless.Error
	if !errors.As(err, &e) {
		return wire.Verdict{}
	}
	return wire.Verdict{Again: e.Temporary && e.RetryAfter <= maxWait, After: e.RetryAfter}
}

// maxSkew is how far two honest clocks may be apart, with room for slow answers.
const maxSkew = 2 * time.Minute

// ClockHint compares the far side's clock with this machine's and says so if they
// are too far apart for tokens to be valid on both; otherwise it returns fallback.
func ClockHint(answer *wire.Answer, now time.Time, fallback string) string {
	skew := answer.Skew(now).Round(time.Second)
	switch {
	case skew > maxSkew:
		return fmt.Sprintf("this machine's clock is %s behind the far side's; set it (timedatectl, chronyc makestep)", skew)
	case skew < -maxSkew:
		return fmt.Sprintf("this machine's clock is %s ahead of the far side's; set it (timedatectl, chronyc makestep)", -skew)
	}
	return fallback
}
