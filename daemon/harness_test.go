package daemon_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyless-id/keyless/daemon"
	"github.com/keyless-id/keyless/internal/filecache"
	"github.com/keyless-id/keyless/profile"
	"github.com/keyless-id/keyless/sandbox"
)

// lines is a log that tests read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// world is a daemon with the far sides and the folder that it works in.
type world struct {
	*sandbox.Sandbox
	dir    string
	config string // path of the file
	listen string
	imds   string
	client *http.Client

	daemon    *daemon.Daemon
	watchdog  time.Duration
	proxyOnly func() (*profile.Config, error) // what such a daemon reads
	audit     *lines
	log       *lines
	states    *lines // what systemd is told
	reload    chan os.Signal
	stop      context.CancelFunc
	ended     chan error
}

// profiles are of the world that the sandbox plays.
const profiles = `
profiles:
  vm: { source: { managed_identity: {} }, audience: "` + sandbox.DemoAudience + `", aws: { role_arn: "` + sandbox.DemoRoleARN + `", region: us-east-1 } }
  chained: { source: { managed_identity: {} }, audience: "` + sandbox.DemoAudience + `", aws: { role_arn: "` + sandbox.DemoRoleARN + `", region: us-east-1, chain: [ "` + sandbox.DemoChainedARN + `" ] } }
  stranger: { source: { managed_identity: {} }, audience: "` + sandbox.DemoAudience + `", aws: { role_arn: "` + sandbox.DemoOtherARN + `", region: us-east-1 } }
  plain: { source: { managed_identity: {} }, audience: "` + sandbox.DemoAudience + `" }
`

// given are the ports that tests have been given already.
var given sync.Map

// freePort is one that nobody listens on, below those that the system gives to whoever
// connects.
func freePort(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(10_000))
		if _, taken := given.LoadOrStore(address, true); taken {
			continue
		}
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("there is no free port")
	return ""
}

// newWorld plays the far sides; nothing serves yet.
func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := sandbox.New(sandbox.Demo(), sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	dir := t.TempDir()
	return &world{
		Sandbox: s, dir: dir, config: filepath.Join(dir, "keyless.yaml"), listen: freePort(t), imds: freePort(t),
		client: &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second},
		reload: make(chan os.Signal), audit: &lines{}, log: &lines{}, states: &lines{},
	}
}

func (w *world) getenv(name string) string {
	for _, variable := range append(w.Env(), "XDG_RUNTIME_DIR="+w.dir) {
		if value, ok := strings.CutPrefix(variable, name+"="); ok {
			return value
		}
	}
	return ""
}

// write sets the part of the configuration that is the daemon's, in which LISTEN, IMDS
// and DIR stand for what they are here.
func (w *world) write(t *testing.T, serve string) {
	t.Helper()
	text := profiles + strings.NewReplacer("LISTEN", w.listen, "IMDS", w.imds, "DIR", w.dir).Replace(serve)
	if err := os.WriteFile(w.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// start runs the daemon until the test ends, or stop is called.
func (w *world) start(t *testing.T) {
	t.Helper()
	w.startWithoutWaiting(t)
	w.until(t, "it serves", func() bool { return strings.Contains(w.states.String(), "READY=1") })
}

func (w *world) startWithoutWaiting(t *testing.T) {
	t.Helper()
	cache, err := filecache.Open([]string{filepath.Join(w.dir, "cache")})
	if err != nil {
		t.Fatal(err)
	}
	w.daemon = &daemon.Daemon{
		Read:   func() (*profile.Config, error) { return profile.Read(w.config) },
		Getenv: w.getenv, Memory: profile.Memory{Cache: cache, Warn: func(err error) { _, _ = fmt.Fprintln(w.log, err) }},
		Audit: slog.New(slog.NewJSONHandler(w.audit, nil)), Log: slog.New(slog.NewTextHandler(w.log, nil)), Version: "test",
		Notify: func(state string) { _, _ = fmt.Fprintln(w.states, state) }, Watchdog: w.watchdog,
	}
	if w.proxyOnly != nil {
		w.daemon.ProxyOnly, w.daemon.Read = true, w.proxyOnly
	}
	ctx, stop := context.WithCancel(context.Background())
	w.stop, w.ended = stop, make(chan error, 1)
	go func() { w.ended <- w.daemon.Run(ctx, w.reload) }()
	t.Cleanup(func() { w.end(t) })
}

// gone has the daemon's error once it has ended; nobody else is told of it.
func (w *world) gone(t *testing.T) <-chan error {
	t.Helper()
	told := make(chan error, 1)
	select {
	case err := <-w.ended:
		told <- err
		w.ended <- nil
	case <-time.After(30 * time.Second):
		t.Fatal("the daemon goes on")
	}
	return told
}

// end stops the daemon, as SIGTERM does.
func (w *world) end(t *testing.T) {
	t.Helper()
	w.stop()
	select {
	case err := <-w.ended:
		w.ended <- nil // for who ends it again
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the daemon does not end")
	}
}

// until waits for something that is about to happen.
func (w *world) until(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never happens that %s\n%s\n%s", what, w.log, w.states)
		}
		select {
		case err := <-w.ended:
			w.ended <- err
			t.Fatalf("the daemon has ended: %v\n%s", err, w.log)
		default:
		}
	}
}

// again makes the daemon read its configuration, and waits until it has.
func (w *world) again(t *testing.T) {
	t.Helper()
	before := strings.Count(w.states.String(), "READY=1")
	w.reload <- os.Interrupt
	w.until(t, "the configuration is read again", func() bool { return strings.Count(w.states.String(), "READY=1") > before })
}

// token is what the clients of a profile have read.
func (w *world) token(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(w.dir, "run", "tokens", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// ask sends a GET, with a header or without.
func (w *world) ask(t *testing.T, url string, header ...string) (int, string) {
	t.Helper()
	return w.send(t, http.MethodGet, url, header...)
}

func (w *world) send(t *testing.T, method, url string, header ...string) (int, string) {
	t.Helper()
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(header) == 2 {
		request.Header.Set(header[0], header[1])
	}
	answer, err := w.client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err.Error()
	}
	return answer.StatusCode, string(body)
}

func (w *world) credentials(t *testing.T, name string) (int, string) {
	t.Helper()
	return w.ask(t, "http://"+w.listen+"/v1/credentials/"+name, "Authorization", w.token(t, name))
}

func (w *world) socket() daemon.Client {
	return daemon.Client{Socket: filepath.Join(w.dir, "run", daemon.SocketName)}
}

// requests counts what a far side was asked.
func (w *world) requests(hop sandbox.Hop) int {
	n := 0
	for _, e := range w.Log() {
		if e.Hop == hop && e.Op != "fault" {
			n++
		}
	}
	return n
}
