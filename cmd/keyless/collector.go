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
	Receivers []reader `json:"receivers,omitempty"` // only those that pay for what they read
}

// sender is one of its exporters.
type sender struct {
	Exporter string  `json:"exporter"`
	Sent     float64 `json:"sent"`                     // records, data points and spans
	Failed   float64 `json:"failed,omitempty"`         // of these
	Rejected float64 `json:"rejected,omitempty"`       // when the queue was full
	Retried  float64 `json:"retried,omitempty"`        // documents, each time
	Dead     float64 `json:"dead_lettered,omitempty"`  // documents or rows that will never be taken
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

// reader is a receiver of the metrics of CloudWatch.
type reader struct {
	Receiver  string   `json:"receiver"`
	Points    float64  `json:"points"`
	Queries   float64  `json:"queries"`               // which are what AWS bills
	Throttled float64  `json:"throttled,omitempty"`   // requests
	Failed    float64  `json:"failed,omitempty"`      // parts of polls, to be read again
	Left      *float64 `json:"budget_left,omitempty"` // queries; nil: there is no budget
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

// collect sorts what a Collector tells of itself by its exporters and receivers ("Internal
// telemetry", OpenTelemetry documentation). Some versions end the names of counters in _total.
func collect(samples []exposition.Sample) *collected {
	c := &collected{}
	exporters, receivers := map[string]*sender{}, map[string]*reader{}
	for _, sample := range samples {
		name := strings.TrimSuffix(strings.TrimPrefix(sample.Name, "otelcol_"), "_total")
		of := sample.Labels["exporter"]
		if rest, found := strings.CutPrefix(name, "exporter_"); found && of != "" {
			entry(exporters, of).add(rest, sample)
		} else if rest, found := strings.CutPrefix(name, "receiver_aws_cloudwatch_metrics_"); found {
			entry(receivers, cmp.Or(sample.Labels["receiver"], "aws_cloudwatch_metrics")).add(rest, sample.Value)
		} else if strings.HasPrefix(name, "process_uptime") {
			c.Up = sample.Value
		}
	}
	for _, name := range slices.Sorted(maps.Keys(exporters)) {
		exporters[name].Exporter = name
		c.Exporters = append(c.Exporters, *exporters[name])
	}
	for _, name := range slices.Sorted(maps.Keys(receivers)) {
		receivers[name].Receiver = name
		c.Receivers = append(c.Receivers, *receivers[name])
	}
	return c
}

// entry is what a map has under a name, made if it is not there.
func entry[T any](all map[string]*T, name string) *T {
	if all[name] == nil {
		all[name] = new(T)
	}
	return all[name]
}

func (r *reader) add(name string, value float64) {
	switch name {
	case "points":
		r.Points += value
	case "queries":
		r.Queries += value
	case "throttled":
		r.Throttled += value
	case "failed":
		r.Failed += value
	case "budget_left":
		r.Left = &value
	}
}

func (s *sender) add(name string, sample exposition.Sample) {
	switch {
	case name == "queue_size":
		s.Queue += sample.Value
	case name == "queue_capacity":
		s.Capacity += sample.Value
	case strings.HasSuffix(name, "_held") && sample.Value > 0:
		s.Holding = append(s.Holding, held{sample.Labels["code"], cmp.Or(sample.Labels["stream"], sample.Labels["host"]), sample.Value})
	case name == "elasticsearch_documents" && sample.Labels["outcome"] == "retried":
		s.Retried += sample.Value
	case name == "elasticsearch_documents" && sample.Labels["outcome"] == "dead_lettered", name == "azure_logs_ingestion_rows_dead_lettered":
		s.Dead += sample.Value
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
	for _, r := range c.Receivers {
		page.line("  %s %s %s", page.mark(r.Left == nil || *r.Left > 0), page.paint(bold, r.Receiver), r.reading())
	}
	return page.out.Flush()
}

// reading is what a receiver has read since the start, and may read yet.
func (r *reader) reading() string {
	text := fmt.Sprintf("%.0f points of %.0f queries", r.Points, r.Queries)
	if r.Throttled > 0 {
		text += fmt.Sprintf(", %.0f requests throttled", r.Throttled)
	}
	if r.Failed > 0 {
		text += fmt.Sprintf(", %.0f parts failed", r.Failed)
	}
	if r.Left != nil {
		text += fmt.Sprintf(", %.0f queries left in the budget", *r.Left)
	}
	return text
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
	if s.Retried > 0 {
		text += fmt.Sprintf(", %.0f sent again", s.Retried)
	}
	if s.Dead > 0 {
		text += fmt.Sprintf(", %.0f dead letters", s.Dead)
	}
	if s.Capacity > 0 {
		text += fmt.Sprintf(", queue %.0f of %.0f (%.0f%%)", s.Queue, s.Capacity, 100*s.Queue/s.Capacity)
	}
	return text
}
