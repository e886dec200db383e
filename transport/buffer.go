package transport

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// maxShort is the length of a body up to which its memory is its own, in bytes. Such a one
// goes out in one packet with the header: net/http knows readers of bytes to be at hand,
// and of others it sends the header first.
const maxShort = 16 << 10

// block is what memory for longer bodies comes in.
type block [32 << 10]byte

var blocks = sync.Pool{New: func() any { return new(block) }} //nolint:gochecknoglobals // a pool for the process

// buffer is a body in memory, to be hashed or to be sent more than once. The memory of a
// long one goes back to where it came from when all its readers are closed and whoever
// read it has released it: a transport may read on after it has returned an answer.
type buffer struct {
	size   int64 // in bytes
	pieces [][]byte
	pooled bool
	users  atomic.Int64
}

// readBody reads up to limit bytes and one, shows them to sum, which may be nil, and closes
// the body. An error is the body's own.
func readBody(r *http.Request, limit int64, sum io.Writer) (*buffer, error) {
	b := &buffer{pooled: r.ContentLength <= 0 || r.ContentLength > maxShort}
	b.users.Store(1)
	err := b.fill(r, limit, sum)
	closeBody(r)
	if err != nil {
		b.release()
		return nil, err
	}
	return b, nil
}

func (b *buffer) fill(r *http.Request, limit int64, sum io.Writer) error {
	for b.size <= limit {
		piece := b.space(r.ContentLength)
		n, err := readFull(r.Body, piece)
		b.pieces, b.size = append(b.pieces, piece[:n]), b.size+int64(n)
		if sum != nil {
			_, _ = sum.Write(piece[:n]) // a hash, which never fails
		}
		if err == io.EOF { //nolint:errorlint // that of this reader, and no other's
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// space is room for what comes next; that for a short body holds one byte more, so that
// its end is seen.
func (b *buffer) space(length int64) []byte {
	if !b.pooled && b.size == 0 {
		return make([]byte, length+1)
	}
	b.pooled = true
	return blocks.Get().(*block)[:]
}

// readFull reads until p is full, or says why it is not. Unlike [io.ReadFull] it makes
// no other error of the end.
func readFull(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var more int
		more, err = r.Read(p[n:])
		n += more
	}
	return n, err
}

// open returns the body from its beginning. After the last release it cannot be read.
func (b *buffer) open() io.ReadCloser {
	switch {
	case b.size == 0:
		return http.NoBody
	case !b.pooled:
		return io.NopCloser(bytes.NewReader(b.pieces[0]))
	case !b.retain():
		return &bufferReader{}
	}
	return &bufferReader{of: b}
}

// again is open in the form of [http.Request].GetBody.
func (b *buffer) again() (io.ReadCloser, error) { return b.open(), nil }

func (b *buffer) retain() bool {
	for {
		n := b.users.Load()
		if n == 0 {
			return false
		}
		if b.users.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release is for each who has the buffer, once; nil is nobody's.
func (b *buffer) release() {
	if b == nil || b.users.Add(-1) > 0 || !b.pooled {
		return
	}
	for _, piece := range b.pieces {
		if cap(piece) == len(block{}) { // and not the beginning of one that was to be short
			blocks.Put((*block)(piece[:cap(piece)]))
		}
	}
}

// bufferReader reads one buffer once. Its lock is for transports that close a body while
// another goroutine reads it.
type bufferReader struct {
	mu    sync.Mutex
	of    *buffer // nil: closed
	piece int
	taken int // of the piece
}

func (r *bufferReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of == nil {
		return 0, errSpent
	}
	total := 0
	for total < len(p) && r.piece < len(r.of.pieces) {
		n := copy(p[total:], r.of.pieces[r.piece][r.taken:])
		total, r.taken = total+n, r.taken+n
		if r.taken == len(r.of.pieces[r.piece]) {
			r.piece, r.taken = r.piece+1, 0
		}
	}
	if total == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return total, nil
}

func (r *bufferReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of != nil {
		r.of.release()
		r.of = nil
	}
	return nil
}
