package azurelogsingestionexporter

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
)

// rowIDs counts rows that are the same in all, within one request.
type rowIDs struct {
	occurrences map[[sha256.Size]byte]uint64
	input       []byte
}

func (r *rowIDs) begin() { clear(r.occurrences) }

// Where the receiver file_log says a line is from.
const (
	filePath   = "log.file.path"
	fileOffset = "log.file.record_offset"
)

// appendRowID writes a hash of what the row says, and of where it is from. It is
// persisted with the row, so it stays the same however often the row is sent. A time
// that the collector made up is no part of it: a line that is read again has another.
//
// Of rows that are the same in all, and from no file, each has its number in the request;
// a receiver that cuts the same rows into other requests may number them differently.
func (e *encoder) appendRowID(out, content []byte, record plog.LogRecord, at time.Time, own bool) []byte {
	path, isFile := record.Attributes().Get(filePath)
	offset, hasOffset := record.Attributes().Get(fileOffset)
	input := append(e.rowIDs.input[:0], content...)
	if own {
		input = binary.BigEndian.AppendUint64(append(input, 0), uint64(at.UnixNano()))
	}
	if isFile && hasOffset {
		input = append(append(input, 0), path.Str()...)
		input = strconv.AppendInt(append(input, 0), offset.Int(), 10)
	}
	e.rowIDs.input = input
	sum := sha256.Sum256(input)
	if !isFile || !hasOffset {
		sum = e.rowIDs.number(sum)
	}
	out = append(append(appendText(append(out, ','), e.plan.rowIDColumn), ':'), '"')
	return append(hex.AppendEncode(out, sum[:16]), '"')
}

func (r *rowIDs) number(sum [sha256.Size]byte) [sha256.Size]byte {
	if r.occurrences == nil {
		r.occurrences = map[[sha256.Size]byte]uint64{}
	}
	n := r.occurrences[sum]
	r.occurrences[sum] = n + 1
	if n == 0 {
		return sum
	}
	r.input = binary.BigEndian.AppendUint64(append(r.input[:0], sum[:]...), n)
	return sha256.Sum256(r.input)
}
