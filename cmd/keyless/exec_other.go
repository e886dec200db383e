//go:build !unix

package main

import (
	"os/exec"
)

// become runs the program and ends as it did: on this system nothing can take another
// program's place.
func (p *program) become(path string, args, environ []string) error {
	command := exec.Command(path, args[1:]...) //nolint:gosec,noctx // what the user asked for; it ends by itself
	command.Env = environ
	return childError(p.supervise(command))
}

// supervise runs a program to its end. The console sends its signals to both.
func (p *program) supervise(command *exec.Cmd) error {
	command.Stdin, command.Stdout, command.Stderr = p.stdin, p.stdout, p.stderr
	err := command.Run()
	if command.ProcessState == nil {
		return notStarted{exitCannotRun, err}
	}
	return err
}
