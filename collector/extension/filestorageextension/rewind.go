package filestorageextension

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// The fields of a queue's state that matter here (exporterhelper/internal/queue/meta.proto).
const (
	readIndex  protowire.Number = 3
	dispatched protowire.Number = 5
)

// rewound is the state of a queue as if nothing had been on its way: it goes on reading at
// the first request that was. What cannot be read is left as it is.
func rewound(state []byte) []byte {
	all, ok := fields(state)
	if !ok {
		return state
	}
	var indexes []uint64
	var kept []byte
	for _, f := range all {
		switch f.number {
		case dispatched:
			indexes = append(indexes, f.fixed64s()...)
		case readIndex:
		default:
			kept = append(kept, f.whole...)
		}
	}
	if len(indexes) == 0 {
		return state
	}
	kept = protowire.AppendTag(kept, readIndex, protowire.Fixed64Type)
	return protowire.AppendFixed64(kept, slices.Min(indexes))
}

// field is one of a protobuf message.
type field struct {
	number protowire.Number
	kind   protowire.Type
	value  []byte
	whole  []byte // with its tag
}

func fields(message []byte) (all []field, ok bool) {
	for len(message) > 0 {
		number, kind, tag := protowire.ConsumeTag(message)
		if tag < 0 {
			return nil, false
		}
		size := protowire.ConsumeFieldValue(number, kind, message[tag:])
		if size < 0 {
			return nil, false
		}
		all = append(all, field{number, kind, message[tag : tag+size], message[:tag+size]})
		message = message[tag+size:]
	}
	return all, true
}

// fixed64s are the numbers in a field: one, or a list that is packed.
func (f field) fixed64s() (all []uint64) {
	value := f.value
	if f.kind == protowire.BytesType {
		value, _ = protowire.ConsumeBytes(value) // fields has measured it
	}
	for len(value) > 0 {
		number, n := protowire.ConsumeFixed64(value)
		if n < 0 {
			return nil
		}
		all, value = append(all, number), value[n:]
	}
	return all
}
