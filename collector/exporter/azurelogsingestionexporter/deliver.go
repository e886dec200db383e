package azurelogsingestionexporter

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"go.opentelemetry.io/collector/exporter/exporterhelper"
)

// delivery sends the bodies of one request, and takes those apart that are refused.
type delivery struct {
	*deliverer
	stream   *stream
	left     []*body
	notFound int // the size of a body that was, perhaps, too large
}

// deliverer is what all deliveries share.
type deliverer struct {
	sender  sender
	packers *packers
	dead    *deadLetters
	report  *report
	longest time.Duration // between two tries; zero: whatever
}

// pause is a wait that nobody asked for.
func (d *deliverer) pause(wait time.Duration) time.Duration {
	if d.longest > 0 {
		return min(wait, d.longest)
	}
	return wait
}

// run sends until nothing is left, or something has to wait.
func (d *delivery) run(ctx context.Context) error {
	for len(d.left) > 0 {
		if err := d.step(ctx, d.left[0]); err != nil {
			return err
		}
	}
	return nil
}

// step deals with the first body.
func (d *delivery) step(ctx context.Context, b *body) error {
	if b.tooBig {
		return d.bury(ctx, b, "RowTooLarge", "the row is longer than a request may be")
	}
	a, err := d.send(ctx, b)
	if err != nil {
		return err
	}
	switch d.judge(a, b) {
	case accepted:
		d.accept(ctx, b)
		return nil
	case tooLarge:
		return d.shrink(ctx, a, b)
	case tooWide:
		return d.spread(ctx, a, b)
	case malformed:
		return d.halve(ctx, a, b)
	case throttled:
		return d.throttle(ctx, a)
	case heldRule:
		return d.hold(ctx, a, d.stream.rule.close)
	case heldStream:
		return d.hold(ctx, a, d.stream.close)
	default:
		return d.retry(ctx, a)
	}
}

// send waits for a place. While the stream is closed there is none.
func (d *delivery) send(ctx context.Context, b *body) (*answer, error) {
	if wait := d.stream.closed(); wait > 0 {
		return nil, exporterhelper.NewThrottleRetry(d.stream.why(), wait)
	}
	open, err := d.stream.rule.enter(ctx)
	switch {
	case err != nil:
		return nil, err
	case !open:
		return nil, exporterhelper.NewThrottleRetry(d.stream.why(), d.stream.closed())
	}
	defer d.stream.rule.leave()
	return d.sender.send(ctx, d.stream.destination, b), nil
}

// judge knows one more thing than the answer: a body that is too large is now and then
// answered with 404, of all codes (seen by others, unverified).
func (d *delivery) judge(a *answer, b *body) verdict {
	if a.err == nil && a.status == http.StatusNotFound && d.stream.isGood() && len(b.wire) > d.stream.wire.max/2 && b.count() > 1 {
		return tooLarge
	}
	return a.judge()
}

func (d *delivery) accept(ctx context.Context, b *body) {
	d.left = d.left[1:]
	if d.notFound > 0 { // so that was why
		d.stream.wire.refuse(d.notFound)
		d.notFound = 0
	}
	d.report.accepted(ctx, d.stream, b)
}

// shrink halves a body that is too large, and remembers. One that is small is refused for
// another reason, which somebody has to find.
func (d *delivery) shrink(ctx context.Context, a *answer, b *body) error {
	switch {
	case b.raw <= maxField: // for which no limit can be too low
		return d.hold(ctx, a, d.stream.close)
	case b.count() == 1:
	case a.status == http.StatusNotFound:
		d.notFound = len(b.wire)
	case a.code == "PayloadSizeLimitExceeded":
		d.stream.raw.refuse(b.raw)
	default:
		d.stream.wire.refuse(len(b.wire))
	}
	return d.halve(ctx, a, b)
}

// halve takes a body apart that is refused, until the row is alone for which it is.
func (d *delivery) halve(ctx context.Context, a *answer, b *body) error {
	if b.count() == 1 {
		return d.giveUp(ctx, a, b)
	}
	rows, err := b.rows()
	if err != nil {
		return err
	}
	d.report.refused(ctx, d.stream, a)
	middle := len(rows) / 2
	d.replace(d.repack(rows[:middle], b.at[:middle]), d.repack(rows[middle:], b.at[middle:]))
	return nil
}

// giveUp keeps a row that is refused as a dead letter. If row after row is refused and
// none is taken, it is not for the rows: then they have to wait.
func (d *delivery) giveUp(ctx context.Context, a *answer, b *body) error {
	if !d.stream.refuse() {
		d.left = append(d.left[1:], b) // the next attempt begins with another
		return d.hold(ctx, a, d.stream.close)
	}
	d.report.refused(ctx, d.stream, a)
	return d.bury(ctx, b, a.name(), a.message)
}

// replace puts bodies in the place of the first one.
func (d *delivery) replace(by ...[]*body) {
	d.left = append(slices.Concat(by...), d.left[1:]...)
}

// repack makes bodies of rows that were in one: mostly one.
func (d *delivery) repack(rows [][]byte, at []int64) []*body {
	r := request{stream: d.stream, packers: d.packers}
	for i, row := range rows {
		r.add(0, "", row, at[i])
	}
	r.closeAll()
	for _, b := range r.closed {
		b.reason = whenSplit
	}
	return r.closed
}

// spread makes a body for each half hour, and remembers. If there is only one, the far
// side has other times for the rows than they have themselves.
func (d *delivery) spread(ctx context.Context, a *answer, b *body) error {
	rows, err := b.rows()
	if err != nil {
		return err
	}
	d.stream.setNarrow()
	parts := d.byWindow(rows, b.at)
	if len(parts) == 1 {
		return d.halve(ctx, a, b)
	}
	d.report.refused(ctx, d.stream, a)
	d.replace(parts...)
	return nil
}

func (d *delivery) byWindow(rows [][]byte, at []int64) [][]*body {
	now := time.Now().UnixNano()
	order := make([]int, len(rows))
	for i := range order {
		order[i] = i
	}
	key := func(i int) int64 { return window(at[i], now) }
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(key(a), key(b)) })
	var parts [][]*body
	for len(order) > 0 {
		n := 1
		for n < len(order) && key(order[n]) == key(order[0]) {
			n++
		}
		parts = append(parts, d.repack(pick(rows, order[:n]), pick(at, order[:n])))
		order = order[n:]
	}
	return parts
}

func pick[T any](from []T, at []int) []T {
	picked := make([]T, len(at))
	for i, n := range at {
		picked[i] = from[n]
	}
	return picked
}

// bury keeps rows that can never be delivered. If that fails, they are not given up.
func (d *delivery) bury(ctx context.Context, b *body, code, message string) error {
	rows, err := b.rows()
	if err != nil {
		return err
	}
	for _, row := range rows {
		if err := d.dead.write(d.stream.destination, code, message, row); err != nil {
			return fmt.Errorf("write a dead letter: %w", err)
		}
	}
	d.left = d.left[1:]
	d.report.buried(ctx, d.stream, code, len(rows))
	return nil
}

// How long a rule is left alone that did not say, unless even the longest wait between two
// tries is shorter.
const (
	throttlePause = 30 * time.Second
	holdPause     = 30 * time.Second
)

func (d *delivery) throttle(ctx context.Context, a *answer) error {
	wait := a.retryAfter
	if wait == 0 {
		wait = d.pause(throttlePause)
	}
	d.stream.rule.close(wait)
	d.stream.rule.narrow()
	d.report.throttled(ctx, d.stream)
	return d.later(ctx, a, wait)
}

// hold keeps the rows back until somebody has mended what is wrong.
func (d *delivery) hold(ctx context.Context, a *answer, closer func(time.Duration)) error {
	wait := max(a.retryAfter, d.pause(holdPause))
	closer(wait)
	return d.later(ctx, a, wait)
}

func (d *delivery) retry(ctx context.Context, a *answer) error {
	if a.retryAfter > 0 {
		d.stream.rule.close(a.retryAfter)
	}
	return d.later(ctx, a, a.retryAfter)
}

func (d *delivery) later(ctx context.Context, a *answer, wait time.Duration) error {
	d.report.refused(ctx, d.stream, a)
	err := a.explain(d.stream.destination)
	d.report.held(ctx, d.stream, a.name(), err)
	if wait == 0 {
		return err
	}
	return exporterhelper.NewThrottleRetry(err, wait)
}
