package filecache

import "bytes"

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
	return writeFile(c.path(name+".shortcut"), c.path(name+".tmp"), data)
}
