package kafkareceiver

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/keyless-id/keyless/collector/receiver/kafkareceiver/internal/metadata"
)

// leaveWithin is how long a broker has to hear that a member leaves.
const leaveWithin = 5 * time.Second

// group is a member of a consumer group. It reads what its partitions have and hands it to
// them; each partition delivers and commits on its own.
type group struct {
	config    *Config
	topics    []string
	sink      sink
	logger    *zap.Logger
	telemetry *metadata.TelemetryBuilder

	host    component.Host
	client  *kgo.Client
	cancel  context.CancelFunc
	polling sync.WaitGroup

	ailing atomic.Bool // the status says so

	mu         sync.Mutex
	partitions map[place]*partition
}

// place names a partition.
type place struct {
	topic  string
	number int32
}

func newGroup(set receiver.Settings, config *Config, topics []string, sink sink) (*group, error) {
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	return &group{
		config: config, topics: topics, sink: sink, logger: set.Logger, telemetry: telemetry,
		partitions: make(map[place]*partition),
	}, nil
}

// Start begins to read. Brokers that are not there yet are waited for.
func (g *group) Start(ctx context.Context, host component.Host) error {
	options, err := g.config.options(ctx, host, g.logger)
	if err != nil {
		return err
	}
	g.host = host
	reading, cancel := context.WithCancel(context.WithoutCancel(ctx))
	options = append(options,
		kgo.ConsumeTopics(g.topics...),
		kgo.WithHooks(dialed{g.logger}),
		kgo.OnPartitionsAssigned(func(_ context.Context, client *kgo.Client, assigned map[string][]int32) {
			g.assigned(reading, client, assigned)
		}),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, gone map[string][]int32) { g.release(gone) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, gone map[string][]int32) { g.release(gone) }),
	)
	client, err := kgo.NewClient(options...)
	if err != nil {
		cancel()
		return err
	}
	g.client, g.cancel = client, cancel
	g.polling.Go(func() { g.reach(reading, client) })
	g.polling.Go(func() { g.poll(reading, client) })
	return nil
}

// Shutdown lets deliveries that have begun end, commits them, and leaves the group.
func (g *group) Shutdown(ctx context.Context) error {
	if g.client == nil {
		return nil
	}
	g.halt(ctx)
	g.cancel()
	g.polling.Wait()
	g.client.AllowRebalance()
	g.leave(ctx)
	g.client.Close()
	return nil
}

// leave tells the group, so that it needs not wait for the session to end. Where no broker is
// there to hear it, that is what happens.
func (g *group) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaveWithin)
	defer cancel()
	if err := g.client.LeaveGroupContext(ctx); err != nil {
		g.logger.Debug("Kafka: left without a word", zap.Error(err))
	}
}

// halt ends all partitions, at the latest when ctx does.
func (g *group) halt(ctx context.Context) {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer context.AfterFunc(ctx, g.cancel)()
	for _, p := range g.partitions {
		p.leave()
	}
	for at, p := range g.partitions {
		<-p.done
		delete(g.partitions, at)
	}
}

func (g *group) poll(ctx context.Context, client *kgo.Client) {
	for ctx.Err() == nil {
		fetched := client.PollFetches(ctx)
		fetched.EachError(g.failed)
		fetched.EachPartition(func(from kgo.FetchTopicPartition) { g.hand(ctx, from) })
		client.AllowRebalance()
	}
}

// reach says why nothing comes from the beginning. The library tries for ever, in silence: a
// wrong password would look like a topic without records.
func (g *group) reach(ctx context.Context, client *kgo.Client) {
	for ctx.Err() == nil {
		ping, cancel := context.WithTimeout(ctx, g.config.ErrorBackOff.MaxInterval)
		err := client.Ping(ping)
		if err != nil {
			g.failed("", -1, err)
			<-ping.Done()
		}
		cancel()
		if err == nil {
			return
		}
	}
}

// dialed says which broker cannot be reached.
type dialed struct{ logger *zap.Logger }

// OnBrokerConnect is called by the library.
func (d dialed) OnBrokerConnect(broker kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		d.logger.Warn("Kafka: cannot connect", zap.String("broker", net.JoinHostPort(broker.Host, strconv.Itoa(int(broker.Port)))), zap.Error(err))
	}
}

// failed says what a broker refuses; the library tries again.
func (g *group) failed(topic string, number int32, err error) {
	var lost *kgo.ErrDataLoss
	switch {
	case errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed):
		return
	case errors.As(err, &lost):
		g.logger.Error("Kafka: records are gone that were not read; longer retention would have kept them",
			zap.String("topic", topic), zap.Int32("partition", number), zap.Error(err))
	default:
		g.logger.Warn("Kafka: cannot read", zap.String("topic", topic), zap.Int32("partition", number), zap.Error(err))
	}
	g.ailing.Store(true)
	componentstatus.ReportStatus(g.host, componentstatus.NewRecoverableErrorEvent(err))
}

// hand gives a partition what was read of it.
func (g *group) hand(ctx context.Context, from kgo.FetchTopicPartition) {
	if len(from.Records) == 0 {
		return
	}
	if g.ailing.Swap(false) {
		componentstatus.ReportStatus(g.host, componentstatus.NewEvent(componentstatus.StatusOK))
	}
	g.mu.Lock()
	p := g.partitions[place{from.Topic, from.Partition}]
	g.mu.Unlock()
	if p == nil { // the receiver stops
		return
	}
	last := from.Records[len(from.Records)-1].Offset
	g.telemetry.ReceiverKafkaLag.Record(ctx, max(0, from.HighWatermark-last-1), metric.WithAttributes(
		attribute.String("topic", from.Topic), attribute.Int("partition", int(from.Partition))))
	p.put(from.Records)
}

func (g *group) assigned(ctx context.Context, client *kgo.Client, assigned map[string][]int32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for topic, numbers := range assigned {
		for _, number := range numbers {
			g.partitions[place{topic, number}] = startPartition(ctx, g, client, place{topic, number})
		}
	}
	// They may have been left while they waited.
	client.ResumeFetchPartitions(assigned)
}

// release ends partitions before somebody else gets them: what they have delivered is
// committed then, and is not delivered twice.
func (g *group) release(gone map[string][]int32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var ending []*partition
	for topic, numbers := range gone {
		for _, number := range numbers {
			if p := g.partitions[place{topic, number}]; p != nil {
				p.leave()
				ending = append(ending, p)
				delete(g.partitions, place{topic, number})
			}
		}
	}
	for _, p := range ending {
		<-p.done
	}
}
