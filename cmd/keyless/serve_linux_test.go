package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// told is what the daemon tells systemd.
type told struct {
	mu   sync.Mutex
	text string
}

func listenForNotices(t *testing.T, path string) *told {
	t.Helper()
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	all := &told{}
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := socket.Read(buffer)
			if err != nil {
				return
			}
			all.mu.Lock()
			all.text += string(buffer[:n]) + "\n"
			all.mu.Unlock()
		}
	}()
	return all
}

func (n *told) count(word string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Count(n.text, word)
}

func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never happens that %s", what)
		}
	}
}

// The daemon as systemd starts it: with sockets that are open already, a place to tell how
// it is, and a watchdog.
func TestTheDaemonUnderSystemd(t *testing.T) {
	g, err := newPlayground(filepath.Join(t.TempDir(), "play"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.remove() })
	dir := t.TempDir()
	notices := listenForNotices(t, filepath.Join(dir, "notify"))
	wanted, spare := listenFile(t), listenFile(t)
	config := strings.Replace(g.config(), "profiles:", "serve: { listen: \""+wanted.address+"\", profiles: [ vm ] }\nprofiles:", 1)
	if err := os.WriteFile(filepath.Join(dir, "keyless.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(dir, "keyless") // by this name the tests are the program
	if err := os.Symlink(must(os.Executable()), exe); err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "sh", "-c", `LISTEN_PID=$$ WATCHDOG_PID=$$ exec "$@"`, "sh", exe, "serve", "--config", filepath.Join(dir, "keyless.yaml"))
	command.Env = append(os.Environ(), g.env...)
	command.Env = append(command.Env, "LISTEN_FDS=2", "NOTIFY_SOCKET="+filepath.Join(dir, "notify"), "WATCHDOG_USEC=200000", "RUNTIME_DIRECTORY="+filepath.Join(dir, "run"))
	command.ExtraFiles = []*os.File{wanted.file, spare.file}
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is ready", func() bool { return notices.count("READY=1") == 1 })
	answer, err := http.Get("http://" + wanted.address + "/readyz")
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("the socket that was open: %v, %v", answer, err)
	} else {
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
	}
	eventually(t, "the watchdog hears of it", func() bool { return notices.count("WATCHDOG=1") >= 3 })
	if limits, err := os.ReadFile("/proc/" + strconv.Itoa(command.Process.Pid) + "/limits"); err != nil || !noCoreDumps(string(limits)) { // item 19
		t.Errorf("it may dump core: %v\n%s", err, limits)
	}
	_ = command.Process.Signal(syscall.SIGHUP)
	eventually(t, "it has read its configuration again", func() bool { return notices.count("READY=1") == 2 && notices.count("RELOADING=1") == 1 })
	_ = command.Process.Signal(syscall.SIGTERM)
	if err := command.Wait(); err != nil || notices.count("STOPPING=1") != 1 {
		t.Errorf("%v\n%s", err, output.String())
	}
	if !strings.Contains(output.String(), "none of the configuration's") {
		t.Errorf("nobody was told of the socket that nobody wants\n%s", output.String())
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// open is a socket as systemd hands it over.
type open struct {
	file    *os.File
	address string
}

func listenFile(t *testing.T) open {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	address := listener.Addr().String()
	_ = listener.Close()
	return open{file, address}
}

func noCoreDumps(limits string) bool {
	for line := range strings.Lines(limits) {
		if fields := strings.Fields(line); strings.HasPrefix(line, "Max core file size") {
			return fields[4] == "0" && fields[5] == "0"
		}
	}
	return false
}
