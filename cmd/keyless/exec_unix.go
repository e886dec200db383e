//go:build unix

package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// become puts another program in this one's place: there is nothing left to forward
// signals, and nothing to clear away.
func (*program) become(path string, args, environ []string) error {
	err := syscall.Exec(path, args, environ) //nolint:gosec // what the user asked for
	return notStarted{exitCannotRun, fmt.Errorf("exec: %s: %w", path, err)}
}

// supervise runs a program to its end and hands on what signals come meanwhile.
func (p *program) supervise(command *exec.Cmd) error {
	runtime.LockOSThread() // some commands end with the thread that started them
	defer runtime.UnlockOSThread()
	command.Stdin, command.Stdout, command.Stderr = p.stdin, p.stdout, p.stderr
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2)
	defer signal.Stop(signals)
	if err := command.Start(); err != nil {
		return notStarted{exitCannotRun, err}
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		for {
			select {
			case s := <-signals:
				handOn(command.Process, s)
			case <-ended:
				return
			}
		}
	}()
	return command.Wait()
}

// handOn leaves out what the terminal has sent to both already: some programs take the
// second interrupt for impatience.
func handOn(process *os.Process, s os.Signal) {
	if slices.Contains([]os.Signal{unix.SIGINT, unix.SIGQUIT}, s) && inForeground() {
		return
	}
	_ = process.Signal(s) // it may have ended
}

// inForeground reports whether the terminal's keys reach this process and its children.
func inForeground() bool {
	terminal, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer func() { _ = terminal.Close() }()
	group, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}
