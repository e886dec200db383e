package kafkareceiver

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/collector/component"
	"go.uber.org/zap"
)

// options are what the client of a group is made of. Nothing is committed unless the receiver
// says so, and partitions do not change hands while it hands records out.
func (c *Config) options(ctx context.Context, host component.Host, logger *zap.Logger) ([]kgo.Opt, error) {
	start := kgo.NewOffset().AtStart()
	if c.InitialOffset == "latest" {
		start = kgo.NewOffset().AtEnd()
	}
	all := []kgo.Opt{
		kgo.ConsumerGroup(c.GroupID),
		kgo.SessionTimeout(c.SessionTimeout),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.ConsumeStartOffset(start),
		// Where retention has taken what was not read yet, what is left is not given up, too.
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMinBytes(c.MinFetchSize),
		kgo.FetchMaxBytes(c.MaxFetchSize),
		kgo.FetchMaxPartitionBytes(c.MaxPartitionFetchSize),
		kgo.FetchMaxWait(c.MaxFetchWait),
		kgo.MaxDecompressBatchBytes(largestFetch),
	}
	if c.GroupInstanceID != "" {
		all = append(all, kgo.InstanceID(c.GroupInstanceID))
	}
	common, err := c.Options(ctx, host, logger)
	return append(all, common...), err
}
