// Package deadletter is the file for what can never be delivered.
package deadletter

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
)

// Config is the file. When it has MaxBytes it becomes PATH.1, that PATH.2 and so on up to
// MaxFiles, beyond which the oldest goes.
type Config struct {
	Path     string `mapstructure:"path"` // empty: there is none
	MaxBytes int64  `mapstructure:"max_bytes"`
	MaxFiles int    `mapstructure:"max_files"`
}

// Validate looks at the numbers.
func (c Config) Validate() error {
	if c.Path != "" && (c.MaxBytes <= 0 || c.MaxFiles < 0) {
		return errors.New("`dead_letter` must have a positive `max_bytes`, and `max_files` that are not negative")
	}
	return nil
}

// File is opened when it is first needed.
type File struct {
	Config Config

	mu   sync.Mutex
	file *os.File
	size int64
}

// Open opens the file, for those who want to know early that it cannot be.
func (f *File) Open() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open()
}

// Append returns when the lines are on the disk: next what is in them is deleted elsewhere.
func (f *File) Append(lines []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.open(); err != nil {
		return err
	}
	if f.size > 0 && f.size+int64(len(lines)) > f.Config.MaxBytes {
		if err := f.rotate(); err != nil {
			return err
		}
	}
	n, err := f.file.Write(lines)
	f.size += int64(n)
	if err != nil {
		return err
	}
	return f.file.Sync()
}

func (f *File) open() error {
	if f.file != nil {
		return nil
	}
	file, err := os.OpenFile(f.Config.Path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	f.file, f.size = file, info.Size()
	return nil
}

func (f *File) rotate() error {
	if err := f.closeFile(); err != nil {
		return err
	}
	for n := f.Config.MaxFiles; n > 0; n-- {
		if err := os.Rename(f.name(n-1), f.name(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if f.Config.MaxFiles == 0 {
		if err := os.Remove(f.Config.Path); err != nil {
			return err
		}
	}
	return f.open()
}

func (f *File) name(n int) string {
	if n == 0 {
		return f.Config.Path
	}
	return fmt.Sprintf("%s.%d", f.Config.Path, n)
}

func (f *File) closeFile() error {
	if f.file == nil {
		return nil
	}
	file := f.file
	f.file = nil
	return file.Close()
}

// Close closes the file if it is open.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closeFile()
}
