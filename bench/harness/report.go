package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"
)

// section is what one scenario found.
type section struct {
	title, method string
	head          []string
	rows          [][]string
	plot          plot
	goals         []goal
}

// plot is a line of values; one without any is none.
type plot struct {
	x, y   string // what the axes are
	at     []int
	values []float64
}

// markdown is a chart as Mermaid draws it, which begins at zero so that a line through it is
// seen to be one.
func (p plot) markdown() string {
	ticks, values, most := make([]string, len(p.at)), make([]string, len(p.at)), 0.0
	for i, at := range p.at {
		ticks[i], values[i] = fmt.Sprint(at), fmt.Sprintf("%.1f", p.values[i])
		most = max(most, p.values[i])
	}
	return fmt.Sprintf("\n```mermaid\nxychart-beta\n    x-axis %q [%s]\n    y-axis %q 0 --> %.0f\n    line [%s]\n```\n",
		p.x, strings.Join(ticks, ", "), p.y, math.Ceil(most*1.1), strings.Join(values, ", "))
}

// goal is a ratio (or count) with its limit. Times in themselves are no goals:
// they say more about the machine.
type goal struct {
	what    string
	got     float64
	limit   float64
	atLeast bool // the limit is a lower one
	unit    string
}

func (g goal) met() bool {
	if g.atLeast {
		return g.got >= g.limit
	}
	return g.got <= g.limit
}

func (g goal) row() []string {
	sign, verdict := "≤", "met"
	if g.atLeast {
		sign = "≥"
	}
	if !g.met() {
		verdict = "**missed**"
	}
	return []string{g.what, number(g.got) + g.unit, sign + " " + number(g.limit) + g.unit, verdict}
}

func number(v float64) string {
	switch {
	case v == float64(int64(v)):
		return fmt.Sprintf("%d", int64(v))
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.3f", v)
	}
}

func (s section) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n%s\n\n", s.title, s.method)
	table(&b, s.head, s.rows)
	if len(s.plot.at) > 0 {
		b.WriteString(s.plot.markdown())
	}
	if len(s.goals) > 0 {
		b.WriteByte('\n')
		rows := make([][]string, len(s.goals))
		for i, g := range s.goals {
			rows[i] = g.row()
		}
		table(&b, []string{"goal", "measured", "limit", ""}, rows)
	}
	return b.String()
}

func table(b *strings.Builder, head []string, rows [][]string) {
	line := func(cells []string) { fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | ")) }
	line(head)
	rule := make([]string, len(head))
	for i := range rule {
		rule[i] = "---"
	}
	line(rule)
	for _, row := range rows {
		line(row)
	}
}

func missed(sections []section) bool {
	for _, s := range sections {
		for _, g := range s.goals {
			if !g.met() {
				return true
			}
		}
	}
	return false
}

func report(ctx context.Context, sections []section) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Measured side by side

Written by `+"`make bench`"+` on %s; see [README.md](README.md) for what is compared and how.
Compare ratios, not times: the machine is small and other programs may have run beside.

`, time.Now().UTC().Format("2006-01-02"))
	table(&b, []string{"what", "which"}, machine(ctx))
	for _, s := range sections {
		b.WriteString("\n" + s.markdown())
	}
	return b.String()
}

// ms writes a duration in milliseconds.
func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond)) }

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }
