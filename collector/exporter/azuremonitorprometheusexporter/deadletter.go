package azuremonitorprometheusexporter

import (
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/prometheus/prompb"
)

// deadLetters is a file of JSON lines with what was dropped. The zero value has no file.
type deadLetters struct {
	mu   sync.Mutex
	file *os.File
	room int64 // how many bytes it may still grow by
}

var errFull = errors.New("the dead-letter file is full")

func (d *deadLetters) open(cfg DeadLetter) error {
	if cfg.Path == "" {
		return nil
	}
	file, err := os.OpenFile(cfg.Path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	d.file, d.room = file, cfg.MaxBytes-info.Size()
	return nil
}

func (d *deadLetters) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file == nil {
		return nil
	}
	file := d.file
	d.file = nil
	return file.Close()
}

// letter is a line of the file: samples are pairs of a time in milliseconds since 1970 and a
// value, which is a string because JSON has no NaN.
type letter struct {
	Time       time.Time         `json:"time"`
	Reason     string            `json:"reason"`
	Message    string            `json:"message,omitempty"`
	Series     map[string]string `json:"series"`
	Samples    [][2]any          `json:"samples,omitempty"`
	Histograms int               `json:"histograms,omitempty"`
}

// write appends what was dropped, in one write to the file.
func (d *deadLetters) write(reason, message string, dropped []prompb.TimeSeries) error {
	if d.file == nil {
		return nil
	}
	var lines []byte
	for i := range dropped {
		line, err := json.Marshal(letterOf(reason, message, &dropped[i]))
		if err != nil {
			return err
		}
		lines = append(append(lines, line...), '\n')
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file == nil || int64(len(lines)) > d.room {
		return errFull
	}
	d.room -= int64(len(lines))
	_, err := d.file.Write(lines)
	return err
}

func letterOf(reason, message string, s *prompb.TimeSeries) letter {
	l := letter{Time: time.Now().UTC(), Reason: reason, Message: message, Series: map[string]string{}, Histograms: len(s.Histograms)}
	for _, label := range s.Labels {
		l.Series[label.Name] = label.Value
	}
	for _, sample := range s.Samples {
		l.Samples = append(l.Samples, [2]any{sample.Timestamp, strconv.FormatFloat(sample.Value, 'g', -1, 64)})
	}
	return l
}
