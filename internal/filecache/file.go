package filecache

import (
	"errors"
	"os"
	"path/filepath"
)

const notPrivate = "not a private regular file of this user; ignored"

// writeFile replaces path whole or not at all. The caller holds a lock under which
// nobody else writes tmp, so that what a killed process left there is replaced by
// the next.
func writeFile(path, tmp string, data []byte) error {
	return replaceFile(path, tmp, data, (*os.File).Sync)
}

// writeHint is writeFile for what may be lost with the power: what a torn one would
// say is not believed.
func writeHint(path, tmp string, data []byte) error {
	return replaceFile(path, tmp, data, func(*os.File) error { return nil })
}

func replaceFile(path, tmp string, data []byte, flush func(*os.File) error) error {
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := writeNew(tmp, data, flush); err != nil {
		return errors.Join(err, ignoreMissing(os.Remove(tmp)))
	}
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return nil
}

func writeNew(path string, data []byte, flush func(*os.File) error) error {
	f, err := os.OpenFile(filepath.Clean(path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = flush(f)
	}
	return errors.Join(err, f.Close())
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
