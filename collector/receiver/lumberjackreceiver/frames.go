package lumberjackreceiver

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zlib"
)

// The frames of Lumberjack 2, as github.com/elastic/go-lumber writes them: a version, a
// code, numbers in network order, a payload.
const (
	version         = '2'
	legacyVersion   = '1' // of Logstash's output lumberjack to this day
	codeWindow      = 'W' // how many events follow
	codeEvent       = 'J' // sequence number, length, JSON
	codeFields      = 'D' // sequence number, number of pairs, and of each: length, key, length, value; version 1
	codeCompressed  = 'C' // length, frames in zlib's format
	codeAcknowledge = 'A' // the last sequence number that needs not be sent again
	tlsHandshake    = 0x16
)

var (
	errProtocol = errors.New("not Lumberjack")
	errSize     = errors.New("too large")
)

// frame is the beginning of one; the payload of an event follows it.
type frame struct {
	code  byte
	count uint32 // of a window: events; of fields: pairs
	seq   uint32 // of an event
	size  uint32 // of an event: bytes
}

// frames reads frames, those within compressed frames like those outside. What a peer
// announces costs no memory.
type frames struct {
	outer *bufio.Reader
	// maxEvent and maxWindow bound the bytes of an event, and those between two windows.
	maxEvent, maxWindow int64

	inner  *bufio.Reader // frames of the compressed frame that is being read, or nil
	packed io.LimitedReader
	zlib   io.ReadCloser
	latest byte  // version of the frame that was read last
	legacy bool  // the window is of version 1, which knows one acknowledgement: that of the whole
	used   int64 // bytes since the last window, decompressed
	read   int64 // frames since they were last taken
}

func newFrames(from io.Reader, maxEvent, maxWindow int64) *frames {
	return &frames{outer: bufio.NewReaderSize(from, 64<<10), maxEvent: maxEvent, maxWindow: maxWindow}
}

// wait returns when the first byte of a frame is there.
func (f *frames) wait() error {
	_, err := f.outer.Peek(1)
	return err
}

// next reads up to the next payload. It returns io.EOF where a peer may end.
func (f *frames) next() (frame, error) {
	for {
		code, err := f.code()
		switch {
		case errors.Is(err, io.EOF) && f.inner != nil:
			if err := f.leave(); err != nil {
				return frame{}, err
			}
		case err != nil:
			return frame{}, err
		case code == codeEvent:
			return f.event()
		case code == codeFields && f.legacy:
			return f.fieldsHead()
		case code == codeWindow && f.inner == nil:
			count, err := f.number()
			f.used, f.legacy = 0, f.latest == legacyVersion
			return frame{code: codeWindow, count: count}, err
		case code == codeCompressed && f.inner == nil:
			if err := f.enter(); err != nil {
				return frame{}, err
			}
		default:
			return frame{}, fmt.Errorf("%w: frame %q out of place", errProtocol, code)
		}
	}
}

// taken is how many frames were read since it was asked last.
func (f *frames) taken() int64 {
	n := f.read
	f.read = 0
	return n
}

// payload reads that of the event that next returned, into buffer if it is large enough.
func (f *frames) payload(buffer []byte, size uint32) ([]byte, error) {
	if uint32(cap(buffer)) < size { //nolint:gosec // capacities beyond 4 GiB are not made
		buffer = make([]byte, size)
	}
	buffer = buffer[:size]
	return buffer, f.full(buffer)
}

func (f *frames) event() (frame, error) {
	seq, err := f.number()
	if err != nil {
		return frame{}, err
	}
	size, err := f.number()
	switch {
	case err != nil:
		return frame{}, err
	case seq == 0:
		// The acknowledgement of nothing is what keeps a sender waiting.
		return frame{}, fmt.Errorf("%w: an event has the number 0", errProtocol)
	case int64(size) > f.maxEvent:
		return frame{}, fmt.Errorf("%w: an event of %d bytes, max_event_bytes is %d", errSize, size, f.maxEvent)
	}
	return frame{code: codeEvent, seq: seq, size: size}, f.spend(int64(size))
}

// code reads version and code. A clean end is before them.
func (f *frames) code() (byte, error) {
	var code [1]byte
	first, err := f.source().ReadByte()
	if err != nil {
		return 0, f.fault(err)
	}
	if first != version && first != legacyVersion {
		return 0, notVersion(first)
	}
	f.latest = first
	if err := f.full(code[:]); err != nil {
		return 0, err
	}
	f.read++
	return code[0], f.spend(2)
}

func notVersion(first byte) error {
	switch first {
	case tlsHandshake:
		return fmt.Errorf("%w: the sender speaks TLS, set tls in the receiver or ssl.enabled: false there", errProtocol)
	default:
		return fmt.Errorf("%w: version %#x", errProtocol, first)
	}
}

func (f *frames) number() (uint32, error) {
	var number [4]byte
	err := f.full(number[:])
	return binary.BigEndian.Uint32(number[:]), err
}

// full reads all of p; an end within it is unexpected.
func (f *frames) full(p []byte) error {
	_, err := io.ReadFull(f.source(), p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return f.fault(err)
}

func (f *frames) source() *bufio.Reader {
	if f.inner != nil {
		return f.inner
	}
	return f.outer
}

// spend counts what a window has cost: without it a compressed frame of a megabyte could
// hold a gigabyte of events.
func (f *frames) spend(n int64) error {
	f.used += n
	if f.used > f.maxWindow {
		return fmt.Errorf("%w: a window of more than max_window_bytes, %d", errSize, f.maxWindow)
	}
	return nil
}

// fault calls what a compressed frame has wrong by its name: the same bytes would be sent
// again and again, and who looks for the reason must find it.
func (f *frames) fault(err error) error {
	if f.inner != nil && f.packed.N == 0 && errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: a compressed frame ends within a frame", errProtocol)
	}
	var corrupt flate.CorruptInputError
	if errors.As(err, &corrupt) || errors.Is(err, zlib.ErrChecksum) || errors.Is(err, zlib.ErrDictionary) || errors.Is(err, zlib.ErrHeader) {
		return fmt.Errorf("%w: %w", errProtocol, err)
	}
	return err
}

// enter begins to read a compressed frame.
func (f *frames) enter() error {
	size, err := f.number()
	if err != nil {
		return err
	}
	if int64(size) > f.maxWindow {
		return fmt.Errorf("%w: a compressed frame of %d bytes, max_window_bytes is %d", errSize, size, f.maxWindow)
	}
	f.packed = io.LimitedReader{R: f.outer, N: int64(size)}
	if err := f.unpack(); err != nil {
		return f.fault(noEnd(err))
	}
	f.inner = bufio.NewReaderSize(f.zlib, 16<<10)
	return nil
}

// unpack points the decompressor, which is 40 kB and therefore kept, at the packed bytes.
func (f *frames) unpack() error {
	if f.zlib != nil {
		return f.zlib.(zlib.Resetter).Reset(&f.packed, nil)
	}
	unpacked, err := zlib.NewReader(&f.packed)
	if err == nil {
		f.zlib = unpacked
	}
	return err
}

// leave ends a compressed frame, and skips what it may have after its end.
func (f *frames) leave() error {
	f.inner = nil
	_, err := io.Copy(io.Discard, &f.packed)
	if err == nil && f.packed.N > 0 {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func noEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// acknowledgement is the reply up to a sequence number; 0 only says that somebody is at work.
func (f *frames) acknowledgement(seq uint32) []byte {
	spoken := byte(version)
	if f.legacy {
		spoken = legacyVersion
	}
	return binary.BigEndian.AppendUint32([]byte{spoken, codeAcknowledge}, seq)
}
