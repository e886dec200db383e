// Package searchengine runs OpenSearch for tests: a search engine that was not written here, on
// loopback, which can be killed and started again. scripts/parts.sh search installs it.
package searchengine

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
	"strings"
	"syscall"
	"testing"
	"time"
)

// Engine is one that runs. It has no security: whoever asks is answered.
type Engine struct {
	Address string // http://127.0.0.1:PORT

	java    string
	args    []string
	output  bytes.Buffer
	command *exec.Cmd
}

// Document is what the engine has under an id.
type Document struct {
	ID     string         `json:"_id"`
	Source map[string]any `json:"_source"`
}

// MostDocuments is how many of a data stream [Engine.Documents] returns.
const MostDocuments = 10_000

// Start runs an engine until the test ends. root is the top of the repository. Where the part is
// not installed the test is skipped, or fails if it is needed.
func Start(tb testing.TB, root string, needed bool) *Engine {
	tb.Helper()
	jars, err := filepath.Abs(filepath.Join(root, ".tools", "search"))
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(jars, "classes", "Engine.class")); err != nil {
		missing(tb, needed, jars+": scripts/parts.sh search")
	}
	java, err := exec.LookPath("java")
	if err != nil {
		missing(tb, needed, err.Error())
	}
	port := freePort(tb)
	e := &Engine{Address: "http://127.0.0.1:" + port, java: java, args: []string{
		"-Xmx384m", "-XX:+UseSerialGC", "-cp", filepath.Join(jars, "classes") + ":" + filepath.Join(jars, "*"), "Engine", tb.TempDir(), port,
	}}
	e.run(tb)
	tb.Cleanup(func() {
		e.kill()
		if tb.Failed() {
			tb.Logf("the search engine said at the end:\n%s", e.output.Bytes()[max(0, e.output.Len()-4000):])
		}
	})
	return e
}

func missing(tb testing.TB, needed bool, why string) {
	tb.Helper()
	if needed {
		tb.Fatalf("the search engine is missing: %s", why)
	}
	tb.Skipf("the search engine is missing: %s", why)
}

func freePort(tb testing.TB) string {
	tb.Helper()
	listener, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	return port
}

// run starts the program, and waits until it answers.
func (e *Engine) run(tb testing.TB) {
	tb.Helper()
	e.command = exec.CommandContext(context.Background(), e.java, e.args...) //nolint:gosec // Java, as it was found
	e.command.Env, e.command.Stdout, e.command.Stderr = []string{"PATH=/usr/bin:/bin"}, &e.output, &e.output
	e.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := e.command.Start(); err != nil {
		tb.Fatal(err)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(90 * time.Second); e.Ask(http.MethodGet, "/", "")["tagline"] == nil; <-tick.C {
		if time.Now().After(end) {
			tb.Fatal("in vain: the search engine")
		}
	}
}

func (e *Engine) kill() {
	_ = e.command.Process.Kill()
	_ = e.command.Wait()
}

// Restart gives the engine no time for anything, and starts it again on what is on its disk.
func (e *Engine) Restart(tb testing.TB) {
	tb.Helper()
	e.kill()
	e.run(tb)
}

// Ask returns the answer of the engine, or nothing while there is none.
func (e *Engine) Ask(method, path, body string) map[string]any {
	var answer map[string]any
	_ = e.ask(method, path, body, &answer)
	return answer
}

func (e *Engine) ask(method, path, body string, into any) error {
	r, err := http.NewRequestWithContext(context.Background(), method, e.Address+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	client := http.Client{Timeout: time.Minute}
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// Count is how many documents an index or data stream has, those of this moment included.
func (e *Engine) Count(stream string) int {
	e.Ask(http.MethodPost, "/"+stream+"/_refresh", "")
	n, _ := e.Ask(http.MethodGet, "/"+stream+"/_count", "")["count"].(float64)
	return int(n)
}

// Documents are all of an index or data stream, none while the engine does not answer. More than
// [MostDocuments] fail the test.
func (e *Engine) Documents(tb testing.TB, stream string) []Document {
	tb.Helper()
	if n := e.Count(stream); n > MostDocuments {
		tb.Fatalf("%s has %d documents", stream, n)
	}
	var answer struct {
		Hits struct {
			Hits []Document `json:"hits"`
		} `json:"hits"`
	}
	path := fmt.Sprintf("/%s/_search?size=%d", stream, MostDocuments)
	if e.ask(http.MethodPost, path, `{"sort":["_doc"]}`, &answer) != nil {
		return nil
	}
	return answer.Hits.Hits
}
