package azurelogsingestionexporter

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// encoder writes records as rows. It is for one goroutine at a time, and allocates nothing
// for a record whose column names it knows.
type encoder struct {
	values
	columns
	rowIDs  rowIDs
	members []member
	shared  shared
	clock   clock
	perRow  int // bytes, of the last request
}

func newEncoder(p *plan) *encoder { return &encoder{columns: columns{plan: p}} }

// encode appends the rows of logs; those without a time have now.
func (e *encoder) encode(rows *rows, logs plog.Logs, now time.Time) {
	e.tidy()
	e.rowIDs.begin()
	n := logs.LogRecordCount()
	rows.grow(n, n*e.perRow)
	for _, resource := range logs.ResourceLogs().All() {
		for _, scope := range resource.ScopeLogs().All() {
			e.shared.fill(e, resource.Resource(), scope.Scope())
			for _, record := range scope.LogRecords().All() {
				e.appendRow(rows, record, now)
			}
		}
	}
	if n > 0 {
		e.perRow = len(rows.data)/n + 1
	}
}

func (e *encoder) appendRow(rows *rows, record plog.LogRecord, now time.Time) {
	e.begin()
	start := len(rows.data)
	text, isObject := e.readBody(record.Body())
	at, own, inBody := e.bodyTime(text)
	out := rows.data
	if !inBody {
		at, own = recordTime(record, now)
		out = append(e.clock.appendTime(append(out, e.plan.timePrefix...), at), '"')
	}
	content := len(out)
	out = e.appendBody(out, record.Body(), text, isObject)
	if e.plan.enabled[fromAttributes] {
		out = e.appendAttributes(out, fromAttributes, record.Attributes())
	}
	out = e.shared.appendTo(e, out)
	out = e.appendRecord(out, record)
	if e.plan.rowIDColumn != "" {
		out = e.appendRowID(out, out[content:], record, at, own)
	}
	out[start] = '{' // in the place of a comma
	replaceNewlines(out[start:])
	rows.data = append(out, '}')
	rows.append(at)
}

// recordTime is the record's own time, or else one that says nothing about its content.
func recordTime(record plog.LogRecord, now time.Time) (at time.Time, own bool) {
	switch {
	case record.Timestamp() != 0:
		return record.Timestamp().AsTime(), true
	case record.ObservedTimestamp() != 0:
		return record.ObservedTimestamp().AsTime(), false
	}
	return now.UTC(), false
}

// replaceNewlines keeps a line break for the end of a row. Outside of texts it means as
// much as a space, and within them there is none.
func replaceNewlines(row []byte) {
	for {
		i := bytes.IndexByte(row, '\n')
		if i < 0 {
			return
		}
		row[i] = ' '
		row = row[i+1:]
	}
}

// appendKey begins a column unless the row has it already or nobody wants it.
func (e *encoder) appendKey(out []byte, c column) ([]byte, bool) {
	if c.key == nil || !e.take(c.id) {
		return out, false
	}
	return append(append(out, ','), c.key...), true
}

func (e *encoder) appendAttributes(out []byte, from source, attributes pcommon.Map) []byte {
	i := 0
	for name, value := range attributes.All() {
		var wanted bool
		if out, wanted = e.appendKey(out, e.find(from, i, name)); wanted {
			out = e.appendColumn(out, value)
		}
		i++
	}
	return out
}

// The columns of a record itself, each of which has its place in [columns.find].
const (
	severityText = iota
	severityNumber
	eventName
	traceID
	spanID
)

func (e *encoder) appendRecord(out []byte, record plog.LogRecord) []byte {
	out = e.appendNamed(out, severityText, "SeverityText", record.SeverityText())
	if number := record.SeverityNumber(); number != 0 {
		var wanted bool
		if out, wanted = e.appendKey(out, e.find(fromRecord, severityNumber, "SeverityNumber")); wanted {
			out = strconv.AppendInt(out, int64(number), 10)
		}
	}
	out = e.appendNamed(out, eventName, "EventName", record.EventName())
	if id := record.TraceID(); !id.IsEmpty() {
		out = e.appendHex(out, e.find(fromRecord, traceID, "TraceId"), id[:])
	}
	if id := record.SpanID(); !id.IsEmpty() {
		out = e.appendHex(out, e.find(fromRecord, spanID, "SpanId"), id[:])
	}
	return out
}

func (e *encoder) appendNamed(out []byte, i int, name, text string) []byte {
	if text == "" {
		return out
	}
	out, wanted := e.appendKey(out, e.find(fromRecord, i, name))
	if wanted {
		out = e.appendField(out, text)
	}
	return out
}

func (e *encoder) appendHex(out []byte, c column, raw []byte) []byte {
	out, wanted := e.appendKey(out, c)
	if wanted {
		out = append(hex.AppendEncode(append(out, '"'), raw), '"')
	}
	return out
}

// readBody takes a text apart that is a JSON object, if that is wanted.
func (e *encoder) readBody(body pcommon.Value) (string, bool) {
	e.members = e.members[:0]
	if !e.plan.bodyJSON || body.Type() != pcommon.ValueTypeStr {
		return "", false
	}
	text := body.Str()
	var isObject bool
	if e.members, isObject = scanObject(text, e.members); !isObject {
		e.members = e.members[:0]
		return "", false
	}
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
		e.members, _ = scanObject(text, e.members[:0])
	}
	return text, true
}

func (e *encoder) appendBody(out []byte, body pcommon.Value, text string, isObject bool) []byte {
	switch {
	case isObject && e.untouched(text):
		return e.appendVerbatim(out, text)
	case isObject:
		return e.appendMembers(out, text)
	case body.Type() == pcommon.ValueTypeMap:
		return e.appendAttributes(out, fromBody, body.Map())
	case body.Type() == pcommon.ValueTypeEmpty:
		return out
	}
	out, wanted := e.appendKey(out, e.find(fromBody, 0, e.plan.bodyColumn))
	if wanted {
		out = e.appendColumn(out, body)
	}
	return out
}

// bodyTime takes the time that is in the object itself, if it is one. Then the object keeps
// its column.
func (e *encoder) bodyTime(text string) (at time.Time, own, found bool) {
	for _, m := range e.members {
		if text[m.key:m.keyEnd] == e.plan.timeColumn && text[m.value] == '"' {
			in, err := time.Parse(time.RFC3339, text[m.value+1:m.valueEnd-1])
			if err == nil && in.Year() >= 1970 && in.Year() < 2200 {
				e.giveBack(e.id(e.plan.timeColumn))
				return in.UTC(), true, true
			}
		}
	}
	return time.Time{}, false, false
}

// untouched reports whether an object can be copied as it is: no name is changed or there
// twice, and no value is too long.
func (e *encoder) untouched(text string) bool {
	if !e.plan.plain {
		return false
	}
	for i, m := range e.members {
		if m.escaped || m.valueEnd-m.value > maxField {
			e.untake(text, i)
			return false
		}
		c := e.find(fromBody, i, text[m.key:m.keyEnd])
		if !c.same || !e.take(c.id) {
			e.untake(text, i)
			return false
		}
	}
	return true
}

// untake gives the columns of the first members back.
func (e *encoder) untake(text string, n int) {
	for i, m := range e.members[:n] {
		e.giveBack(e.find(fromBody, i, text[m.key:m.keyEnd]).id)
	}
}

func (e *encoder) appendVerbatim(out []byte, text string) []byte {
	if len(e.members) == 0 {
		return out
	}
	last := e.members[len(e.members)-1]
	return append(append(out, ','), text[e.members[0].key-1:last.valueEnd]...)
}

// appendMembers copies values as they are, each under its column.
func (e *encoder) appendMembers(out []byte, text string) []byte {
	for i, m := range e.members {
		name := text[m.key:m.keyEnd]
		if m.escaped {
			name = unquote(text[m.key-1 : m.keyEnd+1])
		}
		var wanted bool
		if out, wanted = e.appendKey(out, e.find(fromBody, i, name)); wanted {
			out = e.appendMember(out, text[m.value:m.valueEnd])
		}
	}
	return out
}

func (e *encoder) appendMember(out []byte, value string) []byte {
	switch {
	case len(value) <= maxField:
		return append(out, value...)
	case value[0] == '"':
		return e.appendField(out, unquote(value))
	}
	return e.appendField(out, value)
}

// unquote reads a JSON string that is known to be one.
func unquote(quoted string) string {
	var text string
	_ = json.Unmarshal([]byte(quoted), &text)
	return text
}

// shared is what the records of one scope have in common, encoded once.
type shared struct {
	data    []byte
	members []sharedMember
}

type sharedMember struct {
	id, end int
}

func (s *shared) fill(e *encoder, resource pcommon.Resource, scope pcommon.InstrumentationScope) {
	s.data, s.members = s.data[:0], s.members[:0]
	e.begin()
	if e.plan.enabled[fromScope] {
		s.appendText(e, fromScope, "name", scope.Name())
		s.appendText(e, fromScope, "version", scope.Version())
		s.appendMap(e, fromScope, scope.Attributes())
	}
	if e.plan.enabled[fromResource] {
		s.appendMap(e, fromResource, resource.Attributes())
	}
}

func (s *shared) appendText(e *encoder, from source, name, text string) {
	c := e.search(from, name)
	if text == "" || c.key == nil {
		return
	}
	s.data = append(append(s.data, ','), c.key...)
	s.data = e.appendField(s.data, text)
	s.members = append(s.members, sharedMember{c.id, len(s.data)})
}

func (s *shared) appendMap(e *encoder, from source, attributes pcommon.Map) {
	for name, value := range attributes.All() {
		if c := e.search(from, name); c.key != nil {
			s.data = append(append(s.data, ','), c.key...)
			s.data = e.appendColumn(s.data, value)
			s.members = append(s.members, sharedMember{c.id, len(s.data)})
		}
	}
}

func (s *shared) appendTo(e *encoder, out []byte) []byte {
	start := 0
	for _, m := range s.members {
		if e.take(m.id) {
			out = append(out, s.data[start:m.end]...)
		}
		start = m.end
	}
	return out
}

// clock formats times, of which one after the other is mostly in the same second.
type clock struct {
	second int64
	text   []byte
}

// appendTime writes RFC 3339 in UTC with the seven digits that a datetime of Azure has.
func (c *clock) appendTime(out []byte, at time.Time) []byte {
	if second := at.Unix(); second != c.second || c.text == nil {
		c.second, c.text = second, at.UTC().AppendFormat(c.text[:0], "2006-01-02T15:04:05.")
	}
	out = append(out, c.text...)
	ticks := at.Nanosecond() / 100
	for unit := 1_000_000; unit > 0; unit /= 10 {
		out = append(out, byte('0'+ticks/unit%10))
	}
	return append(out, 'Z')
}
