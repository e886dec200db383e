//go:build unix

package filecache

import (
	"io"
	"os"
	"syscall"
)

func mine(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

func private(info os.FileInfo) bool { return info.Mode().Perm()&0o077 == 0 }

// readFile reads a file of the cache if it is a regular file, this user's, closed to
// others and not too large. It follows no symbolic link, does not block on a FIFO,
// and goes past package os, which would set up the network poller first.
func readFile(path string) ([]byte, error) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer func() { _ = syscall.Close(fd) }()
	var stat syscall.Stat_t
	if err := syscall.Fstat(fd, &stat); err != nil {
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if stat.Mode&syscall.S_IFMT != syscall.S_IFREG || int(stat.Uid) != os.Geteuid() || stat.Mode&0o077 != 0 || stat.Size > maxEntry {
		return nil, &UnsafeError{path, notPrivate}
	}
	data := make([]byte, stat.Size)
	for read := 0; read < len(data); {
		n, err := syscall.Read(fd, data[read:])
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return nil, &os.PathError{Op: "read", Path: path, Err: err}
		case n == 0:
			return nil, &os.PathError{Op: "read", Path: path, Err: io.ErrUnexpectedEOF}
		}
		read += max(n, 0)
	}
	return data, nil
}
