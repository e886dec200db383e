//go:build unix

package delivery

import (
	"io/fs"
	"os"
	"syscall"
)

func owner(info fs.FileInfo) int {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1
	}
	return int(stat.Uid)
}

// Ours reports whether a file is this user's.
func Ours(info fs.FileInfo) bool { return owner(info) == os.Geteuid() }

// openFolder says why somebody else could put another file into a folder.
func openFolder(info fs.FileInfo) string {
	switch uid := owner(info); {
	case uid != os.Geteuid() && uid != 0:
		return "belongs to another user"
	case info.Mode().Perm()&0o022 != 0:
		return "can be written to by others"
	}
	return ""
}
