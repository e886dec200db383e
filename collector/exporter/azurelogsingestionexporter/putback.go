package azurelogsingestionexporter

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
)

// putBack gives batches that have waited for a while back to the queue when half of its
// consumers wait already: the others are for the streams that take rows. A queue that is
// stored has the rows twice for a moment, and never not at all.
type putBack struct {
	queue   consumer.Logs
	most    int64       // how many may wait
	others  func() bool // whether there is more than one stream
	waiting atomic.Int64
}

const (
	// leastWait keeps an outage from sending everything in circles.
	leastWait = 15 * time.Second

	// offerTime is how long the queue may take. It is full now and then, and then the
	// batch has to wait where it is.
	offerTime = 100 * time.Millisecond
)

// settle returns what becomes of an attempt to send r, of which left is left.
func (p *putBack) settle(ctx context.Context, r, left *request, err error) error {
	isWaiting := !r.since.IsZero()
	if err == nil || isWaiting && p.isDue(r) && p.offer(ctx, left) {
		if isWaiting {
			p.waiting.Add(-1)
		}
		return nil
	}
	if left.since = r.since; !isWaiting {
		left.since = time.Now()
		p.waiting.Add(1)
	}
	return &leftError{err, left}
}

func (p *putBack) isDue(r *request) bool {
	return p.queue != nil && time.Since(r.since) >= leastWait && p.waiting.Load() > p.most && p.others()
}

type offered struct{}

func (p *putBack) offer(ctx context.Context, left *request) bool {
	fresh := left.with(nil)
	for _, b := range left.closed {
		texts, err := b.rows()
		if err != nil {
			return false
		}
		for i, text := range texts {
			fresh.rows.data = append(fresh.rows.data, text...)
			fresh.rows.append(time.Unix(0, b.at[i]))
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), offerTime)
	defer cancel()
	return p.queue.ConsumeLogs(context.WithValue(ctx, offered{}, fresh), plog.NewLogs()) == nil
}

// offeredRequest is what offer passes by the conversion of logs.
func offeredRequest(ctx context.Context) (*request, bool) {
	r, found := ctx.Value(offered{}).(*request)
	return r, found
}
