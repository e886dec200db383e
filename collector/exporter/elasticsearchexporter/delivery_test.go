package elasticsearchexporter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/storage/filestorage"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/collector/exporter/elasticsearchexporter/internal/metadata"
	"github.com/keyless-id/keyless/sandbox"
)

func consume(t *testing.T, e exporter.Metrics, metrics pmetric.Metrics) {
	t.Helper()
	if err := e.ConsumeMetrics(t.Context(), metrics); err != nil {
		t.Fatal(err)
	}
}

func TestEveryDocumentArrivesOnceWhateverTheEngineAnswers(t *testing.T) {
	for name, breaks := range map[string]func(*sandbox.Sandbox){
		"nothing":         func(*sandbox.Sandbox) {},
		"throttled items": func(s *sandbox.Sandbox) { s.SetItemFault(sandbox.ItemFault{Status: 429, Every: 3, Times: 50}) },
		"broken items":    func(s *sandbox.Sandbox) { s.SetItemFault(sandbox.ItemFault{Status: 503, Every: 2, Times: 50}) },
		"forbidden items": func(s *sandbox.Sandbox) { s.SetItemFault(sandbox.ItemFault{Status: 403, Times: 50}) },
		"throttled":       func(s *sandbox.Sandbox) { s.SetFault(sandbox.Elasticsearch, sandbox.Fault{Status: 429, Times: 3}) },
		"unavailable":     func(s *sandbox.Sandbox) { s.SetFault(sandbox.Elasticsearch, sandbox.Fault{Status: 503, Times: 3}) },
		"unauthorized":    func(s *sandbox.Sandbox) { s.SetFault(sandbox.Elasticsearch, sandbox.Fault{Status: 401, Times: 3}) },
		"reset":           func(s *sandbox.Sandbox) { s.SetFault(sandbox.Elasticsearch, sandbox.Fault{Reset: true, Times: 3}) },
		"lost answer":     func(s *sandbox.Sandbox) { s.SetFault(sandbox.Elasticsearch, sandbox.Fault{Truncate: true, Times: 3}) },
		"sign-in page":    func(s *sandbox.Sandbox) { s.SetFault(sandbox.Elasticsearch, sandbox.Fault{Body: "<html>", Times: 3}) },
		"too large":       func(s *sandbox.Sandbox) { s.SetFault(sandbox.Elasticsearch, sandbox.Fault{Status: 413, Times: 3}) },
	} {
		for _, templates := range []string{"none", "plain", "tsds"} {
			t.Run(name+" "+templates, func(t *testing.T) {
				s := engine(t)
				breaks(s)
				e, _ := start(t, configured(t, s.URL(sandbox.Elasticsearch), block{"setup": block{"templates": templates}}), nil)
				consume(t, e, usage(0, 100, time.Now()))
				eventually(t, "100 documents", func() bool { return len(s.Documents(stream)) >= 100 })
				_ = e.Shutdown(context.Background())
				if n := once(t, s, stream); n != 100 {
					t.Errorf("%d documents", n)
				}
			})
		}
	}
}

func TestARequestThatIsTooLargeIsSplit(t *testing.T) {
	s := engine(t)
	cfg := configured(t, s.URL(sandbox.Elasticsearch), block{"compression": "none"})
	e, _ := start(t, cfg, nil)
	consume(t, e, usage(0, 5000, time.Now())) // 3 MB, of which the sandbox takes 1 at once
	eventually(t, "5000 documents", func() bool { return len(s.Documents(stream)) >= 5000 })
	_ = e.Shutdown(context.Background())
	if n := once(t, s, stream); n != 5000 {
		t.Errorf("%d documents", n)
	}
}

func TestWhatWillNeverBeTakenGoesToTheDeadLetterFile(t *testing.T) {
	s := engine(t)
	s.SetItemFault(sandbox.ItemFault{Status: 400, Code: "document_parsing_exception", Every: 10, Times: 2})
	path := filepath.Join(t.TempDir(), "dead.jsonl")
	e, _ := start(t, configured(t, s.URL(sandbox.Elasticsearch), block{"dead_letter": block{"path": path}}), nil)
	consume(t, e, usage(0, 20, time.Now()))
	eventually(t, "18 documents", func() bool { return len(s.Documents(stream)) == 18 })
	_ = e.Shutdown(context.Background())
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	var letter deadLetter
	if err := json.Unmarshal(lines[0], &letter); err != nil || len(lines) != 2 {
		t.Fatalf("%v, %s", err, text)
	}
	if letter.Status != 400 || letter.Stream != stream || !strings.Contains(letter.Reason, "document_parsing_exception") || !strings.Contains(string(letter.Source), "i-0009") {
		t.Errorf("%+v", letter)
	}
}

func TestADeadLetterThatCannotBeWrittenIsNotGivenUp(t *testing.T) {
	s := engine(t)
	s.SetItemFault(sandbox.ItemFault{Status: 400})
	e, _ := start(t, configured(t, s.URL(sandbox.Elasticsearch), block{"dead_letter": block{"path": filepath.Join(t.TempDir(), "no", "folder")}}), nil)
	consume(t, e, usage(0, 10, time.Now()))
	eventually(t, "retries", func() bool { return s.Requests(sandbox.Elasticsearch) > 3 })
	s.SetItemFault(sandbox.ItemFault{})
	eventually(t, "10 documents", func() bool { return len(s.Documents(stream)) == 10 })
}

func TestWhatIsTooOldForATimeSeriesGoesToThePlainStream(t *testing.T) {
	s := engine(t)
	e, _ := start(t, configured(t, s.URL(sandbox.Elasticsearch), block{"setup": block{"templates": "tsds"}}), nil)
	old := time.Now().Add(-8 * 24 * time.Hour)
	consume(t, e, usage(0, 10, old))
	consume(t, e, usage(0, 10, old)) // read again
	consume(t, e, usage(0, 10, time.Now()))
	const plain = "metrics-aws.ec2_metrics.late-default"
	eventually(t, "both streams", func() bool { return len(s.Documents(plain)) >= 10 && len(s.Documents(stream)) >= 10 })
	_ = e.Shutdown(context.Background())
	if late, timely := once(t, s, plain), once(t, s, stream); late != 10 || timely != 10 {
		t.Errorf("%d late and %d timely documents", late, timely)
	}
	if s.Documents(stream)[0].ID != "" || s.Documents(plain)[0].ID == "" {
		t.Error("a time series gets no ids, a plain stream does")
	}
}

func TestALateMetricOfTheSameTimeIsNoDuplicate(t *testing.T) {
	for _, templates := range []string{"none", "tsds"} {
		s := engine(t)
		e, _ := start(t, configured(t, s.URL(sandbox.Elasticsearch), block{"setup": block{"templates": templates}}), nil)
		at := time.Now()
		consume(t, e, usage(0, 1, at))
		later := pmetric.NewMetrics()
		value(instance(later, "i-0000"), "NetworkIn Sum", "i-0000", at, 5)
		consume(t, e, later)
		eventually(t, "two documents", func() bool { return len(s.Documents(stream)) == 2 })
		_ = e.Shutdown(context.Background())
	}
}

func TestAWrongKeyHoldsEverythingAndIsNotInTheLog(t *testing.T) {
	s := engine(t)
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("demo:wrong-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e, logs := start(t, configured(t, s.URL(sandbox.Elasticsearch), block{"api_key": "", "api_key_file": path}), nil)
	consume(t, e, usage(0, 10, time.Now()))
	eventually(t, "retries", func() bool { return s.Requests(sandbox.Elasticsearch) > 3 })
	if err := os.WriteFile(path, []byte(sandbox.DemoSearchAPIKey), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "10 documents with the new key", func() bool { return len(s.Documents(stream)) == 10 })
	hinted := false
	for _, entry := range logs.All() {
		text := entry.Message + canonical(entry.ContextMap())
		hinted = hinted || strings.Contains(text, "unable to authenticate")
		if strings.Contains(text, "wrong-secret") || strings.Contains(text, "i-0000") {
			t.Errorf("%s", text)
		}
	}
	if !hinted {
		t.Error("nobody says what is wrong")
	}
}

func TestAUserWithAPasswordMayWrite(t *testing.T) {
	s := engine(t)
	e, _ := start(t, configured(t, s.URL(sandbox.Elasticsearch), block{"api_key": "", "user": sandbox.DemoSearchUser, "password": sandbox.DemoSearchPassword, "index": "plain"}), nil)
	consume(t, e, usage(0, 10, time.Now()))
	eventually(t, "10 documents", func() bool { return len(s.Documents("plain")) == 10 })
}

func TestRetryAfterIsHeard(t *testing.T) {
	err := later(&keyless.Error{RetryAfter: time.Minute})
	if err == nil || !strings.Contains(err.Error(), "1m0s") {
		t.Errorf("got %v", err)
	}
	if plain := errors.New("other"); !errors.Is(later(plain), plain) {
		t.Error("an error became another")
	}
}

// storage is the stock extension for queues on disk.
func storage(t *testing.T, dir string) host {
	t.Helper()
	factory := filestorage.NewFactory()
	config := factory.CreateDefaultConfig().(*filestorage.Config)
	config.Directory = dir
	e, err := factory.Create(t.Context(), extensiontest.NewNopSettings(factory.Type()), config)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context(), host{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Shutdown(context.Background()) })
	return host{component.MustNewID("file_storage"): e}
}

func TestACrashInTheMiddleLeavesNeitherGapsNorDuplicates(t *testing.T) {
	for _, templates := range []string{"none", "tsds"} {
		s := engine(t)
		dir, after := t.TempDir(), t.TempDir()
		cfg := configured(t, s.URL(sandbox.Elasticsearch), block{"setup": block{"templates": templates}, "sending_queue": block{"storage": "file_storage", "batch": block{"flush_timeout": "5ms"}}})
		e, _ := start(t, cfg, storage(t, dir))
		s.SetItemFault(sandbox.ItemFault{Status: 503, Every: 2})
		for i := range 10 {
			consume(t, e, usage(100*i, 100, time.Now()))
		}
		eventually(t, "some documents", func() bool { return len(s.Documents(stream)) > 100 })
		// A copy of the files at any moment is what a machine finds after it has lost power.
		if err := os.CopyFS(after, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		_ = e.Shutdown(context.Background())
		s.SetItemFault(sandbox.ItemFault{})
		again, _ := start(t, cfg, storage(t, after))
		eventually(t, "1000 documents", func() bool { return len(s.Documents(stream)) >= 1000 })
		_ = again.Shutdown(context.Background())
		if n := once(t, s, stream); n != 1000 {
			t.Errorf("%s: %d documents", templates, n)
		}
	}
}

func TestLogsGoToADataStreamAndEqualLinesAreTwo(t *testing.T) {
	s := engine(t)
	e, err := NewFactory().CreateLogs(t.Context(), exportertest.NewNopSettings(metadata.Type), configured(t, s.URL(sandbox.Elasticsearch), block{"setup": block{"templates": "plain"}}))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context(), host{}); err != nil {
		t.Fatal(err)
	}
	logs := plog.NewLogs()
	records := logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for range 2 {
		record := records.AppendEmpty()
		record.SetTimestamp(1)
		record.SetSeverityText("INFO")
		record.Body().SetStr("hello")
	}
	if err := e.ConsumeLogs(t.Context(), logs); err != nil {
		t.Fatal(err)
	}
	if err := e.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := s.Requests(sandbox.Elasticsearch); n != 1 {
		t.Errorf("%d requests, though templates are for metrics", n)
	}
	docs := s.Documents("logs-generic.otel-default")
	if len(docs) != 2 || docs[0].Source["severity_text"] != "INFO" || canonical(docs[0].Source["body"]) != `{"text":"hello"}` {
		t.Errorf("%v", docs)
	}
}
