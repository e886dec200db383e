package interop_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

// Agents that can POST, and know of no cloud, send logs to the Logs Ingestion API.

const toDCE = `{ path: /logs, upstream: "DCE", profile: monitor }`

// logging is a sandbox with a keyless before its receiver of logs.
func logging(t *testing.T) *shipment {
	t.Helper()
	s := &shipment{kind: sandbox.HostVM}
	var err error
	if s.Sandbox, err = sandbox.New(sandbox.Demo(), sandbox.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	s.keyless = s.agent(t, toDCE)
	s.keyless.start(t)
	return s
}

// messages are those of the rows that arrived, in order.
func (s *shipment) messages() []string {
	var all []string
	for _, row := range s.Rows(sandbox.DemoStream) {
		all = append(all, fmt.Sprint(row["Message"]))
	}
	return slices.Sorted(slices.Values(all))
}

func TestCurlPostsLogs(t *testing.T) {
	s := logging(t)
	curl := installed(t, "curl", "/usr/bin/curl")
	post := func(body string, more ...string) result {
		t.Helper()
		args := append([]string{"-sS", "-o", "-", "-w", "%{http_code}", "-H", "Content-Type: application/json", "--data-binary", body}, more...)
		return run(t, bareEnvironment(t), curl, append(args, s.keyless.url+"/logs")...)
	}
	row := func(text string) string {
		return fmt.Sprintf(`[{"TimeGenerated":%q,"Message":%q}]`, time.Now().UTC().Format(time.RFC3339), text)
	}
	if got := post(row("by curl")); got.stdout != "204" {
		t.Errorf("%+v", got)
	}
	packed := filepath.Join(t.TempDir(), "rows.json.gz")
	if got := run(t, bareEnvironment(t), "/bin/sh", "-c", `printf %s "$1" | gzip > "$2"`, "sh", row("packed"), packed); got.code != 0 {
		t.Fatalf("%+v", got)
	}
	if got := post("@"+packed, "-H", "Content-Encoding: gzip", "-H", "Transfer-Encoding: chunked"); got.stdout != "204" {
		t.Errorf("%+v", got)
	}
	if got := s.messages(); !slices.Equal(got, []string{"by curl", "packed"}) {
		t.Errorf("arrived: %q", got)
	}
	// What is wrong for good is said, with the service's own words, and is no 503.
	if got := post(`[{"TimeGenerated":`); !strings.HasSuffix(got.stdout, "400") || !strings.Contains(got.stdout, "ContentDeserializationError") {
		t.Errorf("%+v", got)
	}
	long := filepath.Join(t.TempDir(), "long.json")
	write(t, long, row(strings.Repeat("x", 1<<20)))
	if got := post("@" + long); !strings.HasSuffix(got.stdout, "413") {
		t.Errorf("%.200s", got.stdout)
	}
	if n := len(s.messages()); n != 2 {
		t.Errorf("%d rows", n)
	}
	text := post(row("x"), "-v").stderr
	if strings.Contains(text, "eyJ") {
		t.Error("the client gets to see a token")
	}
}

// syslogNG starts Debian's syslog-ng, which posts the lines of a file.
func syslogNG(t *testing.T, file, url string) *lockedBuffer {
	t.Helper()
	program := installed(t, "Debian's syslog-ng", "debian/syslog-ng/usr/sbin/syslog-ng")
	root, dir := strings.TrimSuffix(program, "/usr/sbin/syslog-ng"), t.TempDir()
	config := filepath.Join(dir, "syslog-ng.conf")
	write(t, config, fmt.Sprintf(`@version: 3.35
source lines { file(%q flags(no-parse) follow-freq(0.2)); };
destination keyless { http(
  url(%q) method("POST") headers("Content-Type: application/json")
  body-prefix("[") delimiter(",") body-suffix("]") body('$(format-json TimeGenerated="${ISODATE}" Message="${MESSAGE}")')
  batch-lines(20) batch-timeout(200) retries(1000)
); };
options { time-reopen(1); };
log { source(lines); destination(keyless); };
`, file, url))
	command := exec.Command(program, "--foreground", "--stderr", "--no-caps", "--cfgfile="+config, "--persist-file="+filepath.Join(dir, "persist"),
		"--control="+filepath.Join(dir, "control"), "--pidfile="+filepath.Join(dir, "pid"), "--module-path="+modules(t, root))
	log := &lockedBuffer{}
	command.Env = bareEnvironment(t).with(environment{"LD_LIBRARY_PATH": strings.Join(libraries(t, root), ":")}).list()
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = command.Process.Kill(), command.Wait()
		if t.Failed() {
			t.Logf("syslog-ng said:\n%s", log)
		}
	})
	return log
}

// libraries are the folders below root that have some.
func libraries(t *testing.T, root string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.Contains(entry.Name(), ".so") && !slices.Contains(all, filepath.Dir(path)) {
			all = append(all, filepath.Dir(path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func modules(t *testing.T, root string) string {
	t.Helper()
	for _, dir := range libraries(t, root) {
		if _, err := os.Stat(filepath.Join(dir, "libhttp.so")); err == nil {
			return dir
		}
	}
	missing(t, "Debian's syslog-ng", "it has no module for http")
	return ""
}

func TestSyslogNGPostsLogsThroughThickAndThin(t *testing.T) {
	s := logging(t)
	file := filepath.Join(t.TempDir(), "app.log")
	write(t, file, "")
	syslogNG(t, file, s.keyless.url+"/logs")
	var want []string
	say := func(n int) {
		t.Helper()
		log, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			want = append(want, fmt.Sprintf("line %04d", len(want)))
			_, err = fmt.Fprintln(log, want[len(want)-1])
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	arrived := func() bool { return slices.Equal(slices.Compact(s.messages()), want) }
	say(50)
	eventually(t, "50 lines arrive", arrived)
	for _, status := range []int{401, 403, 408, 429, 503} {
		before := s.Requests(sandbox.DCE)
		s.SetFault(sandbox.DCE, sandbox.Fault{Status: status, RetryAfter: time.Second, For: time.Second})
		say(50)
		eventually(t, "the fault is met", func() bool { return s.Requests(sandbox.DCE) > before })
		eventually(t, fmt.Sprintf("all %d lines arrive after %d", len(want), status), arrived)
	}
	s.keyless.kill()
	say(50)
	time.Sleep(time.Second)
	s.keyless.start(t)
	eventually(t, "all lines arrive after a restart", arrived)
}
