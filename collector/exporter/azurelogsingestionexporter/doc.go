// Package azurelogsingestionexporter sends logs through the Logs Ingestion API of Azure
// Monitor to tables of Log Analytics and Microsoft Sentinel.
//
// Rows are written once, when they come in; what is persisted are rows. A batch is
// compressed as it grows, and closed when the next row would no longer fit into a request.
package azurelogsingestionexporter

//go:generate mdatagen metadata.yaml
