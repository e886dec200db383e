package kafkareceiver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"
)

const (
	// atOnce is how many records are passed on together and then committed.
	atOnce = 1000
	// ahead is how many answers of a broker wait in a partition before no more are asked for.
	ahead = 2
	// grace is how long a delivery may still take when its partition goes to somebody else.
	grace = 10 * time.Second
)

var (
	errLeaving = errors.New("the partition is given back")
	errHalted  = errors.New("a record cannot be delivered")
)

// partition delivers the records of one partition in order, and commits behind them.
type partition struct {
	place
	group   *group
	client  *kgo.Client
	cancel  context.CancelFunc
	leaving chan struct{}
	done    chan struct{}

	mu      sync.Mutex
	waiting [][]*kgo.Record
	wake    chan struct{}
	halted  bool
}

func startPartition(ctx context.Context, g *group, client *kgo.Client, at place) *partition {
	ctx, cancel := context.WithCancel(ctx)
	p := &partition{
		place: at, group: g, client: client, cancel: cancel,
		leaving: make(chan struct{}), done: make(chan struct{}), wake: make(chan struct{}, 1),
	}
	go p.run(ctx)
	return p
}

// leave ends the partition: at once, or when the delivery that has begun ends. It is called
// once.
func (p *partition) leave() {
	close(p.leaving)
	timer := time.AfterFunc(grace, p.cancel)
	go func() {
		<-p.done
		timer.Stop()
	}()
}

// put adds what was read. The broker is asked for no more while enough is waiting.
func (p *partition) put(records []*kgo.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.halted {
		return
	}
	p.waiting = append(p.waiting, records)
	if len(p.waiting) >= ahead {
		p.client.PauseFetchPartitions(p.alone())
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *partition) alone() map[string][]int32 { return map[string][]int32{p.topic: {p.number}} }

// take is what waits longest, or nothing.
func (p *partition) take() []*kgo.Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) == 0 {
		return nil
	}
	records := p.waiting[0]
	p.waiting = p.waiting[1:]
	if len(p.waiting) == ahead-1 {
		p.client.ResumeFetchPartitions(p.alone())
	}
	return records
}

func (p *partition) run(ctx context.Context) {
	defer close(p.done)
	defer p.cancel()
	for {
		if err := p.work(ctx, p.take()); err != nil {
			p.end(ctx, err)
			return
		}
		select {
		case <-p.leaving:
			return
		case <-p.wake:
		}
	}
}

// work delivers records, and whatever comes meanwhile.
func (p *partition) work(ctx context.Context, records []*kgo.Record) error {
	for ; len(records) > 0; records = p.take() {
		for part := range slices.Chunk(records, atOnce) {
			n, err := p.deliver(ctx, part)
			if n > 0 {
				p.commit(ctx, part[n-1])
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// end is what becomes of a partition whose next record is not delivered.
func (p *partition) end(ctx context.Context, err error) {
	if !errors.Is(err, errHalted) {
		return
	}
	p.mu.Lock()
	p.halted, p.waiting = true, nil
	p.client.PauseFetchPartitions(p.alone())
	p.mu.Unlock()
	p.group.logger.Error("Kafka: the partition waits at a record; set on_permanent_error, or change the pipeline and start again",
		zap.String("topic", p.topic), zap.Int32("partition", p.number), zap.Error(err))
	componentstatus.ReportStatus(p.group.host, componentstatus.NewRecoverableErrorEvent(err))
	p.group.telemetry.ReceiverKafkaPartitionsHalted.Add(ctx, 1)
	<-p.leaving
	p.group.telemetry.ReceiverKafkaPartitionsHalted.Add(ctx, -1)
}

// deliver reports how many records, counted from the first, are done with. Where all together
// are refused for good, halves are tried, until the one is found that is to blame.
func (p *partition) deliver(ctx context.Context, records []*kgo.Record) (int, error) {
	err := p.insist(ctx, func() error { return p.group.sink.consume(ctx, records) })
	switch {
	case err == nil:
		p.count(ctx, len(records), "delivered")
		return len(records), nil
	case !consumererror.IsPermanent(err):
		return 0, err
	case len(records) == 1:
		if err := p.refused(ctx, records[0], err); err != nil {
			return 0, err
		}
		return 1, nil
	}
	half := len(records) / 2
	first, err := p.deliver(ctx, records[:half])
	if err != nil {
		return first, err
	}
	second, err := p.deliver(ctx, records[half:])
	return half + second, err
}

// insist tries again for as long as the partition is this member's. The library goes on
// telling the group that the member lives.
func (p *partition) insist(ctx context.Context, try func() error) error {
	wait := p.group.config.ErrorBackOff.InitialInterval
	for {
		select {
		case <-p.leaving:
			return errLeaving
		default:
		}
		err := try()
		if err == nil || consumererror.IsPermanent(err) {
			return err
		}
		p.group.telemetry.ReceiverKafkaRetries.Add(ctx, 1)
		p.group.logger.Warn("Kafka: the records are not delivered, trying again", zap.String("topic", p.topic),
			zap.Int32("partition", p.number), zap.Duration("after", wait), zap.Error(err))
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-p.leaving:
			timer.Stop()
			return errLeaving
		}
		wait = min(2*wait, p.group.config.ErrorBackOff.MaxInterval)
	}
}

// refused does with a record what the configuration says.
func (p *partition) refused(ctx context.Context, record *kgo.Record, why error) error {
	why = fmt.Errorf("%w: offset %d, %d bytes: %w", errHalted, record.Offset, len(record.Value), why)
	switch p.group.config.OnPermanentError {
	case RefusalSkip:
		p.count(ctx, 1, "skipped")
	case RefusalDeadLetter:
		letter := deadLetter(p.group.config.DeadLetterTopic, record)
		if err := p.insist(ctx, func() error { return p.client.ProduceSync(ctx, letter).FirstErr() }); err != nil {
			return err
		}
		p.count(ctx, 1, "dead_letter")
	default:
		return why
	}
	p.group.logger.Error("Kafka: "+string(p.group.config.OnPermanentError), zap.String("topic", p.topic),
		zap.Int32("partition", p.number), zap.Error(why))
	return nil
}

// deadLetter is the record as it was, and where it was.
func deadLetter(topic string, record *kgo.Record) *kgo.Record {
	from := fmt.Sprintf("%s/%d/%d", record.Topic, record.Partition, record.Offset)
	headers := append(slices.Clone(record.Headers), kgo.RecordHeader{Key: "keyless.from", Value: []byte(from)})
	return &kgo.Record{Topic: topic, Key: record.Key, Value: record.Value, Headers: headers, Timestamp: record.Timestamp}
}

// commit says that everything up to a record is done with. When it fails, a later one says it
// too; if there is none, the records come again.
func (p *partition) commit(ctx context.Context, last *kgo.Record) {
	if err := p.client.CommitRecords(ctx, last); err != nil {
		p.group.telemetry.ReceiverKafkaCommitFailures.Add(ctx, 1)
		p.group.logger.Warn("Kafka: cannot commit", zap.String("topic", p.topic), zap.Int32("partition", p.number), zap.Error(err))
	}
}

func (p *partition) count(ctx context.Context, n int, outcome string) {
	p.group.telemetry.ReceiverKafkaRecords.Add(ctx, int64(n), metric.WithAttributes(attribute.String("outcome", outcome)))
}
