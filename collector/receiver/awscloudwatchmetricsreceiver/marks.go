package awscloudwatchmetricsreceiver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strconv"

	"go.opentelemetry.io/collector/extension/xextension/storage"
)

// memorySlots is how many periods back a mark remembers.
const memorySlots = 192

// mark remembers of one series which points the pipeline has taken. Times are numbers of
// periods since 1970.
type mark struct {
	head    uint32                   // the newest point; zero: none yet
	through uint32                   // the end of what was read
	taken   [memorySlots / 64]uint64 // of head, and of those before it
	failed  bool                     // the latest attempt to read it failed; not kept on disk
	values  []valueAt                // of taken points, to notice revisions; not kept on disk
}

// has reports whether a point was taken. One that is older than the memory counts as taken:
// to pass it on twice would be worse.
func (m *mark) has(slot uint32) bool {
	if m.head == 0 || slot > m.head {
		return false
	}
	back := m.head - slot
	return back >= memorySlots || m.taken[back/64]>>(back%64)&1 == 1
}

func (m *mark) add(slot uint32) {
	if m.head == 0 {
		m.head = slot
	}
	if slot > m.head {
		m.shift(slot - m.head)
		m.head = slot
	}
	if back := m.head - slot; back < memorySlots {
		m.taken[back/64] |= 1 << (back % 64)
	}
}

func (m *mark) shift(by uint32) {
	words, bits := int(by/64), by%64
	var out [memorySlots / 64]uint64
	for i := len(out) - 1; i >= words && by < memorySlots; i-- {
		out[i] = m.taken[i-words] << bits
		if bits > 0 && i > words {
			out[i] |= m.taken[i-words-1] >> (64 - bits)
		}
	}
	m.taken = out
}

type valueAt struct {
	slot  uint32
	value float32
}

// revised notes the value of a taken point, and reports whether it was another one before.
func (m *mark) revised(slot uint32, value float64) bool {
	for i := range m.values {
		if known := &m.values[i]; known.slot == slot {
			old := known.value
			known.value = float32(value)
			return old != known.value
		}
	}
	m.values = append(m.values, valueAt{slot, float32(value)})
	return false
}

// forget drops values of points that are not read again.
func (m *mark) forget(before uint32) {
	m.values = slices.DeleteFunc(m.values, func(v valueAt) bool { return v.slot < before })
}

// marks are those of an account in a region. They are kept in parts, so that what is written
// for a batch is about as long as the batch, and not as all there is.
type marks struct {
	Client storage.Client // nil: kept in memory only
	Prefix string
	Keep   uint32 // how long a mark is kept that was not read, in periods

	parts map[uint8]map[uint64]*mark
	holds bool // something is held, which goes when the cursor moves
}

// of is the mark of a series.
func (m *marks) of(ctx context.Context, s series) (*mark, error) {
	part, err := m.part(ctx, s.bucket())
	if err != nil {
		return nil, err
	}
	if part[s.key] == nil {
		part[s.key] = &mark{}
	}
	return part[s.key], nil
}

func (m *marks) part(ctx context.Context, n uint8) (map[uint64]*mark, error) {
	if part, ok := m.parts[n]; ok {
		return part, nil
	}
	part := make(map[uint64]*mark)
	if m.Client != nil {
		data, err := m.Client.Get(ctx, m.key(n))
		if err != nil {
			return nil, fmt.Errorf("the cursor cannot be read: %w", err)
		}
		// One that is damaged is like none: the window is passed on again.
		if part, err = decodeMarks(data); err != nil {
			part = make(map[uint64]*mark)
		}
	}
	if m.parts == nil {
		m.parts = make(map[uint8]map[uint64]*mark)
	}
	m.parts[n] = part
	return part, nil
}

func (m *marks) key(n uint8) string { return m.Prefix + "/" + strconv.Itoa(int(n)) }

// save writes the parts that a batch has touched, and takes away what was held of it, in one
// transaction.
func (m *marks) save(ctx context.Context, touched map[uint8]struct{}, now uint32) error {
	ops := m.letGo()
	for n := range touched {
		for key, mark := range m.parts[n] {
			if mark.through != 0 && mark.through+m.Keep < now {
				delete(m.parts[n], key)
			}
		}
		if m.Client != nil {
			ops = append(ops, storage.SetOperation(m.key(n), encodeMarks(m.parts[n])))
		}
	}
	if len(ops) == 0 {
		return nil
	}
	if err := m.Client.Batch(ctx, ops...); err != nil {
		return fmt.Errorf("the cursor cannot be written: %w", err)
	}
	m.holds = false
	return nil
}

const (
	marksVersion = 1
	markBytes    = 40 // that a mark has at most, unless it is a strange one
)

var errMarks = errors.New("the cursor is damaged, or of another version")

// encodeMarks is a version, the marks, and a check sum. A series without gaps, as most are,
// has short numbers when they tell what is missing.
func encodeMarks(all map[uint64]*mark) []byte {
	out := append(make([]byte, 0, 1+len(all)*markBytes+checksumBytes), marksVersion)
	for key, m := range all {
		out = binary.BigEndian.AppendUint64(out, key)
		out = binary.AppendUvarint(out, uint64(m.head))
		out = binary.AppendUvarint(out, uint64(m.through))
		for _, word := range m.taken {
			out = binary.AppendUvarint(out, ^word)
		}
	}
	return binary.BigEndian.AppendUint32(out, checksum(out))
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

const checksumBytes = 4

func decodeMarks(data []byte) (map[uint64]*mark, error) {
	all := make(map[uint64]*mark)
	if len(data) == 0 {
		return all, nil
	}
	if len(data) < 1+checksumBytes || data[0] != marksVersion {
		return nil, errMarks
	}
	end := len(data) - checksumBytes
	if checksum(data[:end]) != binary.BigEndian.Uint32(data[end:]) {
		return nil, errMarks
	}
	for rest := data[1:end]; len(rest) > 0; {
		if len(rest) < 8 {
			return nil, errMarks
		}
		key, m := binary.BigEndian.Uint64(rest), &mark{}
		var err error
		if rest, err = m.decode(rest[8:]); err != nil {
			return nil, err
		}
		all[key] = m
	}
	return all, nil
}

func (m *mark) decode(rest []byte) ([]byte, error) {
	var numbers [2 + memorySlots/64]uint64
	for i := range numbers {
		value, n := binary.Uvarint(rest)
		if n <= 0 {
			return nil, errMarks
		}
		numbers[i], rest = value, rest[n:]
	}
	if numbers[0] > math.MaxUint32 || numbers[1] > math.MaxUint32 {
		return nil, errMarks
	}
	m.head, m.through = uint32(numbers[0]), uint32(numbers[1]) //nolint:gosec // just checked
	for i := range m.taken {
		m.taken[i] = ^numbers[2+i]
	}
	return rest, nil
}
