package isolation

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// Command is this program once more, with these arguments, in namespaces of its own.
// Without root it is in a user namespace as well, in which it takes itself for root. It
// ends when its parent does.
func Command(ctx context.Context, args, env []string) *exec.Cmd {
	command := exec.CommandContext(ctx, "/proc/self/exe", args...) //nolint:gosec // with the arguments that it was started with
	command.Args[0] = os.Args[0]
	command.Env = env
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		command.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		command.SysProcAttr.UidMappings = identity(0, os.Geteuid())
		command.SysProcAttr.GidMappings = identity(0, os.Getegid())
	}
	return command
}

// Explain says why a [Command] could not be started.
func Explain(err error) error { return refused("namespaces", err, knob) }

func knob(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// As lets a program be the user that it would be outside, where this process takes
// itself for root. The program ends when the thread that starts it does.
func As(command *exec.Cmd, uid, gid int) {
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if uid == 0 {
		return
	}
	command.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
	command.SysProcAttr.UidMappings = identity(uid, 0)
	command.SysProcAttr.GidMappings = identity(gid, 0)
}

func identity(inside, outside int) []syscall.SysProcIDMap {
	return []syscall.SysProcIDMap{{ContainerID: inside, HostID: outside, Size: 1}}
}
