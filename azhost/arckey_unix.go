//go:build unix

package azhost

import (
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// keyFlags refuse symbolic links and do not block on a FIFO.
const keyFlags = os.O_RDONLY | syscall.O_NOFOLLOW | syscall.O_NONBLOCK | syscall.O_CLOEXEC

// arcTokenDir is the documented folder of the agent on Linux.
func arcTokenDir() string { return "/var/opt/azcmagent/tokens" }

// arcAgent is the program whose presence shows that the machine is connected.
func arcAgent() string { return "/opt/azcmagent/bin/himds" }

// agentsOwn reports whether the file was written by the agent, or by root or this
// user, who need no agent to deceive the program.
func agentsOwn(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	if stat.Uid == 0 || int(stat.Uid) == os.Geteuid() {
		return true
	}
	agent, err := user.Lookup("himds")
	return err == nil && agent.Uid == strconv.FormatUint(uint64(stat.Uid), 10)
}
