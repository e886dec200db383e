//go:build !linux

package isolation

import (
	"context"
	"errors"
	"net/netip"
	"os/exec"
)

// Room is what the namespaces are furnished with.
type Room struct {
	Addresses []netip.Addr
	Files     map[string]string
	Folders   []string
	Scratch   string
}

var errNotHere = errors.New("this system has no network namespaces")

// Furnish needs Linux.
func (Room) Furnish() error {
	return &Error{Op: "namespaces", Hint: "use a Linux machine, or run without --isolated", Err: errNotHere}
}

// Command returns a command that cannot be started.
func Command(ctx context.Context, args, env []string) *exec.Cmd {
	command := exec.CommandContext(ctx, "", args...) //nolint:gosec // it names no program
	command.Env = env
	return command
}

// Explain says that it needs Linux.
func Explain(error) error { return Room{}.Furnish() }

// As does nothing.
func As(*exec.Cmd, int, int) {}
