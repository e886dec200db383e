package kafkaexporter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.uber.org/zap"
)

// writer writes records, one request at a time.
type writer struct {
	config *Config
	logger *zap.Logger
	client *kgo.Client
	gone   context.Context //nolint:containedctx // it ends with the exporter, and no request lives longer
	letGo  context.CancelFunc
}

func newWriter(config component.Config, logger *zap.Logger) *writer {
	w := &writer{config: config.(*Config), logger: logger}
	w.gone, w.letGo = context.WithCancel(context.Background())
	return w
}

func (w *writer) start(ctx context.Context, host component.Host) error {
	options, err := w.config.Options(ctx, host, w.logger)
	if err != nil {
		return err
	}
	options = append(options, kgo.RecordDeliveryTimeout(w.config.Timeout))
	w.client, err = kgo.NewClient(append(options, w.config.Producer.options()...)...)
	return err
}

func (w *writer) shutdown(context.Context) error {
	if w.client != nil {
		w.client.Close()
	}
	return nil
}

// options leave trying again to the queue, which keeps what a try that is given up was about.
func (p Producer) options() []kgo.Opt {
	all := []kgo.Opt{
		kgo.ProducerBatchMaxBytes(p.MaxMessageBytes),
		kgo.ProducerBatchCompression(p.codec()),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.AllowIdempotentProduceCancellation(), // who asks again may get it twice, and not never
		kgo.MetadataMinAge(time.Second),          // a partition that failed waits for news of its leader
	}
	if p.AllowAutoTopicCreation {
		all = append(all, kgo.AllowAutoTopicCreation())
	}
	if p.leaderOnly() {
		all = append(all, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	}
	return all
}

func (p Producer) codec() kgo.CompressionCodec {
	switch p.Compression {
	case "gzip":
		return kgo.GzipCompression()
	case "snappy":
		return kgo.SnappyCompression()
	case "lz4":
		return kgo.Lz4Compression()
	case "zstd":
		return kgo.ZstdCompression()
	}
	return kgo.NoCompression()
}

// push writes what it is given as one record, and returns when the broker has it.
func push[T any](w *writer, topic string, marshal func(T) ([]byte, error)) func(context.Context, T) error {
	return func(ctx context.Context, data T) error {
		value, err := marshal(data)
		if err != nil {
			return consumererror.NewPermanent(fmt.Errorf("kafka: %w", err))
		}
		ctx, cancel := context.WithTimeout(ctx, w.config.Timeout)
		defer cancel()
		stop := context.AfterFunc(w.gone, cancel)
		defer stop()
		err = w.client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: value}).FirstErr()
		return explained(err, topic, len(value))
	}
}

// explained makes of an error one that says what to do. Only what is too large is given up:
// everything else, a password that is refused and a topic that is missing too, can be mended
// while the queue keeps its data.
func explained(err error, topic string, size int) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		return consumererror.NewPermanent(fmt.Errorf("kafka: %d bytes for topic %q are more than it takes: raise max.message.bytes there and producer::max_message_bytes here: %w", size, topic, err))
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		return fmt.Errorf("kafka: topic %q does not exist, or this client may not see it; held until it does: %w", topic, err)
	case errors.Is(err, kerr.SaslAuthenticationFailed), errors.Is(err, kerr.TopicAuthorizationFailed):
		return fmt.Errorf("kafka: topic %q: refused; held until that is mended: %w", topic, err)
	}
	return fmt.Errorf("kafka: topic %q: %w", topic, err)
}
