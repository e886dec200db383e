package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// ledger remembers of each of very many lines whether it came, and how often lines came
// again. It takes a body for good or not at all.
type ledger struct {
	mu          sync.Mutex
	seen        []uint64 // a bit a line
	came, again int
	refusing    bool
}

const sustainedMark = "line-"

func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	unpacked, err := gzip.NewReader(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	text, err := io.ReadAll(unpacked)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refusing {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	for {
		_, after, found := bytes.Cut(text, []byte(sustainedMark))
		if !found || len(after) < 8 {
			break
		}
		text = after
		l.note(after[:8])
	}
	w.WriteHeader(http.StatusNoContent)
}

func (l *ledger) note(digits []byte) {
	n, err := strconv.Atoi(string(digits))
	if err != nil || n/64 >= len(l.seen) {
		return
	}
	bit := uint64(1) << (n % 64)
	if l.seen[n/64]&bit != 0 {
		l.again++
		return
	}
	l.seen[n/64] |= bit
	l.came++
}

func (l *ledger) counts() (came, again int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.came, l.again
}

func (l *ledger) refuse(yes bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refusing = yes
}

// TestASustainedLoadLosesNothing takes lines across, as they are written, with a kill at each
// tenth of the way and refusals in between: ten thousand, or $LOSS_ROWS and longer refusals.
func TestASustainedLoadLosesNothing(t *testing.T) {
	rows, outage := 10_000, 100*time.Millisecond
	if given, err := strconv.Atoi(os.Getenv("LOSS_ROWS")); err == nil {
		rows, outage = given, 2*time.Second
	}
	l := &ledger{seen: make([]uint64, rows/64+1)}
	server := httptest.NewServer(l)
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "app.log")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	config := write(t, filepath.Join(t.TempDir(), "tail.yaml"), fmt.Sprintf(`
receivers: {file_log: {include: [%q], start_at: beginning}}
exporters:
  azure_logs_ingestion:
    endpoint: %q
    allow_endpoint: true
    dcr: dcr-00000000000000000000000000000000
    stream: Custom-A
    body: {column: Message}
    retry_on_failure: {initial_interval: 50ms, max_interval: 500ms}
service:
  extensions: [health_check]
  pipelines: {logs: {receivers: [file_log], exporters: [azure_logs_ingestion]}}
`, path, server.URL))
	c := newCollector(t, nil, config)
	began := time.Now()
	c.start()
	// The writer stays ahead by what is read in about a second.
	ahead := min(100_000, rows/10)
	kills := 0
	for written := 0; written < rows; {
		n := min(ahead/4, rows-written)
		appendLines(t, file, written, n)
		written += n
		await(t, 10*time.Minute, fmt.Sprintf("%d lines", written-ahead), func() bool { came, _ := l.counts(); return came >= written-ahead })
		if written >= rows*(kills+1)/10 && kills < 9 {
			l.refuse(true)
			wait(t, outage)
			l.refuse(false)
			c.kill()
			c.start()
			kills++
		}
	}
	await(t, 10*time.Minute, "the rest", func() bool { came, _ := l.counts(); return came == rows })
	took := time.Since(began)
	c.stop()
	_, again := l.counts()
	t.Logf("%d lines in %s, with %d kills and as many outages of %s: none lost, %d came again", rows, took.Round(time.Second), kills, outage, again)
}

func appendLines(t *testing.T, file io.Writer, first, n int) {
	t.Helper()
	w := bufio.NewWriterSize(file, 1<<20)
	for i := first; i < first+n; i++ {
		fmt.Fprintf(w, "%s%08d request=%x user=%d status=%d took=%dms and what else a program has to say about it\n", sustainedMark, i, uint32(i)*2654435761, i%977, 200+i%5, i%331)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
}
