package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

// The loss table: what happens to the lines of a file while the clouds, the program and the
// disk fail. Times are compressed: half an hour without a role is three seconds here, with
// waits between tries that are as much shorter.

// tailing is the configuration of a Collector that follows a file.
const tailing = `
extensions:
  health_check: {}
  keyless: {scope: https://monitor.azure.com/.default}
receivers:
  file_log: {include: [%q], start_at: beginning, poll_interval: 50ms}
exporters:
  azure_logs_ingestion:
    endpoint: ${env:DCE}
    dcr: ${env:DCR}
    stream: ${env:STREAM}
    auth: {authenticator: keyless}
    body: {column: Message}
    dead_letter: {path: "${env:DEAD_LETTER}"}
service:
  extensions: [health_check, keyless]
  pipelines: {logs: {receivers: [file_log], exporters: [azure_logs_ingestion]}}
`

// run is one story of a file.
type story struct {
	*collector
	sandbox *sandbox.Sandbox
	file    *os.File
	lines   int
	killed  int
}

func newStory(t *testing.T) *story {
	t.Helper()
	s := newSandbox(t, sandbox.Options{})
	path := filepath.Join(t.TempDir(), "app.log")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	config := write(t, filepath.Join(t.TempDir(), "tail.yaml"), fmt.Sprintf(tailing, path))
	return &story{collector: newCollector(t, azure(s), config, onVM(t, s, "azure_logs_ingestion")), sandbox: s, file: file}
}

// write appends lines, each with its number.
func (s *story) write(n int) {
	s.t.Helper()
	for range n {
		if _, err := fmt.Fprintf(s.file, "line-%06d %s\n", s.lines, "some text that a program might write"); err != nil {
			s.t.Fatal(err)
		}
		s.lines++
	}
}

// again ends the program as a crash does, and starts it.
func (s *story) again() {
	s.t.Helper()
	s.kill()
	s.killed++
	s.start()
}

// arrived counts how often each line did.
func (s *story) arrived() map[int]int {
	seen := map[int]int{}
	for _, row := range s.sandbox.Rows(sandbox.DemoStream) {
		if text, ok := row["Message"].(string); ok && len(text) > 11 {
			if n, err := strconv.Atoi(text[5:11]); err == nil {
				seen[n]++
			}
		}
	}
	return seen
}

// conclude waits for the rest, and returns how many lines came twice.
func (s *story) conclude() (twice int) {
	s.t.Helper()
	defer func() {
		if s.t.Failed() {
			s.t.Logf("%d of %d lines, %d rows", len(s.arrived()), s.lines, s.sandbox.RowCount(sandbox.DemoStream))
		}
	}()
	s.await(90*time.Second, fmt.Sprintf("%d lines", s.lines), func() bool { return s.sandbox.RowCount(sandbox.DemoStream) >= s.lines && len(s.arrived()) == s.lines })
	s.stop()
	for line, times := range s.arrived() {
		if line >= s.lines {
			s.t.Errorf("line %d was never written", line)
		}
		twice += times - 1
	}
	if dead, err := os.ReadFile(filepath.Join(s.dir, "dead.jsonl")); err == nil && len(dead) > 0 {
		s.t.Errorf("rows were given up: %.500s", dead)
	}
	return twice
}

func TestNothingIsLostAndNothingTwiceWithoutACrash(t *testing.T) {
	for _, trouble := range []struct {
		name  string
		hop   sandbox.Hop
		fault sandbox.Fault
	}{
		{"403 until a role is in force", sandbox.DCE, sandbox.Fault{Status: http.StatusForbidden, For: 3 * time.Second}},
		{"401", sandbox.DCE, sandbox.Fault{Status: http.StatusUnauthorized, For: 2 * time.Second}},
		{"404", sandbox.DCE, sandbox.Fault{Status: http.StatusNotFound, For: 2 * time.Second}},
		{"408", sandbox.DCE, sandbox.Fault{Status: http.StatusRequestTimeout, Times: 5}},
		{"413", sandbox.DCE, sandbox.Fault{Status: http.StatusRequestEntityTooLarge, Times: 3}},
		{"429", sandbox.DCE, sandbox.Fault{Status: http.StatusTooManyRequests, RetryAfter: time.Second, Times: 3}},
		{"500", sandbox.DCE, sandbox.Fault{Status: http.StatusInternalServerError, For: 2 * time.Second}},
		{"503", sandbox.DCE, sandbox.Fault{Status: http.StatusServiceUnavailable, RetryAfter: time.Second, For: 2 * time.Second}},
		{"a reset before anything was read", sandbox.DCE, sandbox.Fault{Reset: true, For: 2 * time.Second}},
		{"no token", sandbox.IMDS, sandbox.Fault{Status: http.StatusServiceUnavailable, For: 4 * time.Second}},
	} {
		t.Run(trouble.name, func(t *testing.T) {
			t.Parallel()
			s := newStory(t)
			if trouble.hop == sandbox.IMDS { // the program has no token yet
				s.sandbox.SetFault(trouble.hop, trouble.fault)
			}
			s.start()
			s.write(500)
			if trouble.hop == sandbox.DCE {
				s.sandbox.SetFault(trouble.hop, trouble.fault)
			}
			s.write(1500)
			if twice := s.conclude(); twice != 0 {
				t.Errorf("%d lines came twice", twice)
			}
		})
	}
}

// An answer that is lost on its way makes the sender send again: those rows, and no others,
// come twice.
func TestAnAnswerThatIsLostCostsItsOwnRowsOnly(t *testing.T) {
	s := newStory(t)
	s.start()
	s.write(1000)
	s.await(20*time.Second, "the first thousand", func() bool { return s.sandbox.RowCount(sandbox.DemoStream) == 1000 })
	s.sandbox.SetFault(sandbox.DCE, sandbox.Fault{Truncate: true, Times: 1})
	s.write(1000)
	s.await(20*time.Second, "the second thousand, and once more what had no answer", func() bool { return s.sandbox.RowCount(sandbox.DemoStream) > 2000 })
	if twice := s.conclude(); twice == 0 || twice > 1000 {
		t.Errorf("%d lines came twice", twice)
	}
}

func TestFiveKillsLoseNothing(t *testing.T) {
	s := newStory(t)
	s.start()
	for range 5 {
		s.write(600)
		wait(t, rand.N(400*time.Millisecond))
		s.again()
	}
	if twice := s.conclude(); twice > 5*600 {
		t.Errorf("%d lines came twice", twice)
	}
}

func wait(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}

// troubles are what a schedule draws from.
var troubles = []struct {
	hop   sandbox.Hop
	fault sandbox.Fault
}{
	{sandbox.DCE, sandbox.Fault{Status: http.StatusForbidden}},
	{sandbox.DCE, sandbox.Fault{Status: http.StatusUnauthorized}},
	{sandbox.DCE, sandbox.Fault{Status: http.StatusRequestEntityTooLarge, Times: 2}},
	{sandbox.DCE, sandbox.Fault{Status: http.StatusTooManyRequests, RetryAfter: time.Second}},
	{sandbox.DCE, sandbox.Fault{Status: http.StatusInternalServerError}},
	{sandbox.DCE, sandbox.Fault{Status: http.StatusServiceUnavailable}},
	{sandbox.DCE, sandbox.Fault{Reset: true}},
	{sandbox.DCE, sandbox.Fault{Truncate: true, Times: 1}},
	{sandbox.DCE, sandbox.Fault{Delay: 300 * time.Millisecond}},
	{sandbox.IMDS, sandbox.Fault{Status: http.StatusServiceUnavailable}},
	{sandbox.IMDS, sandbox.Fault{Reset: true}},
}

// TestRandomSchedulesLoseNothing runs $LOSS_SCHEDULES schedules, each from a seed that its
// name says.
func TestRandomSchedulesLoseNothing(t *testing.T) {
	count := 3
	if os.Getenv("INTEROP_SLOW") != "" {
		count = 40
	}
	if given, err := strconv.Atoi(os.Getenv("LOSS_SCHEDULES")); err == nil {
		count = given
	}
	first := uint64(time.Now().UnixNano())
	if given, err := strconv.ParseUint(os.Getenv("LOSS_SEED"), 10, 64); err == nil {
		first = given
	}
	for i := range count {
		seed := first + uint64(i)
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			schedule(t, rand.New(rand.NewPCG(seed, 0)))
		})
	}
}

// schedule is a dozen of events in a random order, at random times.
func schedule(t *testing.T, random *rand.Rand) {
	s := newStory(t)
	s.start()
	flying, crashes := 0, 0
	for range 6 + random.IntN(6) {
		s.write(100 + random.IntN(400))
		trouble := troubles[random.IntN(len(troubles))]
		trouble.fault.For = 200*time.Millisecond + time.Duration(random.Int64N(int64(800*time.Millisecond)))
		s.sandbox.SetFault(trouble.hop, trouble.fault)
		if trouble.fault.Truncate {
			crashes++
		}
		wait(t, time.Duration(random.Int64N(int64(500*time.Millisecond))))
		if random.IntN(3) == 0 {
			flying, crashes = max(flying, s.lines), crashes+1
			s.again()
		}
	}
	twice := s.conclude()
	if crashes == 0 && twice != 0 {
		t.Errorf("%d lines came twice, without a crash or a lost answer", twice)
	}
	t.Logf("%d lines, %d kills, %d came twice", s.lines, s.killed, twice)
}

// A disk that is full for a while holds up the file, and loses nothing of it.
func TestAFullDiskLosesNothing(t *testing.T) {
	s := newStory(t)
	if err := commandWith(nil, "unshare", "--user", "--map-root-user", "--mount", "true").Run(); err != nil {
		missing(t, "a user namespace", err.Error())
	}
	state := filepath.Join(s.dir, "state")
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	// A disk of its own, which something else has filled but for a megabyte.
	s.wrap = []string{"unshare", "--user", "--map-root-user", "--mount", "sh", "-c", `mount -t tmpfs -o size=32m tmpfs "$0" && fallocate -l 31M "$0/else" && exec "$@"`, state}
	s.start()
	s.sandbox.SetFault(sandbox.DCE, sandbox.Fault{Status: http.StatusServiceUnavailable})
	s.write(30_000) // about three times what there is room for
	s.await(30*time.Second, "the disk to be full", func() bool { return strings.Contains(s.log.String(), "no space left on device") })
	wait(t, time.Second)
	if err := os.Remove(filepath.Join("/proc", strconv.Itoa(s.command.Process.Pid), "root", state, "else")); err != nil {
		t.Fatal(err)
	}
	s.sandbox.ClearFaults()
	s.conclude()
}
