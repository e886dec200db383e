package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
)

var errSnappy = errors.New("the body is not a snappy block")

// unsnappy unpacks a block of the snappy format, which has no frame and no checksum
// (google/snappy, format_description.txt). ADR 18 says why it is written here. It is
// strict: an offset of zero means "repeat" to readers of S2, and nothing to others.
func unsnappy(block []byte, limit int) ([]byte, error) {
	size, n := binary.Uvarint(block)
	switch {
	case n <= 0:
		return nil, errSnappy
	case size > uint64(limit): //nolint:gosec // the limit is a constant
		return nil, fmt.Errorf("the body is more than %d bytes when unpacked", limit)
	}
	u := unpacker{in: block[n:], size: int(size)} //nolint:gosec // at most the limit
	for len(u.in) > 0 {
		if !u.element() {
			return nil, errSnappy
		}
	}
	if len(u.out) != u.size {
		return nil, errSnappy
	}
	return u.out, nil
}

// unpacker makes room for what comes, not for the size that the block claims.
type unpacker struct {
	in, out []byte
	size    int // of out, at the end
}

// element reads a literal or a copy; the two low bits of the tag say which.
func (u *unpacker) element() bool {
	tag := int(u.in[0])
	u.in = u.in[1:]
	length := tag>>2 + 1
	switch tag & 3 {
	case 0:
		return u.literal(length)
	case 1:
		low, ok := u.number(1)
		return ok && u.copied(tag>>5<<8|low, tag>>2&7+4)
	case 2:
		offset, ok := u.number(2)
		return ok && u.copied(offset, length)
	}
	offset, ok := u.number(4)
	return ok && u.copied(offset, length)
}

// number reads little-endian bytes.
func (u *unpacker) number(width int) (int, bool) {
	if len(u.in) < width {
		return 0, false
	}
	value := 0
	for i := range width {
		value |= int(u.in[i]) << (8 * i)
	}
	u.in = u.in[width:]
	return value, true
}

// literal has the length in one to four bytes of its own where the tag has no room.
func (u *unpacker) literal(length int) bool {
	if length > 60 {
		long, ok := u.number(length - 60)
		if !ok {
			return false
		}
		length = long + 1
	}
	if length <= 0 || length > len(u.in) || length > u.size-len(u.out) {
		return false
	}
	u.out = append(u.out, u.in[:length]...)
	u.in = u.in[length:]
	return true
}

// copied goes byte by byte: what is copied may be what was just written.
func (u *unpacker) copied(offset, length int) bool {
	if offset <= 0 || offset > len(u.out) || length > u.size-len(u.out) {
		return false
	}
	for range length {
		u.out = append(u.out, u.out[len(u.out)-offset])
	}
	return true
}
