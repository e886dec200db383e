package lumberjackreceiver

import (
	"bytes"
	"encoding/json"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/keyless-id/keyless/collector/internal/jsonvalue"
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
	fields, err := jsonvalue.Object(event)
	if err != nil {
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
		jsonvalue.SetMap(to.Body().SetEmptyMap(), fields)
		return
	}
	if message, ok := fields["message"].(string); ok {
		to.Body().SetStr(message)
		delete(fields, "message")
	}
	delete(fields, "@timestamp")
	delete(fields, "@metadata")
	jsonvalue.SetMap(to.Attributes(), fields)
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

func timestampOf(field any) pcommon.Timestamp {
	written, _ := field.(string)
	at, err := time.Parse(time.RFC3339Nano, written)
	if err != nil {
		return 0
	}
	return pcommon.NewTimestampFromTime(at)
}
