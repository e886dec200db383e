//go:build unix

package warm

import (
	"os"
	"strconv"
	"syscall"
)

// fileID tells a file from one that took its place.
func fileID(info os.FileInfo) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return strconv.FormatUint(uint64(stat.Dev), 10) + "." + strconv.FormatUint(stat.Ino, 10) //nolint:unconvert // Dev differs by system
}
