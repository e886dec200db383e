package sandbox

import (
	"iter"
	"math"
	"slices"
	"strings"
	"time"
)

// sample is what a series has for the interval that begins at a second.
type sample struct {
	at                   int64
	count, sum, min, max float64
}

func one(at int64, value float64) sample { return sample{at, 1, value, value, value} }

// pointSource is a series of points.
type pointSource interface {
	// samples yields those of [from, to) that had arrived by then, in order.
	samples(from, to, by int64) iter.Seq[sample]
	// span is the first and the last second at which a point begins.
	span(now int64) (first, last int64)
	unit() string
}

// made is a series whose points follow from its seed.
type made struct {
	seed       uint64
	step       int64 // seconds
	born, died int64 // died: 0, never
	curve      curve
	unitName   string
	delivery   *Delivery
}

func (m *made) unit() string { return m.unitName }

func (m *made) span(now int64) (first, last int64) {
	end := now
	if m.died != 0 {
		end = min(end, m.died)
	}
	return ceilTo(m.born, m.step), floorTo(end-1, m.step)
}

func (m *made) samples(from, to, by int64) iter.Seq[sample] {
	return func(yield func(sample) bool) {
		first, last := m.span(by)
		for at := ceilTo(max(from, first), m.step); at < to && at <= last; at += m.step {
			point, arrived := m.point(at, by)
			if arrived && !yield(point) {
				return
			}
		}
	}
}

// point is the one for an interval as it looked by then.
func (m *made) point(at, by int64) (sample, bool) {
	h := mix(m.seed ^ uint64(at)) //nolint:gosec // any bits will do
	arrival := at + m.step + m.delivery.delay(h)
	if m.delivery.isMissing(h) || arrival > by {
		return sample{}, false
	}
	value := m.curve(m.seed, h, at)
	if share(mix(h^4)) < m.delivery.Revised && by < arrival+seconds(m.delivery.ReviseAfter) {
		value = math.Floor(value * 0.9) // not all of it was counted yet
	}
	return one(at, value), true
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// delay is how many seconds a point needs: around the median for most, and for the late
// ones an exponential distribution comes on top.
func (d *Delivery) delay(h uint64) int64 {
	late := float64(d.Delay) * (0.5 + share(mix(h^1)))
	if share(mix(h^2)) < d.Late {
		late += -math.Log(1-share(mix(h^3))) * float64(d.LateBy)
	}
	return int64(math.Ceil(late / float64(time.Second)))
}

func (d *Delivery) isMissing(h uint64) bool { return share(mix(h^5)) < d.Missing }

// curve makes the value of a series at a time; h is different for every point.
type curve func(seed, h uint64, at int64) float64

// daily is between 0 and 1, with a day and some noise.
func daily(seed, h uint64, at int64) float64 {
	day := float64(at%86400)/86400 + share(seed)
	level := 0.15 + 0.4*share(mix(seed))
	return min(max(level+0.2*math.Sin(2*math.Pi*day)+0.2*(share(h)-0.5), 0), 1)
}

func percent(seed, h uint64, at int64) float64 {
	return math.Round(daily(seed, h, at)*1e5) / 1e3
}

func upTo(limit float64) curve {
	return func(seed, h uint64, at int64) float64 { return math.Floor(daily(seed, h, at) * limit) }
}

// failsFrom is a status check.
func failsFrom(impaired time.Time) curve {
	return func(_, _ uint64, at int64) float64 {
		if impaired.IsZero() || at < impaired.Unix() {
			return 0
		}
		return 1
	}
}

func floorTo(t, step int64) int64 {
	if rest := t % step; rest < 0 {
		return t - rest - step
	}
	return t - t%step
}

func ceilTo(t, step int64) int64 { return floorTo(t+step-1, step) }

// key is the name of a metric in maps; the order of dimensions means nothing.
func (m Metric) key() string {
	sorted := slices.Clone(m.Dimensions)
	slices.SortFunc(sorted, func(a, b Dimension) int { return strings.Compare(a.Name, b.Name) })
	var b strings.Builder
	b.WriteString(m.Namespace + "\x00" + m.Name)
	for _, d := range sorted {
		b.WriteString("\x00" + d.Name + "\x00" + d.Value)
	}
	return b.String()
}

// seeded is the source of a series of the world.
func (r *region) seeded(m *MetricSeries) pointSource {
	source := &made{
		seed: seedOf(r.account.ID, r.Name, m.key()), step: seconds(m.Period), born: m.Since.Unix(),
		curve: upTo(1000), unitName: orText(m.Unit, "None"), delivery: &r.Delivery,
	}
	if m.Unit == "Percent" {
		source.curve = percent
	}
	if !m.Until.IsZero() {
		source.died = m.Until.Unix()
	}
	return source
}

// source finds a series; nil: there is none.
func (s *Sandbox) source(r regionID, m Metric) pointSource {
	if at := s.region(r.account, r.name); at != nil {
		if source := at.source(m); source != nil {
			return source
		}
	}
	return s.metrics.source(r, m.key())
}

func (r *region) source(m Metric) pointSource {
	if m.Namespace == ec2Namespace {
		if len(m.Dimensions) != 1 || m.Dimensions[0].Name != "InstanceId" {
			return nil
		}
		if i := r.instance(m.Dimensions[0].Value); i != nil {
			return i.source(m.Name)
		}
		return nil
	}
	if series := r.byKey[m.key()]; series != nil {
		return r.seeded(series)
	}
	return nil
}
