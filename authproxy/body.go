package authproxy

import (
	"errors"
	"io"
	"sync/atomic"
)

var errTooLong = errors.New("the body is longer than the route takes")

// inbound is a client's body. It may be read by another goroutine after the answer has come.
type inbound struct {
	from  io.Reader
	limit int64
	read  atomic.Int64
	over  atomic.Bool // nobody reads on
	fault atomic.Pointer[error]
}

func (b *inbound) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	if b.read.Add(int64(n)) > b.limit {
		n, err = 0, errTooLong
	}
	if err != nil {
		b.over.Store(true)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.fault.CompareAndSwap(nil, &err)
	}
	return n, err
}

// Close leaves the rest to the server, which knows how much of it to wait for.
func (b *inbound) Close() error {
	b.over.Store(true)
	return nil
}

// failed is why the body could not be read to its end, nil if it could.
func (b *inbound) failed() error {
	if fault := b.fault.Load(); fault != nil {
		return *fault
	}
	return nil
}
