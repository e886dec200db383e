//go:generate mdatagen metadata.yaml

// Package lumberjackreceiver takes events from Beats, Logstash and whoever else speaks
// Lumberjack 2, and acknowledges them once the pipeline has them.
package lumberjackreceiver
