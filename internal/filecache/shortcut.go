package filecache

import (
	"bytes"
	"os"
	"strings"
	"time"
)

// Shortcut reads a small file that speeds up the way to an entry.
func (c *Cache) Shortcut(name string) ([]byte, error) { return readFile(c.path(name + ".shortcut")) }

// SetShortcut writes it unless it is there already or another process is at it.
func (c *Cache) SetShortcut(name string, data []byte) error {
	if old, err := c.Shortcut(name); err == nil && bytes.Equal(old, data) {
		return nil
	}
	locked, unlock, err := c.lock(name, 0)
	if err != nil || !locked {
		return err
	}
	defer unlock()
	return writeHint(c.path(name+".shortcut"), c.path(name+".tmp"), data)
}

// sweepAfter is older than any answer can be of use: a token of a managed identity
// lives a day, a session half a day.
const sweepAfter = 3 * 24 * time.Hour

// sweep removes what nobody has written for days. Locks stay: one that another
// process holds must not be made a second time.
func (c *Cache) sweep(now time.Time) {
	files, err := os.ReadDir(c.dir)
	if err != nil {
		return
	}
	for _, file := range files {
		info, err := file.Info()
		if err != nil || strings.Contains(file.Name(), ".lock") || !info.Mode().IsRegular() {
			continue
		}
		if now.Sub(info.ModTime()) > sweepAfter {
			_ = os.Remove(c.path(file.Name()))
		}
	}
}
