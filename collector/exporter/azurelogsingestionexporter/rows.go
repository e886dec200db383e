package azurelogsingestionexporter

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"
	"slices"
	"time"
)

// rows are JSON objects one after the other, none of which has a line break.
type rows struct {
	data []byte
	ends []int
	at   []int64 // nanoseconds since 1970, of each row

	borrowed bool // data belongs to a storage
}

// grow makes place for n rows.
func (r *rows) grow(n, size int) {
	r.data, r.ends, r.at = slices.Grow(r.data, size), slices.Grow(r.ends, n), slices.Grow(r.at, n)
}

// append closes the row that was appended to data.
func (r *rows) append(at time.Time) {
	r.ends = append(r.ends, len(r.data))
	r.at = append(r.at, at.UnixNano())
}

// all yields the time of each row, and the row.
func (r *rows) all() iter.Seq2[int64, []byte] {
	return func(yield func(int64, []byte) bool) {
		start := 0
		for i, end := range r.ends {
			if !yield(r.at[i], r.data[start:end]) {
				return
			}
			start = end
		}
	}
}

// format begins a request on disk. An exporter of a later version must go on reading it.
const format = "keyless-rows-1\n"

var errFormat = errors.New("what is stored is no request of this exporter")

// appendTo writes the rows for storage: how many, then time and length of each, then all
// the text.
func (r *rows) appendTo(out []byte) []byte {
	out = binary.AppendUvarint(out, uint64(len(r.ends)))
	var lastTime int64
	start := 0
	for i, end := range r.ends {
		out = binary.AppendVarint(out, r.at[i]-lastTime)
		out = binary.AppendUvarint(out, uint64(end-start)) //nolint:gosec // ends ascend
		lastTime, start = r.at[i], end
	}
	return append(out, r.data...)
}

// readRows is the reverse. The text is that of stored, not a copy.
func readRows(stored []byte) (rows, error) {
	s := storage{rest: stored}
	n := s.size()
	if s.failed || n > len(s.rest)/2 {
		return rows{}, errFormat
	}
	r := rows{ends: make([]int, n), at: make([]int64, n)}
	var at int64
	end := 0
	for i := range n {
		at += s.signed()
		end += s.size()
		r.at[i], r.ends[i] = at, end
		if s.failed || end > len(stored) {
			return rows{}, errFormat
		}
	}
	if end != len(s.rest) {
		return rows{}, errFormat
	}
	r.data, r.borrowed = s.rest, true
	return r, nil
}

// storage reads what appendTo wrote, or was made of it by a broken disk.
type storage struct {
	rest   []byte
	failed bool
}

func (s *storage) size() int {
	n, read := binary.Uvarint(s.rest)
	if read <= 0 || n > 1<<31 {
		s.failed = true
		return 0
	}
	s.rest = s.rest[read:]
	return int(n)
}

func (s *storage) signed() int64 {
	n, read := binary.Varint(s.rest)
	if read <= 0 {
		s.failed = true
		return 0
	}
	s.rest = s.rest[read:]
	return n
}

func (s *storage) text() string {
	n := s.size()
	if s.failed || n > len(s.rest) {
		s.failed = true
		return ""
	}
	text := string(s.rest[:n])
	s.rest = s.rest[n:]
	return text
}

func appendName(out []byte, name string) []byte {
	return append(binary.AppendUvarint(out, uint64(len(name))), name...)
}

// readRequest reads a request from storage.
func readRequest(stored []byte) (destination, rows, error) {
	rest, found := bytes.CutPrefix(stored, []byte(format))
	s := storage{rest: rest}
	to := destination{dcr: s.text(), stream: s.text()}
	if !found || s.failed || to.dcr != "" && !isRule(to.dcr) || to.stream != "" && !isStream(to.stream) {
		return destination{}, rows{}, errFormat
	}
	all, err := readRows(s.rest)
	return to, all, err
}
