package azurelogsingestionexporter

import (
	"encoding/json"
	"time"

	"go.uber.org/zap"

	"github.com/keyless-id/keyless/collector/internal/deadletter"
)

// deadLetters keeps rows that can never be delivered, each as a line of JSON. Without a
// path it says that there was one, and not what was in it.
type deadLetters struct {
	file   deadletter.File
	logger *zap.Logger
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
	if d.file.Config.Path == "" {
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
	return d.file.Append(append(line, '\n'))
}
