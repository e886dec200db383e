package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/isolation"
	"github.com/keyless-id/keyless/profile"
)

// Exit codes, by what a caller can do about it.
const (
	exitOK        = 0
	exitFailed    = 1
	exitUsage     = 2
	exitSource    = 3
	exitExchange  = 4
	exitInternal  = 70 // EX_SOFTWARE
	exitTemporary = 75 // EX_TEMPFAIL
	exitSignal    = 130
)

// usageError is a command line that cannot be understood.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// maxStderr bounds what is printed: some SDKs read stderr only when it is too late,
// and all of them log it.
const maxStderr = 4000

// exitError is the exit code of a command that was run, which has said what there
// is to say.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// fail prints an error and returns the exit code.
func (p *program) fail(ctx context.Context, err error) int {
	var child exitError
	if errors.As(err, &child) {
		return int(child)
	}
	var absent notStarted
	if errors.As(err, &absent) {
		fmt.Fprintln(p.stderr, "keyless: error: "+oneLine(err.Error()))
		return absent.code
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return exitSignal
	}
	text, hint := "keyless: error: "+oneLine(err.Error()), hintOf(err)
	switch {
	case hint == "":
	case p.oneLine:
		text += " (hint: " + oneLine(hint) + ")"
	default:
		text += "\nkeyless: hint: " + oneLine(hint)
	}
	if len(text) > maxStderr {
		text = strings.ToValidUTF8(text[:maxStderr], "") + "…"
	}
	fmt.Fprintln(p.stderr, text)
	return exitCode(err)
}

func (p *program) warn(text string) { fmt.Fprintln(p.stderr, "keyless: warning: "+oneLine(text)) }

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func hintOf(err error) string {
	var hop *keyless.Error
	if errors.As(err, &hop) {
		return hop.Hint
	}
	var config *profile.Error
	if errors.As(err, &config) {
		return config.Hint
	}
	var place *isolation.Error
	if errors.As(err, &place) {
		return place.Hint
	}
	var usage usageError
	if errors.As(err, &usage) {
		return "keyless --help"
	}
	return ""
}

func exitCode(err error) int {
	var usage usageError
	var config *profile.Error
	if errors.As(err, &usage) || errors.As(err, &config) {
		return exitUsage
	}
	var hop *keyless.Error
	if !errors.As(err, &hop) {
		return exitOther(err)
	}
	return exitOfHop(hop.Hop, hop.Temporary)
}

// exitOfHop is the exit code of a failure on a hop.
func exitOfHop(hop keyless.Hop, temporary bool) int {
	switch {
	case temporary:
		return exitTemporary
	case hop == keyless.HopSource:
		return exitSource
	case hop == keyless.HopExchange:
		return exitExchange
	}
	return exitFailed
}

func exitOther(err error) int {
	if errors.Is(err, context.DeadlineExceeded) {
		return exitTemporary
	}
	var told failedError
	var place *isolation.Error
	if errors.As(err, &told) || errors.As(err, &place) {
		return exitFailed
	}
	return exitInternal
}

// failedError is a plain no that has been explained.
type failedError struct{ error }

func (e failedError) Unwrap() error { return e.error }
