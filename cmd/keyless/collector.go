package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/keyless-id/keyless/internal/exposition"
	"github.com/keyless-id/keyless/internal/wire"
)

// collected is what a Collector says of itself.
type collected struct {
	Up        float64  `json:"up_seconds"`
	Exporters []sender `json:"exporters"`
}

// sender is one of its exporters.
type sender struct {
	Exporter string  `json:"exporter"`
	Sent     float64 `json:"sent"`                     // records, data points and spans
	Failed   float64 `json:"failed,omitempty"`         // of these
	Rejected float64 `json:"rejected,omitempty"`       // when the queue was full
	Queue    float64 `json:"queue"`                    // in what the queue counts: requests, items or bytes
	Capacity float64 `json:"queue_capacity,omitempty"` // zero: it has no queue
	Holding  []held  `json:"holding,omitempty"`
}

// held is why an exporter holds back what it has.
type held struct {
	Code  string  `json:"code"`
	Where string  `json:"where,omitempty"`
	For   float64 `json:"seconds"`
}

// collectorStatus asks a Collector at host:port for its metrics.
func (p *program) collectorStatus(ctx context.Context, address string, asJSON bool) error {
	c, err := askCollector(ctx, address)
	if err != nil {
		return failedError{fmt.Errorf("status: the Collector at %s: %w", address, err)}
	}
	if asJSON {
		err = printJSON(p.stdout, c)
	} else {
		err = p.printCollector(c)
	}
	if err == nil && slices.ContainsFunc(c.Exporters, func(s sender) bool { return len(s.Holding) > 0 }) {
		return exitError(exitFailed)
	}
	return err
}

func askCollector(ctx context.Context, address string) (*collected, error) {
	ctx, cancel := context.WithTimeout(ctx, processLimit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	answer, err := wire.Do(&http.Client{Transport: wire.NearTransport()}, request)
	if err != nil {
		return nil, err
	}
	if answer.Status != http.StatusOK {
		return nil, fmt.Errorf("its metrics are answered with %d", answer.Status)
	}
	samples, err := exposition.Parse(string(answer.Body))
	if err != nil {
		return nil, err
	}
	return collect(samples), nil
}

// collect sorts what a Collector tells of itself by its exporters ("Internal telemetry",
// OpenTelemetry documentation). Some versions end the names of counters in _total.
func collect(samples []exposition.Sample) *collected {
	c := &collected{}
	exporters := map[string]*sender{}
	for _, sample := range samples {
		name := strings.TrimSuffix(strings.TrimPrefix(sample.Name, "otelcol_"), "_total")
		if strings.HasPrefix(name, "process_uptime") {
			c.Up = sample.Value
		}
		of := sample.Labels["exporter"]
		if of == "" || !strings.HasPrefix(name, "exporter_") {
			continue
		}
		if exporters[of] == nil {
			exporters[of] = &sender{Exporter: of}
		}
		exporters[of].add(strings.TrimPrefix(name, "exporter_"), sample)
	}
	for _, name := range slices.Sorted(maps.Keys(exporters)) {
		c.Exporters = append(c.Exporters, *exporters[name])
	}
	return c
}

func (s *sender) add(name string, sample exposition.Sample) {
	switch {
	case name == "queue_size":
		s.Queue += sample.Value
	case name == "queue_capacity":
		s.Capacity += sample.Value
	case strings.HasSuffix(name, "_held") && sample.Value > 0:
		s.Holding = append(s.Holding, held{sample.Labels["code"], cmp.Or(sample.Labels["stream"], sample.Labels["host"]), sample.Value})
	case strings.HasPrefix(name, "sent_"):
		s.Sent += sample.Value
	case strings.HasPrefix(name, "send_failed_"):
		s.Failed += sample.Value
	case strings.HasPrefix(name, "enqueue_failed_"):
		s.Rejected += sample.Value
	}
}

func (p *program) printCollector(c *collected) error {
	page := newPage(p.stdout, p.getenv)
	up := time.Duration(c.Up * float64(time.Second)).Round(time.Second)
	page.line("%s %s, up %s", page.mark(true), page.paint(bold, "collector"), up)
	for _, s := range c.Exporters {
		page.line("  %s %s %s", page.mark(len(s.Holding) == 0), page.paint(bold, s.Exporter), s.throughput(c.Up))
		for _, h := range s.Holding {
			page.line("      %s %s", page.paint(red, "held "+time.Duration(h.For*float64(time.Second)).Round(time.Second).String()+":"), strings.TrimSpace(h.Where+" "+h.Code))
		}
	}
	return page.out.Flush()
}

// throughput is what an exporter did on an average second since the start, and has before it.
func (s *sender) throughput(up float64) string {
	text := fmt.Sprintf("%.0f sent", s.Sent)
	if up > 0 {
		text += fmt.Sprintf(" (%.3g/s)", s.Sent/up)
	}
	if s.Failed > 0 {
		text += fmt.Sprintf(", %.0f failed", s.Failed)
	}
	if s.Rejected > 0 {
		text += fmt.Sprintf(", %.0f rejected by the full queue", s.Rejected)
	}
	if s.Capacity > 0 {
		text += fmt.Sprintf(", queue %.0f of %.0f (%.0f%%)", s.Queue, s.Capacity, 100*s.Queue/s.Capacity)
	}
	return text
}
