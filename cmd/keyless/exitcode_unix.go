//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// exitCodeOf is a command's exit code as a shell tells it: 128 and the number of the
// signal that ended it.
func exitCodeOf(exited *exec.ExitError) int {
	if status, ok := exited.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return exited.ExitCode()
}
