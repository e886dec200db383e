// Package command asks the command-line programs of the clouds themselves, which
// know who the person at the machine is.
package command

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"time"

	"github.com/keyless-id/keyless/internal/wire"
)

// Command is a program that answers on stdout and ends.
type Command struct {
	Path    string   // or a name that is looked up in PATH
	Args    []string // no secrets: every user of the machine can read them
	Env     []string // zero: this process's
	Set     []string // added to Env
	Timeout time.Duration
}

// Error is a program that could not be run, failed or took too long.
type Error struct {
	Complaint string // what it wrote to stderr, fit to print
	TooLate   bool   // it was ended, by the timeout or because the caller gave up
	Err       error
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Missing reports whether err says that there is no such program.
func Missing(err error) bool { return errors.Is(err, exec.ErrNotFound) }

// Output runs the program and returns the beginning of what it writes to stdout, up
// to [wire.MaxBody]. Every error is an [*Error].
func (c Command) Output(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	program := exec.CommandContext(ctx, c.Path, c.Args...) //nolint:gosec // which program is what the configuration says
	program.WaitDelay = time.Second
	program.Env = append([]string(nil), c.Env...)
	if c.Env == nil {
		program.Env = program.Environ()
	}
	program.Env = append(program.Env, c.Set...)
	var out, complaint limited
	program.Stdout, program.Stderr = &out, &complaint
	err := program.Run()
	switch {
	case err == nil:
		return out.kept.Bytes(), nil
	case ctx.Err() != nil:
		return nil, &Error{Complaint: wire.Quote(complaint.kept.String()), TooLate: true, Err: ctx.Err()}
	}
	return nil, &Error{Complaint: wire.Quote(complaint.kept.String()), Err: err}
}

// limited keeps the beginning of what is written to it. It is no [io.ReaderFrom], by
// which os/exec would get past the limit.
type limited struct{ kept bytes.Buffer }

// Write never fails, so that the program is not stopped by it.
func (l *limited) Write(p []byte) (int, error) {
	if room := wire.MaxBody - l.kept.Len(); room > 0 {
		l.kept.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
