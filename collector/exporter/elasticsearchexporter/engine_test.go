package elasticsearchexporter

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/extension/extensiontest"

	"github.com/keyless-id/keyless/collector/extension/filestorageextension"
	"github.com/keyless-id/keyless/collector/internal/searchengine"
)

// A search engine that was not written here takes what the exporter writes. It is OpenSearch:
// Elasticsearch does not publish the module of its data streams as a jar.

const (
	loads        = 200 // that the sender takes in
	perLoad      = 20  // documents of each
	senderFolder = "KEYLESS_TEST_SENDER"
	senderEngine = "KEYLESS_TEST_ENGINE"
)

// program is one that can be killed and started again.
type program struct {
	path    string
	args    []string
	env     []string
	output  bytes.Buffer
	command *exec.Cmd
}

func (p *program) start(t *testing.T) {
	t.Helper()
	p.command = exec.CommandContext(context.Background(), p.path, p.args...)
	p.command.Env, p.command.Stdout, p.command.Stderr = p.env, &p.output, &p.output
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
}

// kill gives the program no time for anything.
func (p *program) kill() {
	_ = p.command.Process.Kill()
	_ = p.command.Wait()
}

func (p *program) restart(t *testing.T) {
	t.Helper()
	p.kill()
	p.start(t)
}

// documents are all of them, by their ids: how often each is there, and what it says.
func documents(t *testing.T, e *searchengine.Engine) (counts map[string]int, sources map[string]string) {
	t.Helper()
	counts, sources = map[string]int{}, map[string]string{}
	for _, d := range e.Documents(t, stream) {
		counts[d.ID]++
		sources[d.ID] = canonical(d.Source)
	}
	return counts, sources
}

// within waits longer than eventually: an engine takes its time to start.
func within(t *testing.T, wait time.Duration, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(wait); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if done() {
			return
		}
	}
	t.Fatalf("in vain: %s", what)
}

// loadTime is that of a load; the same whenever it is sent.
func loadTime(n int) time.Time { return demoTime().Add(time.Duration(n) * 5 * time.Minute) }

// TestSender is no test, but the program that TestARealEngineHasEachDocumentOnce kills.
func TestSender(t *testing.T) {
	dir := os.Getenv(senderFolder)
	if dir == "" {
		return
	}
	factory := filestorageextension.NewFactory()
	config := factory.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(block{"directory": dir}).Unmarshal(config); err != nil {
		t.Fatal(err)
	}
	disk, err := factory.Create(t.Context(), extensiontest.NewNopSettings(factory.Type()), config)
	if err != nil {
		t.Fatal(err)
	}
	at := host{component.MustNewID("file_storage"): disk}
	if err := disk.Start(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	cfg := configured(t, os.Getenv(senderEngine), block{
		"api_key": "", "setup": block{"templates": "plain"}, "sending_queue": block{"storage": "file_storage", "batch": block{"flush_timeout": "20ms"}},
	})
	e, _ := start(t, cfg, at)
	done := filepath.Join(dir, "done")
	text, _ := os.ReadFile(done)
	first, _ := strconv.Atoi(string(text))
	for n := first; n < loads; n++ {
		consume(t, e, usage(0, perLoad, loadTime(n)))
		if err := os.WriteFile(done, []byte(strconv.Itoa(n+1)), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(time.Hour) // until it is killed
}

func TestARealEngineHasEachDocumentOnceWhateverIsKilled(t *testing.T) {
	e := searchengine.Start(t, filepath.Join("..", "..", ".."), os.Getenv("INTEROP_SLOW") != "")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sender := &program{path: self, args: []string{"-test.run=^TestSender$", "-test.timeout=10m"}, env: append(os.Environ(), senderFolder+"="+dir, senderEngine+"="+e.Address)}
	sender.start(t)
	t.Cleanup(func() {
		sender.kill()
		if t.Failed() {
			t.Logf("%s", sender.output.Bytes()[max(0, sender.output.Len()-4000):])
		}
	})
	for _, part := range []int{1, 2, 3} {
		within(t, time.Minute, "some documents", func() bool { return e.Count(stream) >= part*loads*perLoad/8 })
		sender.restart(t)
	}
	// A 409 does not say that the document is on the disk: the request that brought it may be
	// waiting for that. If the engine is killed then, both the document and the word are lost.
	e.Ask(http.MethodPost, "/"+stream+"/_flush", "")
	e.Restart(t)
	within(t, 90*time.Second, "the engine once more", func() bool { return e.Count(stream) > 0 })
	sender.restart(t)
	within(t, 2*time.Minute, fmt.Sprintf("%d documents", loads*perLoad), func() bool { return e.Count(stream) >= loads*perLoad })
	wantAsSent(t, e)
}

// wantAsSent compares what is queried with what was sent.
func wantAsSent(t *testing.T, e *searchengine.Engine) {
	t.Helper()
	counts, sources := documents(t, e)
	if len(counts) != loads*perLoad {
		t.Errorf("%d documents, want %d", len(counts), loads*perLoad)
	}
	for n := range loads {
		for _, d := range shaped(t, usage(0, perLoad, loadTime(n)), nil) {
			var source any
			if err := json.Unmarshal(d.Source, &source); err != nil {
				t.Fatal(err)
			}
			if counts[d.ID] != 1 || sources[d.ID] != canonical(source) {
				t.Fatalf("%d times %s:\ngot  %s\nsent %s", counts[d.ID], d.ID, sources[d.ID], d.Source)
			}
		}
	}
}
