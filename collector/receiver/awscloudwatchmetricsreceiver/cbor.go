package awscloudwatchmetricsreceiver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
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

func (rpcCBOR) page(body []byte) (page, error) {
	var p page
	r := &cborReader{rest: body}
	if major, _ := r.head(); major != majorMap {
		r.fail(errNotMap)
	}
	for all := r.open(majorMap); r.more(&all); {
		switch string(r.key()) {
		case "NextToken":
			p.Next = r.text()
		case "MetricDataResults":
			p.Results = r.results()
		case "Metrics":
			p.Metrics = mapsOf(r, (*cborReader).metric)
		case "Datapoints":
			p.Datapoints = mapsOf(r, (*cborReader).datapoint)
		default:
			r.skip()
		}
	}
	if r.err != nil {
		return page{}, fmt.Errorf("the answer is no CBOR: %w", r.err)
	}
	return p, nil
}

// mapsOf are those items of a list that are maps, each with what is said of its fields.
func mapsOf[T any](r *cborReader, field func(r *cborReader, name []byte, of *T)) []T {
	var out []T
	for all := r.open(majorList); r.more(&all); {
		if !r.is(majorMap) {
			continue
		}
		var of T
		for fields := r.open(majorMap); r.more(&fields); {
			field(r, r.key(), &of)
		}
		out = append(out, of)
	}
	return out
}

// results are most of what is ever read.
func (r *cborReader) results() []result {
	all := r.open(majorList)
	out := make([]result, 0, min(all.items, maxQueries))
	for r.more(&all) {
		if r.is(majorMap) {
			out = append(out, r.result())
		}
	}
	return out
}

func (r *cborReader) result() result {
	var of result
	r.times, r.values = r.times[:0], r.values[:0]
	for fields := r.open(majorMap); r.more(&fields); {
		switch string(r.key()) {
		case "Id":
			of.ID = r.text()
		case "StatusCode":
			of.Status = r.text()
		case "Timestamps":
			r.times = r.numbers(r.times, (*cborReader).time)
		case "Values":
			r.values = r.numbers(r.values, (*cborReader).number)
		default:
			r.skip()
		}
	}
	of.Points = pointsOf(r.times, r.values)
	return of
}

func (r *cborReader) metric(name []byte, of *found) {
	switch string(name) {
	case "MetricName":
		of.Name = r.text()
	case "Dimensions":
		of.Dimensions = mapsOf(r, (*cborReader).dimension)
	default:
		r.skip()
	}
}

func (r *cborReader) dimension(name []byte, of *dimension) {
	switch string(name) {
	case "Name":
		of.Name = r.text()
	case "Value":
		of.Value = r.text()
	default:
		r.skip()
	}
}

func (r *cborReader) datapoint(name []byte, of *datapoint) {
	if to := of.stat(string(name)); to != nil {
		*to = r.number()
		return
	}
	if string(name) == "Timestamp" {
		of.Time = r.time()
		return
	}
	r.skip()
}

// errorOf reads what is said of an error.
func (rpcCBOR) errorOf(body []byte) awsError {
	var e awsError
	r := &cborReader{rest: body}
	for all := r.open(majorMap); r.more(&all); {
		switch string(r.key()) {
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

// cborWriter writes one value after the other.
type cborWriter struct{ out []byte }

func (w *cborWriter) head(major byte, n int) {
	kind := major << 5
	switch {
	case n < 24:
		w.out = append(w.out, kind|byte(n)) //nolint:gosec // less than 24
	case n <= math.MaxUint8:
		w.out = append(w.out, kind|24, byte(n)) //nolint:gosec // less than 256
	case n <= math.MaxUint16:
		w.out = binary.BigEndian.AppendUint16(append(w.out, kind|25), uint16(n)) //nolint:gosec // just compared
	default:
		w.out = binary.BigEndian.AppendUint32(append(w.out, kind|26), uint32(n)) //nolint:gosec // lengths, counts and seconds
	}
}

func (w *cborWriter) text(s string) {
	w.head(majorText, len(s))
	w.out = append(w.out, s...)
}

func (w *cborWriter) time(at epoch) {
	w.head(majorTag, epochTag)
	w.out = binary.BigEndian.AppendUint64(append(w.out, float64Head), math.Float64bits(float64(at)))
}

// cborFields is a map that is being written. Its head has the number of fields, which must
// not be more than 23.
type cborFields struct {
	*cborWriter
	at int
}

func (w *cborWriter) fields() cborFields {
	w.head(majorMap, 0)
	return cborFields{w, len(w.out) - 1}
}

func (f cborFields) key(name string) *cborWriter {
	f.out[f.at]++
	f.text(name)
	return f.cborWriter
}

// textUnlessEmpty leaves out what is not asked for.
func (f cborFields) textUnlessEmpty(name, value string) {
	if value != "" {
		f.key(name).text(value)
	}
}

func (f cborFields) window(start, end epoch) {
	f.key("StartTime").time(start)
	f.key("EndTime").time(end)
}

func (f cborFields) metric(m *metricRequest) {
	f.textUnlessEmpty("Namespace", m.Namespace)
	f.textUnlessEmpty("MetricName", m.MetricName)
	if len(m.Dimensions) == 0 {
		return
	}
	w := f.key("Dimensions")
	w.head(majorList, len(m.Dimensions))
	for _, d := range m.Dimensions {
		of := w.fields()
		of.key("Name").text(d.Name)
		of.textUnlessEmpty("Value", d.Value)
	}
}

func (q *dataRequest) writeCBOR(w *cborWriter) {
	w.out = slices.Grow(w.out, 256*(1+len(q.MetricDataQueries)))
	all := w.fields()
	all.window(q.StartTime, q.EndTime)
	all.key("ScanBy").text(q.ScanBy)
	all.key("MaxDatapoints").head(majorUint, q.MaxDatapoints)
	all.textUnlessEmpty("NextToken", q.NextToken)
	all.key("MetricDataQueries").head(majorList, len(q.MetricDataQueries))
	for i := range q.MetricDataQueries {
		of := &q.MetricDataQueries[i]
		fields := w.fields()
		fields.key("Id").text(of.ID)
		stat := fields.key("MetricStat").fields()
		stat.key("Metric").fields().metric(&of.MetricStat.Metric)
		stat.key("Period").head(majorUint, of.MetricStat.Period)
		stat.key("Stat").text(of.MetricStat.Stat)
	}
}

func (q *statisticsRequest) writeCBOR(w *cborWriter) {
	all := w.fields()
	all.metric(&q.metricRequest)
	all.window(q.StartTime, q.EndTime)
	all.key("Period").head(majorUint, q.Period)
	all.key("Statistics").head(majorList, len(q.Statistics))
	for _, stat := range q.Statistics {
		w.text(stat)
	}
}

func (q *listRequest) writeCBOR(w *cborWriter) {
	all := w.fields()
	all.metric(&q.metricRequest)
	all.textUnlessEmpty("RecentlyActive", q.RecentlyActive)
	all.textUnlessEmpty("NextToken", q.NextToken)
}
