package elasticsearchexporter

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/extension/extensiontest"

	"github.com/keyless-id/keyless/collector/extension/filestorageextension"
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

// missing skips the test for want of a part. In the slow tier every part must be there.
func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("INTEROP_SLOW") != "" {
		t.Fatalf("the search engine is missing: %s", why)
	}
	t.Skipf("the search engine is missing: %s", why)
}

// searchEngine is what scripts/parts.sh search installs.
type searchEngine struct {
	*program
	address string
}

func newSearchEngine(t *testing.T) *searchEngine {
	t.Helper()
	jars, err := filepath.Abs(filepath.Join("..", "..", "..", ".tools", "search"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(jars, "classes", "Engine.class")); err != nil {
		missing(t, jars+": scripts/parts.sh search")
	}
	java, err := exec.LookPath("java")
	if err != nil {
		missing(t, err.Error())
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	_ = listener.Close()
	args := []string{"-Xmx384m", "-XX:+UseSerialGC", "-cp", filepath.Join(jars, "classes") + ":" + filepath.Join(jars, "*"), "Engine", t.TempDir(), port}
	e := &searchEngine{&program{path: java, args: args, env: []string{"PATH=/usr/bin:/bin"}}, "http://127.0.0.1:" + port}
	e.start(t)
	t.Cleanup(func() {
		e.kill()
		if t.Failed() {
			t.Logf("%s", e.output.Bytes()[max(0, e.output.Len()-4000):])
		}
	})
	return e
}

// ask returns the answer of the engine, or nothing while there is none.
func (e *searchEngine) ask(method, path, body string) map[string]any {
	r, err := http.NewRequestWithContext(context.Background(), method, e.address+path, strings.NewReader(body))
	if err != nil {
		return nil
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil
	}
	defer func() { _ = response.Body.Close() }()
	text, _ := io.ReadAll(response.Body)
	var answer map[string]any
	_ = json.Unmarshal(text, &answer)
	return answer
}

func (e *searchEngine) count() int {
	e.ask(http.MethodPost, "/"+stream+"/_refresh", "")
	n, _ := e.ask(http.MethodGet, "/"+stream+"/_count", "")["count"].(float64)
	return int(n)
}

// documents are all of them, by their ids: how often each is there, and what it says.
func (e *searchEngine) documents(t *testing.T) (counts map[string]int, sources map[string]string) {
	t.Helper()
	hits, _ := e.ask(http.MethodPost, "/"+stream+"/_search?size=10000", `{"sort":["_doc"]}`)["hits"].(map[string]any)
	all, _ := hits["hits"].([]any)
	counts, sources = map[string]int{}, map[string]string{}
	for _, one := range all {
		hit := one.(map[string]any)
		id := hit["_id"].(string)
		counts[id]++
		sources[id] = canonical(hit["_source"])
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
		t.Skip("only as a program of its own")
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
	e := newSearchEngine(t)
	within(t, 90*time.Second, "the engine", func() bool { return e.ask(http.MethodGet, "/", "")["tagline"] != nil })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sender := &program{path: self, args: []string{"-test.run=^TestSender$", "-test.timeout=10m"}, env: append(os.Environ(), senderFolder+"="+dir, senderEngine+"="+e.address)}
	sender.start(t)
	t.Cleanup(func() {
		sender.kill()
		if t.Failed() {
			t.Logf("%s", sender.output.Bytes()[max(0, sender.output.Len()-4000):])
		}
	})
	for _, part := range []int{1, 2, 3} {
		within(t, time.Minute, "some documents", func() bool { return e.count() >= part*loads*perLoad/8 })
		sender.restart(t)
	}
	// A 409 does not say that the document is on the disk: the request that brought it may be
	// waiting for that. If the engine is killed then, both the document and the word are lost.
	e.ask(http.MethodPost, "/"+stream+"/_flush", "")
	e.restart(t)
	within(t, 90*time.Second, "the engine once more", func() bool { return e.count() > 0 })
	sender.restart(t)
	within(t, 2*time.Minute, fmt.Sprintf("%d documents", loads*perLoad), func() bool { return e.count() >= loads*perLoad })
	wantAsSent(t, e)
}

// wantAsSent compares what is queried with what was sent.
func wantAsSent(t *testing.T, e *searchEngine) {
	t.Helper()
	counts, sources := e.documents(t)
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
