//go:build unix

package filecache

import (
	"os"
	"syscall"
)

// openFlags refuse symbolic links and do not block on a FIFO.
const openFlags = os.O_RDONLY | syscall.O_NOFOLLOW | syscall.O_NONBLOCK | syscall.O_CLOEXEC

func mine(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

func private(info os.FileInfo) bool { return info.Mode().Perm()&0o077 == 0 }
