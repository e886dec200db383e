package awscloudwatchmetricsreceiver

import (
	"context"
	"sync"
	"time"
)

// limiter keeps requests below what AWS allows an account in a region for one operation. It
// slows down when AWS throttles all the same, for others ask too, and recovers by and by.
type limiter struct {
	Rate  float64 // of requests a second
	Burst float64

	mu     sync.Mutex
	rate   float64 // of the moment; zero: Rate
	tokens float64
	at     time.Time
}

// The quotas ("CloudWatch service quotas"; "Request throttling for the Amazon EC2 API") are 50
// a second for GetMetricData and 25 for ListMetrics. Within any second there are at most Rate
// and Burst together, which leaves others a little. Those of the other operations are
// unverified.
func newLimiter(operation string) *limiter {
	switch operation {
	case opMetricData, opMetricStatistics:
		return &limiter{Rate: 40, Burst: 8}
	case opListMetrics:
		return &limiter{Rate: 18, Burst: 5}
	}
	return &limiter{Rate: 8, Burst: 2}
}

const (
	slowest  = 0.5  // requests a second
	recovery = 1.05 // for each request that is answered
)

// wait blocks until the next request may be sent.
func (l *limiter) wait(ctx context.Context) error {
	return sleep(ctx, l.take(time.Now()))
}

// take takes a token, which may be one of the future, and says how long it is until then.
func (l *limiter) take(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at.IsZero() {
		l.rate, l.tokens = l.Rate, l.Burst
	} else {
		l.tokens = min(l.Burst, l.tokens+now.Sub(l.at).Seconds()*l.rate)
	}
	l.at = now
	l.tokens--
	if l.tokens >= 0 {
		return 0
	}
	return time.Duration(-l.tokens / l.rate * float64(time.Second))
}

func (l *limiter) throttled() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate = max(slowest, l.rate/2)
}

func (l *limiter) answered() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate = min(l.Rate, l.rate*recovery)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
