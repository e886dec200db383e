package awscloudwatchmetricsreceiver

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"
)

var errNotMap = errors.New("the answer is no CBOR map")

func decodeMap(body []byte) (cbor.Map, error) {
	value, err := cbor.Decode(body)
	if err != nil {
		return nil, fmt.Errorf("the answer is no CBOR: %w", err)
	}
	fields, ok := value.(cbor.Map)
	if !ok {
		return nil, errNotMap
	}
	return fields, nil
}

func stringOf(v cbor.Value) string {
	s, _ := v.(cbor.String)
	return string(s)
}

func listOf(v cbor.Value) cbor.List {
	list, _ := v.(cbor.List)
	return list
}

// each calls f with the maps of a list.
func each(v cbor.Value, f func(cbor.Map)) {
	for _, item := range listOf(v) {
		if fields, ok := item.(cbor.Map); ok {
			f(fields)
		}
	}
}

// secondsOf is a timestamp, tag 1 with seconds since 1970 in any form of number.
func secondsOf(v cbor.Value) (int64, bool) {
	tag, ok := v.(*cbor.Tag)
	if !ok || tag.ID != 1 {
		return 0, false
	}
	seconds, ok := numberOf(tag.Value)
	if !ok || seconds < 0 || seconds > math.MaxUint32 {
		return 0, false
	}
	return int64(seconds), true
}

func numberOf(v cbor.Value) (float64, bool) {
	switch n := v.(type) {
	case cbor.Float64:
		return float64(n), true
	case cbor.Float32:
		return float64(n), true
	case cbor.Uint:
		return float64(n), true
	case cbor.NegInt:
		return -float64(n), true
	}
	return 0, false
}

func timeValue(t time.Time) cbor.Value {
	return &cbor.Tag{ID: 1, Value: cbor.Float64(t.Unix())}
}

func count(n int) cbor.Value { return cbor.Uint(max(0, n)) }
