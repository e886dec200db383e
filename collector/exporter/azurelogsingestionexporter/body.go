package azurelogsingestionexporter

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
)

// reason is why a body was closed.
type reason string

const (
	whenFull    reason = "full"
	whenRawFull reason = "raw"
	whenFlushed reason = "flush"
	whenSplit   reason = "split"
)

// body is what one request carries.
type body struct {
	wire   []byte
	raw    int
	at     []int64 // the times of its rows
	reason reason
	id     string
	tooBig bool // one row, which is not compressed and never sent
}

func (b *body) count() int { return len(b.at) }

// requestID is the same for the same content, so that a request which is repeated can be
// recognised by whoever looks for it.
func (b *body) requestID() string {
	if b.id == "" {
		sum := sha256.Sum256(b.wire)
		sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // a UUID of version 8 (RFC 9562)
		text := hex.EncodeToString(sum[:16])
		b.id = fmt.Sprintf("%s-%s-%s-%s-%s", text[:8], text[8:12], text[12:16], text[16:20], text[20:])
	}
	return b.id
}

// rows takes a body apart.
func (b *body) rows() ([][]byte, error) {
	if b.tooBig {
		return [][]byte{b.wire}, nil
	}
	reader, err := gzip.NewReader(bytes.NewReader(b.wire))
	if err != nil {
		return nil, fmt.Errorf("unpack a batch: %w", err)
	}
	raw, err := io.ReadAll(io.LimitReader(reader, int64(b.raw)))
	if err != nil {
		return nil, fmt.Errorf("unpack a batch: %w", err)
	}
	return bytes.Split(raw[1:len(raw)-1], []byte(",\n")), nil
}

// window is the half hour that a time is in, and outside all of them what Azure gives its
// own time to.
func window(at, now int64) int64 {
	if isReplaced(at, now) {
		return -1
	}
	return at / halfHour
}

const (
	second   = int64(1e9)
	hour     = 3600 * second
	halfHour = hour / 2
	day      = 24 * hour
)

// isReplaced reports whether Azure takes another time for a row: that of its receipt, if
// its own is more than two days old or one day ahead. An hour is for the way there.
func isReplaced(at, now int64) bool { return at < now-2*day+hour || at > now+day-hour }
