// Package lossless has the defaults of exporters that give nothing up.
package lossless

import (
	"time"

	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
)

// Retry never gives up: exporterhelper deletes what is given up, from the disk, too.
func Retry() configretry.BackOffConfig {
	retry := configretry.NewDefaultBackOffConfig()
	retry.InitialInterval = time.Second
	retry.MaxElapsedTime = 0
	return retry
}

// Queue holds the pipeline up rather than to lose anything, and has one consumer, which keeps
// the order.
func Queue(batch exporterhelper.BatchConfig) exporterhelper.QueueBatchConfig {
	queue := exporterhelper.NewDefaultQueueConfig()
	queue.BlockOnOverflow = true
	queue.NumConsumers = 1
	queue.Batch = configoptional.Some(batch)
	return queue
}

// ByteQueue is a [Queue] of 128 MiB: a thousand requests, as queues are measured otherwise,
// are little where requests are small.
func ByteQueue(least, most int64) exporterhelper.QueueBatchConfig {
	queue := Queue(exporterhelper.BatchConfig{Sizer: exporterhelper.RequestSizerTypeBytes, FlushTimeout: time.Second, MinSize: least, MaxSize: most})
	queue.Sizer = exporterhelper.RequestSizerTypeBytes
	queue.QueueSize = 128 << 20
	return queue
}
