package keyless

import (
	"errors"
	"strings"
	"time"
)

// Hop names the part of the way on which something went wrong.
type Hop string

// The hops, in the order in which data passes them.
const (
	HopSource   Hop = "source"   // proving who the workload is
	HopExchange Hop = "exchange" // trading the proof for credentials
	HopDelivery Hop = "delivery" // handing the result over
)

// Error is a refusal or failure on one hop. Its text is one lower-case line;
// the hint is a separate line for people.
type Error struct {
	Hop     Hop
	Op      string // what was asked, for example AssumeRoleWithWebIdentity
	Code    string // the far side's code, for example AADSTS7000215 or AccessDenied
	Message string // the far side's words, or ours
	Hint    string // what a person can do about it; may be empty

	Temporary  bool          // trying again later can help
	RetryAfter time.Duration // how long the far side asked to be left alone; zero: it did not say
	Err        error         // the cause, if there is one
}

// Error returns "hop: op: code: message: cause", leaving out what is empty.
func (e *Error) Error() string {
	parts := make([]string, 0, 5)
	for _, part := range []string{string(e.Hop), e.Op, e.Code, e.Message} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// After returns RetryAfter. Caches ask for it through a one-method interface.
func (e *Error) After() time.Duration { return e.RetryAfter }

// IsTemporary reports whether err says that trying again later can help.
func IsTemporary(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Temporary
}
