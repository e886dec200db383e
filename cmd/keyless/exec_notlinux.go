//go:build !linux

package main

import "os/exec"

// endsWithUs is not to be had here: should this program be killed, the command goes on
// without credentials.
func endsWithUs(*exec.Cmd) {}
