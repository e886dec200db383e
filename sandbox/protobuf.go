package sandbox

import (
	"encoding/binary"
	"errors"
)

var errProtobuf = errors.New("the body is not a protobuf message of the kind it says")

// field is one field of a protobuf message.
type field struct {
	number uint64
	kind   uint64
	value  uint64 // of a varint or a fixed number
	data   []byte // of everything else
}

// The wire types of "Encoding", Protocol Buffers documentation, without groups, which
// nobody writes any more.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// eachField goes through a message. ADR 18 says why it is written here.
func eachField(message []byte, visit func(f field) error) error {
	for len(message) > 0 {
		f, rest, ok := readField(message)
		if !ok {
			return errProtobuf
		}
		if err := visit(f); err != nil {
			return err
		}
		message = rest
	}
	return nil
}

func readField(message []byte) (f field, rest []byte, ok bool) {
	key, message, ok := readVarint(message)
	if f.number, f.kind = key>>3, key&7; !ok || f.number == 0 || f.number >= 1<<29 {
		return f, nil, false
	}
	switch f.kind {
	case wireVarint:
		f.value, message, ok = readVarint(message)
		return f, message, ok
	case wireFixed64:
		if len(message) < 8 {
			return f, nil, false
		}
		f.value = binary.LittleEndian.Uint64(message)
		return f, message[8:], true
	case wireFixed32:
		if len(message) < 4 {
			return f, nil, false
		}
		return f, message[4:], true
	case wireBytes:
		size, message, ok := readVarint(message)
		if !ok || size > uint64(len(message)) {
			return f, nil, false
		}
		f.data = message[:size]
		return f, message[size:], true
	}
	return f, nil, false
}

func readVarint(data []byte) (value uint64, rest []byte, ok bool) {
	value, n := binary.Uvarint(data)
	if n <= 0 {
		return 0, nil, false
	}
	return value, data[n:], true
}

// bytes is the content of a field that has a length: a string, a message, packed numbers.
func (f field) bytes() ([]byte, error) { return f.data, f.expect(wireBytes) }

func (f field) varint() (uint64, error) { return f.value, f.expect(wireVarint) }

func (f field) fixed64() (uint64, error) { return f.value, f.expect(wireFixed64) }

// expect refuses a field of another type than it has in the schema.
func (f field) expect(kind uint64) error {
	if f.kind != kind {
		return errProtobuf
	}
	return nil
}

// appendNumbers appends the numbers of a repeated field, which may be packed or not, and
// stops when there are more than limit.
func (f field) appendNumbers(numbers []uint64, limit int) ([]uint64, error) {
	if f.kind == wireVarint {
		return append(numbers, f.value), nil
	}
	packed, err := f.bytes()
	if err != nil {
		return nil, err
	}
	for len(packed) > 0 && len(numbers) <= limit {
		number, rest, ok := readVarint(packed)
		if !ok {
			return nil, errProtobuf
		}
		numbers, packed = append(numbers, number), rest
	}
	return numbers, nil
}
