package lumberjackreceiver

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// maxFields is far more than any event has.
const maxFields = 4096

func (f *frames) fieldsHead() (frame, error) {
	seq, err := f.number()
	if err != nil {
		return frame{}, err
	}
	count, err := f.number()
	switch {
	case err != nil:
		return frame{}, err
	case seq == 0:
		return frame{}, fmt.Errorf("%w: an event has the number 0", errProtocol)
	case count > maxFields:
		return frame{}, fmt.Errorf("%w: an event of %d fields", errSize, count)
	}
	return frame{code: codeFields, seq: seq, count: count}, nil
}

// fields reads the pairs of an event and returns it as JSON, in buffer if that is large
// enough. Logstash sends what its codec makes of an event in one field, line: with the codec
// json that is the event.
func (f *frames) fields(buffer []byte, count uint32) ([]byte, error) {
	pairs := make(map[string]string, min(count, 16))
	left := f.maxEvent
	for range count {
		key, err := f.text(&left)
		if err != nil {
			return buffer, err
		}
		value, err := f.text(&left)
		if err != nil {
			return buffer, err
		}
		pairs[string(key)] = string(value)
	}
	if line, only := pairs["line"]; only && len(pairs) == 1 && isObject([]byte(line)) {
		return append(buffer[:0], line...), nil
	}
	event, err := json.Marshal(pairs)
	return append(buffer[:0], event...), err
}

// text reads one key or value, of at most left bytes.
func (f *frames) text(left *int64) ([]byte, error) {
	size, err := f.number()
	if err != nil {
		return nil, err
	}
	if *left -= int64(size); *left < 0 {
		return nil, fmt.Errorf("%w: an event of more than max_event_bytes, %d", errSize, f.maxEvent)
	}
	if err := f.spend(int64(size)); err != nil {
		return nil, err
	}
	value := make([]byte, size)
	return value, f.full(value)
}

func isObject(text []byte) bool {
	text = bytes.TrimSpace(text)
	return len(text) > 0 && text[0] == '{' && json.Valid(text)
}
