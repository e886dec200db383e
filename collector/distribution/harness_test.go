package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

// program is the distribution under test: $COLLECTOR_PROGRAM, or what is built here once.
var program = sync.OnceValues(func() (string, error) {
	if given := os.Getenv("COLLECTOR_PROGRAM"); given != "" {
		return given, nil
	}
	dir, err := os.MkdirTemp("", "keyless-collector")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "keyless-collector")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := program(); err == nil && os.Getenv("COLLECTOR_PROGRAM") == "" {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// missing skips a test for want of a part; where CI is set every part must be there.
func missing(t *testing.T, part, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing: %s", part, why)
	}
	t.Skipf("%s is missing: %s", part, why)
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// newSandbox plays the clouds on sockets of its own.
func newSandbox(t *testing.T, o sandbox.Options) *sandbox.Sandbox {
	t.Helper()
	world := sandbox.Demo()
	world.Host.RoleARN = sandbox.DemoHostARN // it is a machine in AWS as well
	return played(t, world, o)
}

// played is a world on sockets of its own.
func played(t *testing.T, world sandbox.World, o sandbox.Options) *sandbox.Sandbox {
	t.Helper()
	s, err := sandbox.New(world, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func host(address string) string { return address[strings.Index(address, "://")+3:] }

// port counts through those that the system gives to nobody by itself, so that no test takes
// what another was promised.
var port = struct {
	sync.Mutex
	next int
}{next: 20_000 + os.Getpid()%10_000}

// freePort is one that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	port.Lock()
	defer port.Unlock()
	for range 1000 {
		port.next++
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port.next)); err == nil {
			_ = l.Close()
			return port.next
		}
	}
	t.Fatal("no port is free")
	return 0
}

// buffer is what a program says, while it says it.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// collector is a keyless-collector with a state of its own, which outlives its processes.
type collector struct {
	t       *testing.T
	dir     string
	args    []string
	env     []string
	metrics int
	health  int
	log     *buffer
	command *exec.Cmd
	well    time.Time // since when the process is
	wrap    []string  // a command before the program
}

// newCollector has the configurations of files, each over the one before, and over them all
// what every test needs: ports, and a state directory.
func newCollector(t *testing.T, env []string, files ...string) *collector {
	t.Helper()
	c := &collector{t: t, dir: t.TempDir(), metrics: freePort(t), health: freePort(t), log: &buffer{}}
	own := write(t, filepath.Join(c.dir, "own.yaml"), fmt.Sprintf(`
extensions: {health_check: {endpoint: "127.0.0.1:%d"}}
service:
  telemetry:
    metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %d, without_type_suffix: true, without_units: true, without_scope_info: true}}}}]}
`, c.health, c.metrics))
	for _, file := range append(files, own) {
		c.args = append(c.args, "--config", file)
	}
	c.env = append([]string{"PATH=/usr/bin:/bin", "HOME=" + c.dir, "STATE_DIRECTORY=" + filepath.Join(c.dir, "state"), "DEAD_LETTER=" + filepath.Join(c.dir, "dead.jsonl")}, env...)
	t.Cleanup(func() {
		c.kill()
		if t.Failed() {
			text := c.log.String()
			t.Logf("the collector said:\n%s", text[max(0, len(text)-8000):])
		}
	})
	return c
}

// start runs the collector until it says that it is well.
func (c *collector) start() {
	c.t.Helper()
	path, err := program()
	if err != nil {
		c.t.Fatal(err)
	}
	argv := append(append([]string{}, c.wrap...), append([]string{path}, c.args...)...)
	c.command = exec.Command(argv[0], argv[1:]...)
	c.command.Env, c.command.Stdout, c.command.Stderr = c.env, c.log, c.log
	c.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.command.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.await(20*time.Second, "the collector to be well", func() bool {
		answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", c.health))
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	c.well = time.Now()
}

// kill ends it as a crash does.
func (c *collector) kill() {
	if c.command != nil && c.command.Process != nil {
		_ = c.command.Process.Kill()
		_ = c.command.Wait()
		c.command = nil
	}
}

// stop ends it as systemd does, and wants it to take its leave.
func (c *collector) stop() {
	c.t.Helper()
	// It listens to signals a moment after it says that it is well.
	wait(c.t, time.Until(c.well.Add(500*time.Millisecond)))
	_ = c.command.Process.Signal(syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- c.command.Wait() }()
	select {
	case err := <-done:
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			c.t.Errorf("it left with %v", err)
		}
	case <-time.After(30 * time.Second):
		c.t.Error("it did not leave within 30 s")
		c.kill()
	}
	c.command = nil
}

// await polls for what another program does.
func (c *collector) await(within time.Duration, what string, done func() bool) {
	c.t.Helper()
	await(c.t, within, what, done)
}

func await(t *testing.T, within time.Duration, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited %s for %s", within, what)
		case <-tick.C:
		}
	}
}

// onVM is the configuration over a published one that makes a sandbox its Azure: a VM there.
func onVM(t *testing.T, s *sandbox.Sandbox, exporters ...string) string {
	t.Helper()
	return over(t, fmt.Sprintf("source: {managed_identity: {endpoint: %q}}", s.URL(sandbox.IMDS)), s, exporters...)
}

// over replaces where the identity comes from, lets the token go to the sandbox, and makes
// exporters impatient.
func over(t *testing.T, identity string, s *sandbox.Sandbox, exporters ...string) string {
	t.Helper()
	text := fmt.Sprintf("extensions:\n  keyless:\n    %s\n    hosts: [%q, %q]\nexporters:\n", identity, host(s.URL(sandbox.DCE)), host(s.URL(sandbox.Workspace)))
	for _, exporter := range exporters {
		text += "  " + exporter + ":\n    retry_on_failure: {initial_interval: 50ms, max_interval: 500ms}\n"
		if strings.HasPrefix(exporter, "azure_logs") {
			text += "    allow_endpoint: true\n    sending_queue: {batch: {flush_timeout: 200ms}}\n"
		}
	}
	return write(t, filepath.Join(t.TempDir(), "over.yaml"), text)
}

func published(name string) string { return filepath.Join("..", "..", "deploy", "collector", name) }

// azure is the environment that the published configurations read.
func azure(s *sandbox.Sandbox) []string {
	return []string{
		"DCE=" + s.URL(sandbox.DCE), "AMW=" + s.URL(sandbox.Workspace), "DCR=" + sandbox.DemoRuleID, "METRICS_DCR=" + sandbox.DemoMetricsRuleID, "STREAM=" + sandbox.DemoStream,
	}
}

// column is a column of all the rows of a stream.
func column(s *sandbox.Sandbox, stream, name string) map[string]int {
	all := map[string]int{}
	for _, row := range s.Rows(stream) {
		all[fmt.Sprint(row[name])]++
	}
	return all
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
