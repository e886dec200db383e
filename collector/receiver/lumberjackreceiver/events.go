package lumberjackreceiver

import (
	"bytes"
	"encoding/json"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// eventOverhead is about what a record costs beside the text of its event.
const eventOverhead = 512

// known is what is read from an event whatever the mode: the fields that Beats write first.
type known struct {
	time     time.Time
	metadata metadataFields
}

type metadataFields struct {
	Beat    string `json:"beat"`
	Version string `json:"version"`
	Host    string `json:"host"`
}

// record makes a log record of an event, and reports whether it was the object it should be.
// What is none is kept as text: refused, it would be sent again for ever.
func (b Body) record(to plog.LogRecord, event []byte, now time.Time) bool {
	to.SetObservedTimestamp(pcommon.NewTimestampFromTime(now))
	head := peek(event)
	if !head.time.IsZero() {
		to.SetTimestamp(pcommon.NewTimestampFromTime(head.time))
	}
	describe(to.Attributes(), head.metadata)
	if b == BodyRaw {
		to.Body().SetStr(text(event))
		return true
	}
	fields, err := decode(event)
	if err != nil || fields == nil { // null is no error
		to.Body().SetStr(text(event))
		return false
	}
	b.fields(to, fields)
	return true
}

// text is what may be a string in OTLP.
func text(event []byte) string {
	if utf8.Valid(event) {
		return string(event)
	}
	return string(bytes.ToValidUTF8(event, []byte("\ufffd")))
}

// fields puts a decoded event where the mode wants it.
func (b Body) fields(to plog.LogRecord, fields map[string]any) {
	if to.Timestamp() == 0 {
		to.SetTimestamp(timestampOf(fields["@timestamp"]))
	}
	if b == BodyMap {
		setMap(to.Body().SetEmptyMap(), fields)
		return
	}
	if message, ok := fields["message"].(string); ok {
		to.Body().SetStr(message)
		delete(fields, "message")
	}
	delete(fields, "@timestamp")
	delete(fields, "@metadata")
	setMap(to.Attributes(), fields)
}

func describe(to pcommon.Map, m metadataFields) {
	for _, attribute := range [][2]string{{"beat.name", m.Beat}, {"beat.version", m.Version}, {"host.name", m.Host}} {
		if attribute[1] != "" {
			to.PutStr(attribute[0], attribute[1])
		}
	}
}

// peek reads the fields before the first one it does not know: libbeat writes @timestamp and
// @metadata first, and the rest of an event needs no decoding then.
func peek(event []byte) known {
	var head known
	decoder := json.NewDecoder(bytes.NewReader(event))
	if opening, err := decoder.Token(); err != nil || opening != json.Delim('{') {
		return head
	}
	for {
		name, err := decoder.Token()
		if err != nil {
			return head
		}
		switch name {
		case "@timestamp":
			err = decoder.Decode(&head.time)
		case "@metadata":
			err = decoder.Decode(&head.metadata)
		default:
			return head
		}
		if err != nil {
			return head
		}
	}
}

// decode keeps numbers as they are written: a float64 would lose digits of long integers.
func decode(event []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(event))
	decoder.UseNumber()
	var fields map[string]any
	err := decoder.Decode(&fields)
	return fields, err
}

func timestampOf(field any) pcommon.Timestamp {
	written, _ := field.(string)
	at, err := time.Parse(time.RFC3339Nano, written)
	if err != nil {
		return 0
	}
	return pcommon.NewTimestampFromTime(at)
}

func setMap(to pcommon.Map, fields map[string]any) {
	to.EnsureCapacity(to.Len() + len(fields))
	for name, value := range fields {
		setValue(to.PutEmpty(name), value)
	}
}

func setValue(to pcommon.Value, value any) {
	switch value := value.(type) {
	case string:
		to.SetStr(value)
	case bool:
		to.SetBool(value)
	case json.Number:
		setNumber(to, value)
	case map[string]any:
		setMap(to.SetEmptyMap(), value)
	case []any:
		all := to.SetEmptySlice()
		all.EnsureCapacity(len(value))
		for _, element := range value {
			setValue(all.AppendEmpty(), element)
		}
	}
}

func setNumber(to pcommon.Value, number json.Number) {
	if whole, err := number.Int64(); err == nil {
		to.SetInt(whole)
		return
	}
	if float, err := number.Float64(); err == nil {
		to.SetDouble(float)
		return
	}
	to.SetStr(number.String()) // 1e999 is JSON, too
}
