package azurelogsingestionexporter

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
)

// deadLetters keeps rows that can never be delivered, each as a line of JSON. Without a
// path it says that there was one, and not what was in it.
type deadLetters struct {
	config DeadLetterConfig
	logger *zap.Logger

	mu   sync.Mutex
	file *os.File
	size int64
}

// deadLetter is a line of the file.
type deadLetter struct {
	Time    time.Time `json:"time"`
	DCR     string    `json:"dcr"`
	Stream  string    `json:"stream"`
	Code    string    `json:"code"`
	Message string    `json:"message"`
	Row     any       `json:"row"`
}

// write returns when the row is on the disk: next it is deleted from the queue.
func (d *deadLetters) write(to destination, code, message string, row []byte) error {
	if d.config.Path == "" {
		d.logger.Warn("A row was given up.", zap.String("dcr", to.dcr), zap.String("stream", to.stream),
			zap.String("code", code), zap.String("message", message), zap.Int("bytes", len(row)))
		return nil
	}
	letter := deadLetter{time.Now().UTC(), to.dcr, to.stream, code, message, string(row)}
	if json.Valid(row) {
		letter.Row = json.RawMessage(row)
	}
	line, err := json.Marshal(letter)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.append(append(line, '\n'))
}

func (d *deadLetters) append(line []byte) error {
	if err := d.open(); err != nil {
		return err
	}
	if d.size > 0 && d.size+int64(len(line)) > d.config.MaxBytes {
		if err := d.rotate(); err != nil {
			return err
		}
	}
	n, err := d.file.Write(line)
	d.size += int64(n)
	if err != nil {
		return err
	}
	return d.file.Sync()
}

func (d *deadLetters) open() error {
	if d.file != nil {
		return nil
	}
	file, err := os.OpenFile(d.config.Path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	d.file, d.size = file, info.Size()
	return nil
}

func (d *deadLetters) rotate() error {
	if err := d.closeFile(); err != nil {
		return err
	}
	for n := d.config.MaxFiles; n > 0; n-- {
		if err := os.Rename(d.name(n-1), d.name(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if d.config.MaxFiles == 0 {
		if err := os.Remove(d.config.Path); err != nil {
			return err
		}
	}
	return d.open()
}

func (d *deadLetters) name(n int) string {
	if n == 0 {
		return d.config.Path
	}
	return fmt.Sprintf("%s.%d", d.config.Path, n)
}

func (d *deadLetters) closeFile() error {
	if d.file == nil {
		return nil
	}
	file := d.file
	d.file = nil
	return file.Close()
}

func (d *deadLetters) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closeFile()
}
