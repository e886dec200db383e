package main

import (
	"os/exec"
	"syscall"
)

// endsWithUs ends the command should this program be killed.
func endsWithUs(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
}
