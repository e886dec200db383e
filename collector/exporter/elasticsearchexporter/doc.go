// Package elasticsearchexporter writes metrics and logs to data streams of Elasticsearch, so
// that each document is there once, however often it had to be sent.
//
// Documents are made once, when metrics come in; what is persisted are documents. One that
// was taken is never sent again while the program runs, and one that is sent again after a
// crash is refused as a duplicate, which counts as taken.
package elasticsearchexporter

//go:generate mdatagen metadata.yaml
