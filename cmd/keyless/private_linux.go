package main

import (
	"errors"

	"golang.org/x/sys/unix"
)

// keepPrivate keeps the memory of a process that holds credentials out of core dumps, and
// from debuggers of the same user.
func keepPrivate() error {
	return errors.Join(
		unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}),
		unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0),
	)
}
