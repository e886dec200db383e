//go:build !unix

package main

import "os/exec"

// exitCodeOf is a command's exit code.
func exitCodeOf(exited *exec.ExitError) int { return exited.ExitCode() }
