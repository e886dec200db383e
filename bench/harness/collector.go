package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// The lines of a file that the Collector takes somewhere, each with a mark that can be counted.
const (
	lineMark   = "mark-"
	lineLength = 150
)

// receiver counts the lines in the bodies that it gets, whoever sends them.
type receiver struct {
	*httptest.Server
	lines atomic.Int64
}

func newReceiver() *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(r.take))
	return r
}

func (r *receiver) take(w http.ResponseWriter, request *http.Request) {
	var body io.Reader = request.Body
	if request.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(request.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		body = unpacked
	}
	text, err := io.ReadAll(body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.lines.Add(int64(bytes.Count(text, []byte(lineMark))))
	if strings.HasPrefix(request.URL.Path, "/v1/") {
		w.Header().Set("Content-Type", "application/x-protobuf")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// shipped is one run of the Collector.
type shipped struct {
	took, cpu time.Duration
	peak      int // of resident memory, in KiB
}

const shipConfig = `
extensions: {health_check: {endpoint: %q}}
receivers: {file_log: {include: [%q], start_at: beginning}}
exporters:
  azure_logs_ingestion: {endpoint: %q, allow_endpoint: true, dcr: dcr-00000000000000000000000000000000, stream: Custom-A, body: {column: Message}}
  otlp_http: {endpoint: %q}
service:
  extensions: [health_check]
  telemetry: {metrics: {level: none}, logs: {level: error}}
  pipelines: {logs: {receivers: [file_log], exporters: [%s]}}
`

// ship follows a file until its last line has arrived.
func ship(ctx context.Context, s settings, file, exporter string, lines int64) (result shipped, err error) {
	to := newReceiver()
	defer to.Close()
	began := time.Now()
	state, err := collecting(ctx, s, fmt.Sprintf(shipConfig, unused(), file, to.URL, to.URL, exporter), func(int) error {
		for to.lines.Load() < lines {
			if err := pause(ctx, 5*time.Millisecond); err != nil {
				return err
			}
			if time.Since(began) > 5*time.Minute {
				return fmt.Errorf("%s: %d of %d lines in five minutes", exporter, to.lines.Load(), lines)
			}
		}
		result.took = time.Since(began)
		return nil
	})
	if err == nil {
		result.cpu, result.peak = state.cpu, state.peak
	}
	return result, err
}

type collectorState struct {
	cpu       time.Duration
	peak, now int // KiB
}

// collecting runs the Collector with a configuration for as long as do does.
func collecting(ctx context.Context, s settings, config string, do func(pid int) error, env ...string) (state collectorState, err error) {
	dir, err := os.MkdirTemp("", "collector")
	if err != nil {
		return state, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return state, err
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "keyless-collector"), "--config", path)
	cmd.Env, cmd.Stderr = append([]string{"PATH=/usr/bin:/bin", "HOME=" + dir, "STATE_DIRECTORY=" + filepath.Join(dir, "state")}, env...), &said
	if err := cmd.Start(); err != nil {
		return state, err
	}
	err = do(cmd.Process.Pid)
	status := fmt.Sprintf("/proc/%d/status", cmd.Process.Pid)
	state.peak, state.now = kibibytes(status, "VmHWM"), kibibytes(status, "VmRSS")
	_ = cmd.Process.Signal(os.Interrupt)
	_ = cmd.Wait()
	state.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if err == nil && state.peak == 0 {
		err = errors.New("the Collector is gone")
	}
	if err != nil {
		return state, fmt.Errorf("%w: %s", err, said.String())
	}
	return state, nil
}

func kibibytes(path, name string) int {
	size, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(fieldOf(path, name, ":")), " kB")) // zero if it is not there
	return size
}

func unused() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "127.0.0.1:0"
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// writeLines makes a file of lines of a program's log.
func writeLines(path string, lines int64) error {
	var text bytes.Buffer
	for i := range lines {
		line := fmt.Sprintf("2026-01-02T03:04:05.%06dZ INFO %s%08d request=%x user=%d status=%d took=%dms ", i%1000000, lineMark, i, i*2654435761, i%977, 200+i%5, i%331)
		text.WriteString(line + strings.Repeat("x", max(0, lineLength-1-len(line))) + "\n")
	}
	return os.WriteFile(path, text.Bytes(), 0o600)
}

// collector: a file through the queue on disk to Azure's API, beside the stock exporter with
// the same queue; what it costs to make a body; the size of it all.
func collector(ctx context.Context, s settings) (section, error) {
	result := section{
		title: "The Collector",
		method: "A file of lines of 150 bytes, by file_log, through the queue on disk, to a server on this machine that unpacks and counts: our exporter for Azure's Logs Ingestion API beside stock otlp_http " +
			"with the same queue, in turns, medians. Then go test -bench of the exporter's package: records and JSON lines to gzip bodies, beside encoding/json with compress/gzip at its default level.",
		head: []string{"", "time", "CPU", "peak of memory"},
	}
	if err := result.endToEnd(ctx, s); err != nil {
		return section{}, err
	}
	if err := result.idle(ctx, s); err != nil {
		return section{}, err
	}
	return result, result.bodies(ctx, s)
}

func (r *section) endToEnd(ctx context.Context, s settings) error {
	dir, err := os.MkdirTemp("", "lines")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	lines := max(int64(2_400_000*s.scale), 2000) // so that the wait of a last batch that is not full counts little
	file := filepath.Join(dir, "app.log")
	if err := writeLines(file, lines); err != nil {
		return err
	}
	runs := map[string][]shipped{}
	exporters := []string{"azure_logs_ingestion", "otlp_http"}
	for range s.rounds(3) {
		for _, exporter := range exporters {
			run, err := ship(ctx, s, file, exporter, lines)
			if err != nil {
				return err
			}
			runs[exporter] = append(runs[exporter], run)
		}
	}
	for _, exporter := range exporters {
		m := middle(runs[exporter])
		r.rows = append(r.rows, []string{fmt.Sprintf("%s, %d lines", exporter, lines), m.took.Round(time.Millisecond).String(), m.cpu.Round(time.Millisecond).String(), megabytes(m.peak)})
	}
	ours, stock := middle(runs[exporters[0]]), middle(runs[exporters[1]])
	r.goals = append(r.goals,
		goal{what: "throughput, to stock otlp_http", got: float64(stock.took) / float64(ours.took), limit: 0.9, atLeast: true, unit: "×"},
		goal{what: "peak of memory", got: float64(ours.peak) * 1024 / 1e6, limit: 100, unit: " MB"})
	return nil
}

func megabytes(kib int) string { return number(float64(kib)*1024/1e6) + " MB" }

func middle(runs []shipped) shipped {
	sorted := slices.SortedFunc(slices.Values(runs), func(a, b shipped) int { return int(a.took - b.took) })
	return sorted[len(sorted)/2]
}

func (r *section) idle(ctx context.Context, s settings) error {
	config := fmt.Sprintf("receivers: {otlp: {protocols: {http: {endpoint: %q}}}}\nexporters: {otlp_http: {endpoint: \"http://127.0.0.1:9\"}}\nservice: {telemetry: {metrics: {level: none}}, pipelines: {logs: {receivers: [otlp], exporters: [otlp_http]}}}\n", unused())
	state, err := collecting(ctx, s, config, func(int) error { return pause(ctx, 3*time.Second) })
	if err != nil {
		return err
	}
	size, err := os.Stat(filepath.Join(s.bin, "keyless-collector"))
	if err != nil {
		return err
	}
	r.goals = append(r.goals,
		goal{what: "memory, idle", got: float64(state.now) * 1024 / 1e6, limit: 60, unit: " MB"},
		goal{what: "size of the program", got: float64(size.Size()) / 1e6, limit: 65, unit: " MB"})
	return nil
}

var bodyLine = regexp.MustCompile(`(?m)^Benchmark(Records|Lines)/(\S+?)(?:-\d+)?\s+\d+\s+([0-9.]+) ns/op`)

func (r *section) bodies(ctx context.Context, s settings) error {
	times := map[string][]float64{}
	for range s.rounds(5) {
		cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "Records|Lines", "-benchtime", s.cacheBy, "-cpu", "1", "./exporter/azurelogsingestionexporter")
		cmd.Dir = "../collector"
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		for _, line := range bodyLine.FindAllStringSubmatch(string(out), -1) {
			ns, _ := strconv.ParseFloat(line[3], 64) // the pattern has looked at it
			times[line[1]+"/"+line[2]] = append(times[line[1]+"/"+line[2]], ns)
		}
	}
	for _, compared := range []struct {
		ours, other, what string
		limit             float64
	}{
		{"Records/ours", "Records/encoding-json_and_gzip", "encode and gzip of records, to encoding/json and compress/gzip", 0.25},
		{"Lines/ours", "Lines/decode,_encode_and_gzip", "the same of lines that are JSON already", 0.125},
	} {
		ours, other := times[compared.ours], times[compared.other]
		if len(ours) == 0 || len(other) == 0 {
			return fmt.Errorf("no result of %s", compared.ours)
		}
		slices.Sort(ours)
		slices.Sort(other)
		r.goals = append(r.goals, goal{what: compared.what, got: ours[len(ours)/2] / other[len(other)/2], limit: compared.limit, unit: "×"})
	}
	return nil
}
