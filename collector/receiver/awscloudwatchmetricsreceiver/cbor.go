package awscloudwatchmetricsreceiver

import (
	"encoding/binary"
	"errors"
	"math"
)

// The SDK's decoder makes a value of everything, which was most of what a poll cost. This one
// goes through an answer once and keeps what the receiver asks for. It takes what that one
// takes: RFC 8949 without simple values, with texts for keys.

var (
	errShort  = errors.New("it ends too early")
	errForm   = errors.New("it has what CBOR does not have")
	errNested = errors.New("it is nested too deep")
	errNotMap = errors.New("it is no map")
)

// The kinds of values.
const (
	majorUint = iota
	majorNegative
	majorBytes
	majorText
	majorList
	majorMap
	majorTag
	majorOther
)

const (
	indefinite  = 31
	breakMarker = 0xff
	epochTag    = 1
	float64Head = 0xfb
	deepest     = 128
)

// cborReader reads one value after the other. A value of another kind than the one that is
// asked for is skipped. After the first error there are no more values.
type cborReader struct {
	rest  []byte
	depth int
	err   error

	times, values []number // room of the latest result
}

func (r *cborReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
}

// head is the kind of the next value, and what its first byte says besides.
func (r *cborReader) head() (major, minor byte) {
	if len(r.rest) == 0 {
		r.fail(errShort)
		return majorOther, 0
	}
	return r.rest[0] >> 5, r.rest[0] & 31
}

// is reports whether the next value is of a kind, and skips it if not.
func (r *cborReader) is(kind byte) bool {
	major, _ := r.head()
	if r.err == nil && major != kind {
		r.skip()
		return false
	}
	return r.err == nil
}

// argument reads the number that is in a head or follows it.
func (r *cborReader) argument() uint64 {
	_, minor := r.head()
	switch {
	case r.err != nil:
		return 0
	case minor < 24:
		r.rest = r.rest[1:]
		return uint64(minor)
	case minor > 27:
		r.fail(errForm)
		return 0
	}
	r.rest = r.rest[1:]
	switch b := r.take(1 << (minor - 24)); len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(b))
	case 4:
		return uint64(binary.BigEndian.Uint32(b))
	case 8:
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *cborReader) take(n uint64) []byte {
	if uint64(len(r.rest)) < n {
		r.fail(errShort)
		return nil
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

// span is what is left of a list or a map: so many items, or all until the marker.
type span struct {
	items   uint64
	endless bool
	opened  bool
}

// open begins a list or a map, and more goes through it:
//
//	for all := r.open(majorList); r.more(&all); {
//
// The loop reads each item or entry, and has no break.
func (r *cborReader) open(kind byte) span {
	if !r.is(kind) || !r.enter() {
		return span{}
	}
	if _, minor := r.head(); minor == indefinite {
		r.rest = r.rest[1:]
		return span{endless: true, opened: true}
	}
	return span{items: r.argument(), opened: true}
}

func (r *cborReader) more(s *span) bool {
	switch {
	case s.endless && !r.ended():
		return true
	case s.items > 0 && r.err == nil:
		s.items--
		return true
	case s.opened:
		r.depth--
	}
	return false
}

// ended takes the marker at the end of what has no length.
func (r *cborReader) ended() bool {
	if len(r.rest) == 0 {
		r.fail(errShort)
		return true
	}
	if r.rest[0] != breakMarker {
		return false
	}
	r.rest = r.rest[1:]
	return true
}

func (r *cborReader) enter() bool {
	if r.depth++; r.depth > deepest {
		r.fail(errNested)
	}
	return r.err == nil
}

// key is that of the next entry of a map.
func (r *cborReader) key() []byte {
	if major, _ := r.head(); major != majorText {
		r.fail(errForm)
	}
	return r.bytes()
}

// bytes are those of a text or of a string of bytes.
func (r *cborReader) bytes() []byte {
	major, minor := r.head()
	if minor != indefinite {
		return r.take(r.argument())
	}
	r.rest = r.rest[1:]
	var out []byte
	for !r.ended() {
		if kind, length := r.head(); kind != major || length == indefinite {
			r.fail(errForm)
		}
		out = append(out, r.take(r.argument())...)
	}
	return out
}

func (r *cborReader) text() string {
	if !r.is(majorText) {
		return ""
	}
	if b := r.bytes(); string(b) != statusComplete {
		return string(b)
	}
	return statusComplete // which is said so often that a copy each time is felt
}

// number is any form of one.
func (r *cborReader) number() number {
	if len(r.rest) > 8 && r.rest[0] == float64Head { // as most are
		value := math.Float64frombits(binary.BigEndian.Uint64(r.rest[1:]))
		r.rest = r.rest[9:]
		return known(value)
	}
	switch major, _ := r.head(); major {
	case majorUint:
		return number{float64(r.argument()), r.err == nil}
	case majorNegative:
		n := r.argument() + 1
		return number{-float64(n), r.err == nil && n != 0}
	case majorOther:
		return r.other()
	}
	r.skip()
	return number{}
}

// other is a float, or what is no number: true, false, null and undefined.
func (r *cborReader) other() number {
	_, minor := r.head()
	if r.err != nil {
		return number{}
	}
	if minor >= 20 && minor <= 23 {
		r.rest = r.rest[1:]
		return number{}
	}
	if minor < 25 {
		r.fail(errForm)
		return number{}
	}
	value := floatOf(minor, r.argument())
	return number{value, r.err == nil && !math.IsNaN(value)}
}

func floatOf(minor byte, bits uint64) float64 {
	switch minor {
	case 25:
		return half(uint16(bits)) //nolint:gosec // two bytes were read
	case 26:
		return float64(math.Float32frombits(uint32(bits))) //nolint:gosec // four bytes were read
	}
	return math.Float64frombits(bits)
}

// half is a float of two bytes (RFC 8949, appendix D).
func half(bits uint16) float64 {
	exponent, fraction := int(bits>>10&31), float64(bits&1023)
	value := math.Ldexp(fraction+1024, exponent-25)
	switch {
	case exponent == 0:
		value = math.Ldexp(fraction, -24)
	case exponent == 31 && fraction == 0:
		value = math.Inf(1)
	case exponent == 31:
		return math.NaN()
	}
	if bits>>15 == 1 {
		return -value
	}
	return value
}

// time is tagged seconds since 1970.
func (r *cborReader) time() number {
	if !r.is(majorTag) || !r.enter() {
		return number{}
	}
	defer func() { r.depth-- }()
	if r.argument() != epochTag {
		r.skip()
		return number{}
	}
	return r.number()
}

// numbers reads a list into the room of an earlier one.
func (r *cborReader) numbers(room []number, next func(*cborReader) number) []number {
	room = room[:0]
	for all := r.open(majorList); r.more(&all); {
		room = append(room, next(r))
	}
	return room
}

func (r *cborReader) skip() {
	switch major, _ := r.head(); major {
	case majorUint, majorNegative:
		r.argument()
	case majorBytes, majorText:
		r.bytes()
	case majorList:
		for all := r.open(majorList); r.more(&all); {
			r.skip()
		}
	case majorMap:
		for all := r.open(majorMap); r.more(&all); {
			r.key()
			r.skip()
		}
	case majorTag:
		if r.enter() {
			r.argument()
			r.skip()
			r.depth--
		}
	default:
		r.other()
	}
}
