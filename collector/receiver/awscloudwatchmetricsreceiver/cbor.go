package awscloudwatchmetricsreceiver

import (
	"errors"
	"fmt"
	"iter"
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
	deepest     = 128
)

// cborReader reads one value after the other. A value of another kind than the one that is
// asked for is skipped. After the first error there are no more values.
type cborReader struct {
	rest  []byte
	depth int
	err   error
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
	var n uint64
	for _, b := range r.take(1 << (minor - 24)) {
		n = n<<8 | uint64(b)
	}
	return n
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

// items goes through a list or a map. The loop reads each item or entry, and has no break.
func (r *cborReader) items(kind byte) func(yield func() bool) {
	return func(yield func() bool) {
		if !r.is(kind) || !r.enter() {
			return
		}
		if _, minor := r.head(); minor == indefinite {
			r.rest = r.rest[1:]
			for !r.ended() {
				yield()
			}
		} else {
			for n := r.argument(); n > 0 && r.err == nil; n-- {
				yield()
			}
		}
		r.depth--
	}
}

func (r *cborReader) enter() bool {
	if r.depth++; r.depth > deepest {
		r.fail(errNested)
	}
	return r.err == nil
}

func (r *cborReader) list() func(yield func() bool) { return r.items(majorList) }

// fields goes through a map by its keys.
func (r *cborReader) fields() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for range r.items(majorMap) {
			if major, _ := r.head(); major != majorText {
				r.fail(errForm)
			}
			if key := r.bytes(); r.err == nil {
				yield(key)
			}
		}
	}
}

// maps goes through those items of a list that are maps.
func (r *cborReader) maps() func(yield func() bool) {
	return func(yield func() bool) {
		for range r.list() {
			if major, _ := r.head(); major == majorMap {
				yield()
			} else {
				r.skip()
			}
		}
	}
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
	return string(r.bytes())
}

// number is any form of one.
func (r *cborReader) number() number {
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

func (r *cborReader) numbers(each func() number) []number {
	var out []number
	if major, minor := r.head(); major == majorList && minor < 24 {
		out = make([]number, 0, minor)
	}
	for range r.list() {
		out = append(out, each())
	}
	return out
}

func (r *cborReader) skip() {
	switch major, _ := r.head(); major {
	case majorUint, majorNegative:
		r.argument()
	case majorBytes, majorText:
		r.bytes()
	case majorList:
		for range r.list() {
			r.skip()
		}
	case majorMap:
		for range r.fields() {
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

func (rpcCBOR) page(body []byte) (page, error) {
	var p page
	r := &cborReader{rest: body}
	if major, _ := r.head(); major != majorMap {
		r.fail(errNotMap)
	}
	for key := range r.fields() {
		switch string(key) {
		case "NextToken":
			p.Next = r.text()
		case "MetricDataResults":
			p.Results = r.results()
		case "Metrics":
			p.Metrics = r.metrics()
		case "Datapoints":
			p.Datapoints = r.datapoints()
		default:
			r.skip()
		}
	}
	if r.err != nil {
		return page{}, fmt.Errorf("the answer is no CBOR: %w", r.err)
	}
	return p, nil
}

func (r *cborReader) results() []result {
	var out []result
	for range r.maps() {
		var of result
		for key := range r.fields() {
			switch string(key) {
			case "Id":
				of.ID = r.text()
			case "StatusCode":
				of.Status = r.text()
			case "Timestamps":
				of.Times = r.numbers(r.time)
			case "Values":
				of.Values = r.numbers(r.number)
			default:
				r.skip()
			}
		}
		out = append(out, of)
	}
	return out
}

func (r *cborReader) metrics() []found {
	var out []found
	for range r.maps() {
		var of found
		for key := range r.fields() {
			switch string(key) {
			case "MetricName":
				of.Name = r.text()
			case "Dimensions":
				of.Dimensions = r.dimensions()
			default:
				r.skip()
			}
		}
		out = append(out, of)
	}
	return out
}

func (r *cborReader) dimensions() []dimension {
	var out []dimension
	for range r.maps() {
		var of dimension
		for key := range r.fields() {
			switch string(key) {
			case "Name":
				of.Name = r.text()
			case "Value":
				of.Value = r.text()
			default:
				r.skip()
			}
		}
		out = append(out, of)
	}
	return out
}

func (r *cborReader) datapoints() []datapoint {
	var out []datapoint
	for range r.maps() {
		var of datapoint
		for key := range r.fields() {
			if to := of.stat(string(key)); to != nil {
				*to = r.number()
			} else if string(key) == "Timestamp" {
				of.Time = r.time()
			} else {
				r.skip()
			}
		}
		out = append(out, of)
	}
	return out
}

// errorOf reads what is said of an error.
func (rpcCBOR) errorOf(body []byte) awsError {
	var e awsError
	r := &cborReader{rest: body}
	for key := range r.fields() {
		switch string(key) {
		case "__type":
			e.Type = r.text()
		case "message":
			e.Text = r.text()
		case "Message":
			e.Message = r.text()
		default:
			r.skip()
		}
	}
	if r.err != nil {
		return awsError{}
	}
	return e
}
