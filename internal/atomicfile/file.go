// Package atomicfile replaces files whole or not at all.
package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Replacement is what a file is to become.
type Replacement struct {
	Path string
	// Temporary is a name in the same folder under which nobody else writes. What a
	// killed process left there is replaced by the next.
	Temporary string
	Data      []byte
	// Torn says that the file may be lost, or half of it, with the power.
	Torn bool
	// Prepare is called with the temporary file, which is this user's alone, before it
	// gets its name; nil: it remains so.
	Prepare func(*os.File) error
}

// Write makes the replacement. Readers see the old file or the new one.
func (r Replacement) Write() error {
	if err := Missing(os.Remove(r.Temporary)); err != nil {
		return err
	}
	if err := r.writeNew(); err != nil {
		return errors.Join(err, Missing(os.Remove(r.Temporary)))
	}
	if err := os.Rename(r.Temporary, r.Path); err != nil {
		return errors.Join(err, Missing(os.Remove(r.Temporary)))
	}
	return nil
}

func (r Replacement) writeNew() error {
	f, err := os.OpenFile(filepath.Clean(r.Temporary), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(r.Data)
	if err == nil && r.Prepare != nil {
		err = r.Prepare(f)
	}
	if err == nil && !r.Torn {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Missing is err, unless it says that there is no such file.
func Missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
