package isolation

import (
	"errors"
	"fmt"
	"syscall"
)

// Error says that there is no such place to be had on this machine, and what to do.
type Error struct {
	Op   string // what was refused
	Hint string // what to do about it
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("isolation: %s: %s", e.Op, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// Knobs by which a machine's owner forbids namespaces, and the values that do.
const (
	knobAppArmor = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns" // Ubuntu 23.10 and later
	knobDebian   = "/proc/sys/kernel/unprivileged_userns_clone"             // older Debian
	knobUsers    = "/proc/sys/user/max_user_namespaces"
	knobNets     = "/proc/sys/user/max_net_namespaces"
)

// refused words why the system said no. read returns what a knob says.
func refused(op string, err error, read func(path string) string) *Error {
	e := &Error{Op: op, Err: err, Hint: "run it as root, or without --isolated"}
	switch {
	case errors.Is(err, syscall.ENOSPC):
		e.Hint = "the limit on namespaces is reached: raise user.max_user_namespaces and user.max_net_namespaces (sysctl)"
	case read(knobAppArmor) == "1":
		e.Hint = "AppArmor keeps users without privileges from it: run it as root, give keyless a profile with 'userns,' in /etc/apparmor.d, or set kernel.apparmor_restrict_unprivileged_userns=0 (sysctl)"
	case read(knobDebian) == "0":
		e.Hint = "users without privileges may not: run it as root, or set kernel.unprivileged_userns_clone=1 (sysctl)"
	case read(knobUsers) == "0" || read(knobNets) == "0":
		e.Hint = "namespaces are switched off: run it as root, or raise user.max_user_namespaces and user.max_net_namespaces (sysctl)"
	case errors.Is(err, syscall.EPERM):
		e.Hint = "this container or system forbids namespaces (seccomp, or a missing capability): give the container CAP_SYS_ADMIN and CAP_NET_ADMIN, or run without --isolated"
	}
	return e
}
