//go:build !unix

package filecache

import (
	"io"
	"os"
)

// The profile folder that the cache lives in is the user's alone by its inherited
// access list; there are no owner and mode bits to check.
func mine(os.FileInfo) bool { return true }

func private(os.FileInfo) bool { return true }

// readFile reads a file of the cache if it is a regular file and not too large.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxEntry {
		return nil, &UnsafeError{path, notPrivate}
	}
	data := make([]byte, info.Size())
	_, err = io.ReadFull(f, data)
	return data, err
}
