//go:generate mdatagen metadata.yaml

// Package kafkaexporter writes logs, metrics and traces to Kafka, each request as one
// record, and is done with it when all in-sync replicas have it. Contrib's exporter does the
// same and brings five megabytes of ways to sign in with it; this one shares the client of
// the receiver, and signs in with a password or the token of an extension such as keyless.
package kafkaexporter
