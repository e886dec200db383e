package elasticsearchexporter

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"

	"github.com/keyless-id/keyless/collector/exporter/elasticsearchexporter/internal/metadata"
)

// BenchmarkPush sends documents that are made already, to a far side that reads them and
// answers as Elasticsearch does when it has written everything.
func BenchmarkPush(b *testing.B) {
	for _, n := range []int{100, 4000} {
		for _, compression := range []string{"none", "gzip"} {
			b.Run(fmt.Sprintf("documents=%d/compression=%s", n, compression), func(b *testing.B) { benchmarkPush(b, n, compression) })
		}
	}
}

func benchmarkPush(b *testing.B, n int, compression string) {
	answer := `{"errors":false,"items":[` + strings.TrimSuffix(strings.Repeat(`{"create":{"status":201}},`, n), ",") + `]}`
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, answer)
	}))
	defer far.Close()
	cfg := createDefaultConfig()
	cfg.ClientConfig.Endpoint = far.URL
	if compression == "none" {
		cfg.ClientConfig.Compression = ""
	}
	e, err := newBulkExporter(cfg, exportertest.NewNopSettings(metadata.Type))
	if err != nil {
		b.Fatal(err)
	}
	if err := e.start(b.Context(), componenttest.NewNopHost()); err != nil {
		b.Fatal(err)
	}
	docs, err := e.shape.metrics(usage(0, n, time.Unix(1_800_000_000, 0)))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := e.push(b.Context(), &request{docs: docs}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/document")
}
