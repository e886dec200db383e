package filecache

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// Dirs lists where the cache may be, best first, by the environment: an explicit
// folder, the user's runtime folder (gone at logout), systemd's, the user's cache
// folder. A temporary folder that others share is never among them.
func Dirs(getenv func(string) string) []string {
	if dir := getenv("KEYLESS_CACHE_DIR"); dir != "" {
		return []string{dir}
	}
	var dirs []string
	add := func(base string, below ...string) {
		if filepath.IsAbs(base) && !foreign(base) {
			dirs = append(dirs, filepath.Join(append([]string{base}, below...)...))
		}
	}
	if runtime := getenv("XDG_RUNTIME_DIR"); isDir(runtime) { // the system makes it, at login
		add(runtime, "keyless")
	}
	first, _, _ := strings.Cut(getenv("CACHE_DIRECTORY"), ":")
	add(first)
	if base := getenv("XDG_CACHE_HOME"); base != "" {
		add(base, "keyless")
	} else {
		add(getenv("HOME"), ".cache", "keyless")
	}
	add(getenv("LOCALAPPDATA"), "keyless", "cache")
	return dirs
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// foreign reports whether a folder is another user's: sudo keeps some variables, and
// what root makes there its owner could not use.
func foreign(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && !mine(info)
}

// UnsafeError says why a file or folder is not trusted with credentials.
type UnsafeError struct{ Path, Why string }

func (e *UnsafeError) Error() string { return "cache " + e.Path + ": " + e.Why }

var errNoDir = errors.New("cache: no folder for it: set KEYLESS_CACHE_DIR, XDG_RUNTIME_DIR or HOME")

// Open returns the first cache in dirs that is, or can be made, this user's alone.
func Open(dirs []string) (*Cache, error) {
	first := errNoDir
	for _, dir := range dirs {
		err := makeDir(dir)
		if err == nil {
			return &Cache{dir: dir}, nil
		}
		if errors.Is(first, errNoDir) {
			first = err
		}
	}
	return nil, first
}

// Find is [Open] for the warm path: it makes nothing.
func Find(dirs []string) (*Cache, bool) {
	for _, dir := range dirs {
		if checkDir(dir) == nil {
			return &Cache{dir: dir}, true
		}
	}
	return nil, false
}

func makeDir(dir string) error {
	err := checkDir(dir)
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return checkDir(dir)
}

func checkDir(dir string) error {
	info, err := os.Lstat(dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return &UnsafeError{dir, "not a folder (a symbolic link is not followed)"}
	case !mine(info):
		return &UnsafeError{dir, "belongs to another user"}
	case !private(info):
		return &UnsafeError{dir, "others may look into it; chmod 700 it"}
	}
	return nil
}
