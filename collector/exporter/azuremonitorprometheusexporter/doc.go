// Package azuremonitorprometheusexporter writes metrics to an Azure Monitor workspace, to
// Amazon Managed Service for Prometheus, or to any other receiver of Prometheus remote write,
// and gives up no sample that the receiver could still take.
package azuremonitorprometheusexporter

//go:generate mdatagen metadata.yaml
