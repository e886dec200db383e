//go:generate mdatagen metadata.yaml

// Package kafkareceiver reads logs, metrics and traces from Kafka. An offset is committed once
// the pipeline has what comes before it.
package kafkareceiver
