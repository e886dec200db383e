package awscloudwatchmetricsreceiver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// What the pipeline is to get is on disk before it gets it, until the cursor has moved. After
// a crash in between the pipeline gets the same once more. The points would come again in any
// case, but in other company, if CloudWatch has more by then; and an exporter that knows its
// documents by what is in them would not know these.

// heldPoints are those of one series.
type heldPoints struct {
	bucket uint8
	key    uint64
	slots  []uint32
}

const heldVersion = 1

var errHeld = errors.New("what was on its way is damaged, or of another version")

// encodeHeld is a version, the points of each series, the metrics as OTLP, and a check sum.
func encodeHeld(all []heldPoints, data pmetric.Metrics) ([]byte, error) {
	text, err := (&pmetric.ProtoMarshaler{}).MarshalMetrics(data)
	if err != nil {
		return nil, err
	}
	out := append(make([]byte, 0, len(text)+16*len(all)+16), heldVersion)
	out = binary.AppendUvarint(out, uint64(len(all)))
	for _, h := range all {
		out = binary.BigEndian.AppendUint64(append(out, h.bucket), h.key)
		out = binary.AppendUvarint(out, uint64(len(h.slots)))
		for _, slot := range h.slots {
			out = binary.BigEndian.AppendUint32(out, slot)
		}
	}
	out = append(out, text...)
	return binary.BigEndian.AppendUint32(out, checksum(out)), nil
}

func decodeHeld(body []byte) ([]heldPoints, pmetric.Metrics, error) {
	if len(body) < 1+checksumBytes || body[0] != heldVersion {
		return nil, pmetric.Metrics{}, errHeld
	}
	end := len(body) - checksumBytes
	if checksum(body[:end]) != binary.BigEndian.Uint32(body[end:]) {
		return nil, pmetric.Metrics{}, errHeld
	}
	n, width := binary.Uvarint(body[1:end])
	if width <= 0 || n > uint64(end) { //nolint:gosec // a length
		return nil, pmetric.Metrics{}, errHeld
	}
	all, rest := make([]heldPoints, n), body[1+width:end]
	for i := range all {
		var err error
		if rest, err = all[i].decode(rest); err != nil {
			return nil, pmetric.Metrics{}, err
		}
	}
	data, err := (&pmetric.ProtoUnmarshaler{}).UnmarshalMetrics(rest)
	return all, data, err
}

func (h *heldPoints) decode(rest []byte) ([]byte, error) {
	if len(rest) < 10 {
		return nil, errHeld
	}
	h.bucket, h.key = rest[0], binary.BigEndian.Uint64(rest[1:])
	n, width := binary.Uvarint(rest[9:])
	if width <= 0 || n > uint64(len(rest)/4) || len(rest) < 9+width+4*int(n) { //nolint:gosec // just checked
		return nil, errHeld
	}
	rest = rest[9+width:]
	for ; n > 0; n-- {
		h.slots, rest = append(h.slots, binary.BigEndian.Uint32(rest)), rest[4:]
	}
	return rest, nil
}

// hold writes down what the pipeline is to get.
func (s *site) hold(ctx context.Context, all []fresh, data pmetric.Metrics) error {
	if s.marks.Client == nil {
		return nil
	}
	points := make([]heldPoints, 0, len(all))
	for _, f := range all {
		if len(f.Points) == 0 {
			continue
		}
		h := heldPoints{bucket: f.bucket(), key: f.key, slots: make([]uint32, len(f.Points))}
		for i, p := range f.Points {
			h.slots[i] = s.slot(time.Unix(p.At, 0))
		}
		points = append(points, h)
	}
	body, err := encodeHeld(points, data)
	if err == nil {
		s.marks.holds = true
		err = s.marks.Client.Set(ctx, s.marks.heldKey(), body)
	}
	if err != nil {
		return fmt.Errorf("what is on its way cannot be written down: %w", err)
	}
	return nil
}

// repeat gives the pipeline what was on its way when the receiver was killed.
func (s *site) repeat(ctx context.Context) error {
	if s.repeated || s.marks.Client == nil {
		return nil
	}
	body, err := s.marks.Client.Get(ctx, s.marks.heldKey())
	if err != nil {
		return fmt.Errorf("what was on its way cannot be read: %w", err)
	}
	if len(body) > 0 {
		err = s.release(context.WithoutCancel(ctx), body)
	}
	s.repeated = err == nil
	return err
}

// release passes on what was held, and moves the cursor over it. What is damaged is read
// again, as if it had not been held.
func (s *site) release(ctx context.Context, body []byte) error {
	points, data, err := decodeHeld(body)
	if err == nil && data.DataPointCount() > 0 {
		if err := s.give(ctx, data); err != nil {
			return err
		}
	}
	s.marks.holds = true
	return s.marks.take(ctx, points)
}

// take moves the cursor over points that were held.
func (m *marks) take(ctx context.Context, all []heldPoints) error {
	touched := make(map[uint8]struct{})
	for _, h := range all {
		part, err := m.part(ctx, h.bucket)
		if err != nil {
			return err
		}
		if part[h.key] == nil {
			part[h.key] = &mark{}
		}
		for _, slot := range h.slots {
			part[h.key].add(slot)
		}
		touched[h.bucket] = struct{}{}
	}
	return m.save(ctx, touched, 0)
}

func (m *marks) heldKey() string { return m.Prefix + "/held" }

// letGo is what takes away what is held.
func (m *marks) letGo() []*storage.Operation {
	if !m.holds {
		return nil
	}
	return []*storage.Operation{storage.DeleteOperation(m.heldKey())}
}
