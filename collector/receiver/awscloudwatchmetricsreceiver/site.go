package awscloudwatchmetricsreceiver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver/receiverhelper"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/collector/receiver/awscloudwatchmetricsreceiver/internal/metadata"
)

// site is an account in a region. One goroutine at a time works on it.
type site struct {
	inventory
	cloudWatch cloudWatch
	ec2        ec2
	tagging    tagging

	config    *Config
	account   string
	region    string
	version   string
	marks     *marks
	next      consumer.Metrics
	obs       *receiverhelper.ObsReport
	report    *report
	allowance *allowance
	resume    int // the batch that the budget was not enough for
	metrics   int // that there were when it was last told
	told      bool
	repeated  bool // what was on its way before a restart, if anything was
}

var errBudget = errors.New("the budget of this hour is used up: the rest is read later")

// slot is the number of a period.
func (s *site) slot(t time.Time) uint32 {
	return uint32(t.Unix() / int64(s.config.Metrics.Period.Seconds())) //nolint:gosec // until 10000
}

func (s *site) time(slot uint32) time.Time {
	return time.Unix(int64(slot)*int64(s.config.Metrics.Period.Seconds()), 0)
}

// read asks for all that is new or may be late. A batch that fails harms no other, and its
// window is read again by the next poll.
func (s *site) read(ctx context.Context, now time.Time, p plan) error {
	end := now.Add(-s.config.Metrics.Delay).Truncate(s.config.Metrics.Period)
	mine := s.entities(s.config.Shard)
	if err := s.repeat(ctx, mine); err != nil {
		return err
	}
	errs := []error{s.passHealth(ctx, mine, end)}
	batches, err := s.batches(ctx, seriesOf(mine, s.config.Metrics.Period, p.Optional), end, p.API)
	errs = append(errs, err)
	batches = s.resumed(batches)
	for i, b := range batches {
		err := s.batch(ctx, b, p.API)
		if err == nil {
			continue
		}
		s.report.failed(ctx, s.account, s.region)
		errs = append(errs, err)
		if errors.Is(err, errBudget) {
			s.resume += i
		}
		if isDenied(err) || errors.Is(err, errBudget) || ctx.Err() != nil {
			errs = append(errs, s.fail(ctx, batches[i:]...)) // the others would fare no better
			break
		}
	}
	return firstErrors(errs)
}

// resumed begins where the budget came to its end, so that it does so for each in turn.
func (s *site) resumed(all []batch) []batch {
	if len(all) == 0 {
		return nil
	}
	s.resume %= len(all)
	return slices.Concat(all[s.resume:], all[:s.resume])
}

// firstErrors is what a log needs of many.
func firstErrors(errs []error) error {
	var out []error
	more := 0
	for _, err := range errs {
		switch {
		case err == nil:
		case len(out) < 3:
			out = append(out, err)
		default:
			more++
		}
	}
	if more > 0 {
		out = append(out, fmt.Errorf("and %d more", more))
	}
	return errors.Join(out...)
}

// batches divides series into those that are up to date and those that lag behind: the long
// window that these need would only bring what is known of the others.
func (s *site) batches(ctx context.Context, all []series, end time.Time, api string) ([]batch, error) {
	now, lookback := s.slot(end), s.slots(s.config.Lookback)
	current := make([]series, 0, len(all))
	var lagging []series
	from := [2]uint32{now, now}
	for _, each := range all {
		m, err := s.marks.of(ctx, each)
		if err != nil {
			return nil, err
		}
		switch {
		case m.through == 0:
			current = append(current, each)
		case m.through+lookback+s.slots(longestPoll) < now:
			lagging, from[1] = append(lagging, each), min(from[1], m.through)
		default:
			current, from[0] = append(current, each), min(from[0], m.through)
		}
	}
	return append(s.pack(current, from[0], now, api), s.pack(lagging, from[1], now, api)...), nil
}

func (s *site) slots(d time.Duration) uint32 {
	return uint32(d / s.config.Metrics.Period) //nolint:gosec // of a configuration
}

func (s *site) pack(all []series, from, now uint32, api string) []batch {
	start := max(from-s.slots(s.config.Lookback), now-s.slots(s.config.MaxBackfill))
	if api != apiStatistics {
		return pack(all, s.config.Metrics.Period, s.time(start), s.time(now), s.config.mostQueries())
	}
	start = max(start, now-maxStatistics)
	var out []batch
	for _, metric := range runs(all, func(a, b series) bool { return a.entity == b.entity && a.Metric == b.Metric }) {
		out = append(out, batch{Series: metric, Start: s.time(start), End: s.time(now)})
	}
	return out
}

// batch reads and passes on. What came before a page failed is passed on as well. Where one
// metric makes AWS refuse the request, it is halved until the metric is alone.
func (s *site) batch(ctx context.Context, b batch, api string) error {
	ask, price := s.cloudWatch.data, len(b.Series)
	if api == apiStatistics {
		ask, price = s.cloudWatch.statistics, 1
	}
	granted, err := s.allowance.take(ctx, time.Now(), price)
	if err != nil {
		return err
	}
	if !granted {
		s.report.refused(ctx, price)
		return errBudget
	}
	readings, err := ask(ctx, b, s.config.Metrics.Period)
	if n := len(b.Series) / 2; isInvalid(err) && n > 0 && api != apiStatistics {
		_, kept := s.allowance.take(ctx, time.Now(), -price) // what is refused is not billed
		first := batch{Series: b.Series[:n], Start: b.Start, End: b.End}
		b.Series = b.Series[n:]
		return errors.Join(kept, s.batch(ctx, first, api), s.batch(ctx, b, api))
	}
	if err != nil {
		for i := range readings {
			readings[i].Status = ""
		}
	}
	return errors.Join(err, s.pass(ctx, b, readings))
}

// pass hands new points to the pipeline, and notes that it has them. A crash between the two
// makes it have the same once more; nothing could make them be lost.
func (s *site) pass(ctx context.Context, b batch, readings []reading) error {
	all, t, err := s.sift(ctx, b, readings)
	if err != nil {
		return err
	}
	// Whether the pipeline has it must be known, even when the receiver is about to stop.
	ctx = context.WithoutCancel(ctx)
	if err := s.consume(ctx, all, &t); err != nil {
		return errors.Join(err, s.fail(ctx, b))
	}
	s.report.read(ctx, t)
	return errors.Join(s.note(ctx, b, all, readings), problems(b, readings))
}

// sift leaves out what was taken before.
func (s *site) sift(ctx context.Context, b batch, readings []reading) ([]fresh, tally, error) {
	var t tally
	all := make([]fresh, len(b.Series))
	for i, of := range b.Series {
		m, err := s.marks.of(ctx, of)
		if err != nil {
			return nil, t, err
		}
		if m.failed {
			t.rereads++
		}
		if len(readings[i].Points) == 0 && readings[i].Status == statusComplete {
			t.empty++
		}
		all[i] = fresh{series: of, Points: s.new(m, readings[i].Points, s.slot(b.Start), &t)}
	}
	if s.config.Format == formatSummary {
		complete(all)
	}
	return all, t, nil
}

// new are the points that were not taken. It uses the room of all of them.
func (s *site) new(m *mark, all []point, start uint32, t *tally) []point {
	out := all[:0]
	m.forget(start)
	for _, p := range all {
		slot := s.slot(time.Unix(p.At, 0))
		switch {
		case m.has(slot):
			if m.revised(slot, p.Value) {
				t.revised++
			}
		default:
			if slot < m.through && !m.failed {
				t.late++
			}
			out = append(out, p)
		}
	}
	return out
}

func (s *site) consume(ctx context.Context, all []fresh, t *tally) error {
	for _, f := range all {
		t.points += len(f.Points)
	}
	if t.points == 0 {
		return nil
	}
	if err := s.hold(ctx, all); err != nil {
		return err
	}
	return s.give(ctx, all)
}

func (s *site) give(ctx context.Context, all []fresh) error {
	data := shape{
		Account: s.account, Region: s.region, Period: s.config.Metrics.Period, Version: s.version, Summary: s.config.Format == formatSummary,
	}.build(all)
	n := data.DataPointCount() // the pipeline may keep it, and change it
	ctx = s.obs.StartMetricsOp(ctx)
	err := s.next.ConsumeMetrics(ctx, data)
	s.obs.EndMetricsOp(ctx, metadata.Type.String(), n, err)
	return err
}

// note moves the cursor: each point that was taken, and the end of the window where it was
// read to its end.
func (s *site) note(ctx context.Context, b batch, all []fresh, readings []reading) error {
	touched := make(map[uint8]struct{})
	for i, f := range all {
		m, err := s.marks.of(ctx, f.series)
		if err != nil {
			return err
		}
		for _, p := range f.Points {
			slot := s.slot(time.Unix(p.At, 0))
			m.add(slot)
			m.revised(slot, p.Value)
		}
		if readings[i].Status == statusComplete {
			m.failed, m.through = false, max(m.through, s.slot(b.End))
		} else {
			s.miss(m, b)
		}
		touched[f.bucket()] = struct{}{}
	}
	return s.marks.save(ctx, touched, s.slot(b.End))
}

// miss notes that a window was not read. The first one of a series is where the next begins.
func (s *site) miss(m *mark, b batch) {
	m.failed = true
	if m.through == 0 {
		m.through = s.slot(b.Start) + s.slots(s.config.Lookback)
	}
}

// fail notes that batches were not read at all.
func (s *site) fail(ctx context.Context, batches ...batch) error {
	ctx = context.WithoutCancel(ctx)
	touched := make(map[uint8]struct{})
	var now uint32
	for _, b := range batches {
		now = max(now, s.slot(b.End))
		for _, of := range b.Series {
			m, err := s.marks.of(ctx, of)
			if err != nil {
				return err
			}
			s.miss(m, b)
			touched[of.bucket()] = struct{}{}
		}
	}
	return s.marks.save(ctx, touched, now)
}

// problems says what CloudWatch has not answered in full.
func problems(b batch, readings []reading) error {
	seen := make(map[string]int)
	first := make(map[string]string)
	for i, r := range readings {
		if r.Status != statusComplete && r.Status != "" {
			seen[r.Status]++
			first[r.Status] = firstOf(first[r.Status], b.Series[i].Namespace+"/"+b.Series[i].Metric)
		}
	}
	var errs []error
	for status, n := range seen {
		text := fmt.Sprintf("%d of %d metrics are answered with %s, for example %s: they are read again", n, len(readings), status, first[status])
		e := &keyless.Error{Hop: keyless.HopDelivery, Op: opMetricData, Message: text, Temporary: status != statusForbidden}
		if status == statusForbidden { // its code would be that of a request that is refused
			e.Hint = "the role may not read these metrics: they may be another account's"
		}
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

func (s *site) healthSeries(e *entity, name string) series {
	return e.series(name, statMax, s.config.Metrics.Period)
}

// passHealth passes on the status checks of EC2 as of now, at the time of the latest period.
func (s *site) passHealth(ctx context.Context, all []*entity, end time.Time) error {
	var b batch
	var readings []reading
	for _, e := range all {
		for _, h := range e.Health {
			p := point{At: end.Unix()}
			if h.Failed {
				p.Value = 1
			}
			b.Series = append(b.Series, s.healthSeries(e, h.Name))
			readings = append(readings, reading{Points: []point{p}, Status: statusComplete})
		}
	}
	if len(b.Series) == 0 {
		return nil
	}
	b.Start, b.End = end, end
	return s.pass(ctx, b, readings)
}
