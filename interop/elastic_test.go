package interop_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/elastic/go-elasticsearch/v9"
	"github.com/elastic/go-elasticsearch/v9/esutil"

	"github.com/keyless-id/keyless/sandbox"
)

// Elastic's own client, which looks at whom it talks to.

func searchSandbox(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	s, err := sandbox.New(sandbox.Demo(), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func elasticClient(t *testing.T, address string, as elasticsearch.Option) *elasticsearch.Client {
	t.Helper()
	client, err := elasticsearch.New(elasticsearch.WithAddresses(address), as)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// bulkIndex writes n documents to a data stream, each of them twice.
func bulkIndex(t *testing.T, client *elasticsearch.Client, stream string, n int) esutil.BulkIndexerStats {
	t.Helper()
	indexer, err := esutil.NewBulkIndexer(esutil.BulkIndexerConfig{Client: client, Index: stream, NumWorkers: 1})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 * n {
		item := esutil.BulkIndexerItem{Action: "create", DocumentID: fmt.Sprint(i % n), Body: strings.NewReader(`{"@timestamp":"2026-01-02T03:04:05Z"}`)}
		if err := indexer.Add(t.Context(), item); err != nil {
			t.Fatal(err)
		}
	}
	_ = indexer.Close(context.Background()) // what failed is in the numbers
	return indexer.Stats()
}

func TestElasticsBulkIndexerFillsADataStream(t *testing.T) {
	s := searchSandbox(t)
	client := elasticClient(t, s.URL(sandbox.Elasticsearch), elasticsearch.WithAPIKey(base64.StdEncoding.EncodeToString([]byte(sandbox.DemoSearchAPIKey))))
	stats := bulkIndex(t, client, "metrics-demo-default", 100)
	if stats.NumCreated != 100 || stats.NumFailed != 100 {
		t.Errorf("%+v, want a conflict for every second one", stats)
	}
	if n := len(s.Documents("metrics-demo-default")); n != 100 {
		t.Errorf("%d documents", n)
	}
}

func TestElasticsBulkIndexerIsRefusedWithAWrongPassword(t *testing.T) {
	s := searchSandbox(t)
	client := elasticClient(t, s.URL(sandbox.Elasticsearch), elasticsearch.WithBasicAuth(sandbox.DemoSearchUser, "wrong"))
	answer, err := client.Info()
	if err != nil || answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("%v, %v", answer, err)
	}
	if stats := bulkIndex(t, client, "metrics-demo-default", 1); stats.NumCreated != 0 || len(s.Documents("metrics-demo-default")) != 0 {
		t.Errorf("%+v", stats)
	}
}

func TestElasticsClientRefusesAnEngineThatDoesNotNameItself(t *testing.T) {
	s := searchSandbox(t)
	to, err := url.Parse(s.URL(sandbox.Elasticsearch))
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ModifyResponse = func(r *http.Response) error {
		r.Header.Del("X-Elastic-Product")
		return nil
	}
	nameless := httptest.NewServer(proxy)
	t.Cleanup(nameless.Close)
	client := elasticClient(t, nameless.URL, elasticsearch.WithBasicAuth(sandbox.DemoSearchUser, sandbox.DemoSearchPassword))
	if _, err := client.Info(); err == nil || !strings.Contains(err.Error(), "not Elasticsearch") {
		t.Errorf("got %v", err)
	}
}
