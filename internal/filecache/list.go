package filecache

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// File is one file of the cache.
type File struct {
	Name    string
	Kind    string // entry, failure or shortcut
	Size    int64
	Written time.Time
	Expiry  time.Time // of an entry; zero: none, or it cannot be read
}

// Dir is the folder.
func (c *Cache) Dir() string { return c.dir }

// List returns what is remembered, by name.
func (c *Cache) List() ([]File, error) {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, err
	}
	var all []File
	for _, entry := range entries {
		kind := strings.TrimPrefix(filepath.Ext(entry.Name()), ".")
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || kind != "entry" && kind != "failure" && kind != "shortcut" {
			continue
		}
		file := File{Name: entry.Name(), Kind: kind, Size: info.Size(), Written: info.ModTime()}
		if kind == "entry" {
			if e, err := c.ReadEntry(strings.TrimSuffix(entry.Name(), ".entry")); err == nil {
				file.Expiry = e.Expiry
			}
		}
		all = append(all, file)
	}
	return all, nil
}

// Clear forgets everything. Locks stay: one that another process holds must not be made
// a second time.
func (c *Cache) Clear() (forgotten int, err error) {
	files, err := c.List()
	for _, file := range files {
		if removed := os.Remove(c.path(file.Name)); removed != nil && !errors.Is(removed, os.ErrNotExist) {
			err = errors.Join(err, removed)
			continue
		}
		forgotten++
	}
	return forgotten, err
}

// Failure is the last try for a query, if it failed and nothing has come since.
type Failure struct {
	At  time.Time
	Err error
}

// LastFailure returns the failure that is remembered for a query, whose Key, Attempt and
// Failed are set.
func (c *Cache) LastFailure(q Query) (Failure, bool) {
	f, ok := c.failure(q)
	return Failure{At: f.recorded, Err: f.err}, ok
}
