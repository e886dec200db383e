// Package jsonvalue makes values of OpenTelemetry of JSON texts, for receivers whose senders
// write JSON.
package jsonvalue

import (
	"bytes"
	"encoding/json"
	"errors"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

var errNoObject = errors.New("no JSON object")

// Object decodes a JSON object and nothing else. Numbers are kept as they are written: a
// float64 would lose digits of long integers. Errors say nothing of the text.
func Object(text []byte) (map[string]any, error) {
	if !json.Valid(text) {
		return nil, errNoObject
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var fields map[string]any
	if err := decoder.Decode(&fields); err != nil || fields == nil { // null is no error
		return nil, errNoObject
	}
	return fields, nil
}

// SetMap adds the fields of an object to a map.
func SetMap(to pcommon.Map, fields map[string]any) {
	to.EnsureCapacity(to.Len() + len(fields))
	for name, value := range fields {
		set(to.PutEmpty(name), value)
	}
}

func set(to pcommon.Value, value any) {
	switch value := value.(type) {
	case string:
		to.SetStr(value)
	case bool:
		to.SetBool(value)
	case json.Number:
		setNumber(to, value)
	case map[string]any:
		SetMap(to.SetEmptyMap(), value)
	case []any:
		all := to.SetEmptySlice()
		all.EnsureCapacity(len(value))
		for _, element := range value {
			set(all.AppendEmpty(), element)
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
