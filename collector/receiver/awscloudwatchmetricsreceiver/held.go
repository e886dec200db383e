package awscloudwatchmetricsreceiver

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"go.opentelemetry.io/collector/extension/xextension/storage"
)

// What the pipeline is to get is on disk before it gets it, until the cursor has moved. After
// a crash in between the pipeline gets the same once more. The points would come again in any
// case, but in other company, if CloudWatch has more by then; and an exporter that knows its
// documents by what is in them would not know these.

// heldPoints are those of the series with a key.
type heldPoints struct {
	key    uint64
	points []point
}

const (
	heldVersion    = 1
	heldPointBytes = 4 + 8
)

var errHeld = errors.New("what was on its way is damaged, or of another version")

// encodeHeld is a version, the points of each series that has any, and a check sum.
func encodeHeld(all []heldPoints) []byte {
	out := append(make([]byte, 0, 32*len(all)+1+checksumBytes), heldVersion)
	for _, h := range all {
		out = binary.BigEndian.AppendUint64(out, h.key)
		out = binary.AppendUvarint(out, uint64(len(h.points)))
		for _, p := range h.points {
			out = binary.BigEndian.AppendUint32(out, uint32(p.At)) //nolint:gosec // until 2106, as answers are read
			out = binary.BigEndian.AppendUint64(out, math.Float64bits(p.Value))
		}
	}
	return binary.BigEndian.AppendUint32(out, checksum(out))
}

func decodeHeld(body []byte) ([]heldPoints, error) {
	if len(body) < 1+checksumBytes || body[0] != heldVersion {
		return nil, errHeld
	}
	end := len(body) - checksumBytes
	if checksum(body[:end]) != binary.BigEndian.Uint32(body[end:]) {
		return nil, errHeld
	}
	var all []heldPoints
	for rest := body[1:end]; len(rest) > 0; {
		var h heldPoints
		var err error
		if rest, err = h.decode(rest); err != nil {
			return nil, err
		}
		all = append(all, h)
	}
	return all, nil
}

func (h *heldPoints) decode(rest []byte) ([]byte, error) {
	if len(rest) < 9 {
		return nil, errHeld
	}
	h.key = binary.BigEndian.Uint64(rest)
	n, width := binary.Uvarint(rest[8:])
	if width <= 0 || n > uint64(len(rest)-8-width)/heldPointBytes { //nolint:gosec // width is less
		return nil, errHeld
	}
	for rest = rest[8+width:]; n > 0; n-- {
		h.points = append(h.points, point{At: int64(binary.BigEndian.Uint32(rest)), Value: math.Float64frombits(binary.BigEndian.Uint64(rest[4:]))})
		rest = rest[heldPointBytes:]
	}
	return rest, nil
}

// hold writes down what the pipeline is to get.
func (s *site) hold(ctx context.Context, all []fresh) error {
	if s.marks.Client == nil {
		return nil
	}
	held := make([]heldPoints, 0, len(all))
	for _, f := range all {
		if len(f.Points) > 0 {
			held = append(held, heldPoints{f.key, f.Points})
		}
	}
	s.marks.holds = true
	if err := s.marks.Client.Set(ctx, s.marks.heldKey(), encodeHeld(held)); err != nil {
		return fmt.Errorf("what is on its way cannot be written down: %w", err)
	}
	return nil
}

// repeat gives the pipeline what was on its way when the receiver was killed.
func (s *site) repeat(ctx context.Context, mine []*entity) error {
	if s.repeated || s.marks.Client == nil {
		return nil
	}
	body, err := s.marks.Client.Get(ctx, s.marks.heldKey())
	if err != nil {
		return fmt.Errorf("what was on its way cannot be read: %w", err)
	}
	if len(body) > 0 {
		err = s.release(context.WithoutCancel(ctx), body, mine)
	}
	s.repeated = err == nil
	return err
}

// release passes on what was held, and moves the cursor over it. What is damaged is read
// again, as if it had not been held; what is no longer there is not read any more either.
func (s *site) release(ctx context.Context, body []byte, mine []*entity) error {
	held, err := decodeHeld(body)
	if err != nil {
		held = nil
	}
	known := s.known(mine)
	var all []fresh
	for _, h := range held {
		if of, found := known[h.key]; found {
			all = append(all, fresh{series: of, Points: h.points})
		}
	}
	if len(all) > 0 {
		if err := s.give(ctx, all); err != nil {
			return err
		}
	}
	s.marks.holds = true
	return s.taken(ctx, all)
}

// known are all series of a site by their keys.
func (s *site) known(mine []*entity) map[uint64]series {
	out := make(map[uint64]series)
	for _, of := range seriesOf(mine, s.config.Metrics.Period, true) {
		out[of.key] = of
	}
	for _, e := range mine {
		for _, h := range e.Health {
			of := s.healthSeries(e, h.Name)
			out[of.key] = of
		}
	}
	return out
}

// taken moves the cursor over points, and takes away what was held.
func (s *site) taken(ctx context.Context, all []fresh) error {
	touched := make(map[uint8]struct{})
	for _, f := range all {
		m, err := s.marks.of(ctx, f.series)
		if err != nil {
			return err
		}
		for _, p := range f.Points {
			m.add(s.slot(time.Unix(p.At, 0)))
		}
		touched[f.bucket()] = struct{}{}
	}
	return s.marks.save(ctx, touched, 0)
}

func (m *marks) heldKey() string { return m.Prefix + "/held" }

// letGo is what takes away what is held.
func (m *marks) letGo() []*storage.Operation {
	if !m.holds {
		return nil
	}
	return []*storage.Operation{storage.DeleteOperation(m.heldKey())}
}
