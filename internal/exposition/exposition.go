// Package exposition reads what a program tells of itself in the text format of Prometheus
// ("Exposition formats", Prometheus documentation).
package exposition

import (
	"fmt"
	"strconv"
	"strings"
)

// Sample is one value of a metric.
type Sample struct {
	Name   string
	Labels map[string]string
	Value  float64
}

// Parse returns the samples of a text, in its order. Comments and times are left out.
func Parse(text string) ([]Sample, error) {
	var all []Sample
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		s, ok := parse(line)
		if !ok {
			return nil, fmt.Errorf("line %d is no sample of a metric", number)
		}
		all = append(all, s)
	}
	return all, nil
}

func parse(line string) (s Sample, ok bool) {
	end := strings.IndexAny(line, "{ \t")
	if end <= 0 {
		return s, false
	}
	s.Name = line[:end]
	rest := line[end:]
	if rest[0] == '{' {
		if s.Labels, rest, ok = labels(rest[1:]); !ok {
			return s, false
		}
	}
	fields := strings.Fields(rest)
	if len(fields) == 0 || len(fields) > 2 {
		return s, false
	}
	value, err := strconv.ParseFloat(fields[0], 64)
	s.Value = value
	return s, err == nil
}

// labels reads name="value" pairs up to the closing brace, and returns what comes after it.
func labels(text string) (all map[string]string, rest string, ok bool) {
	all = map[string]string{}
	for {
		text = strings.TrimLeft(text, ", \t")
		if after, done := strings.CutPrefix(text, "}"); done {
			return all, after, true
		}
		name, after, found := strings.Cut(text, `="`)
		if !found {
			return nil, "", false
		}
		value, remaining, closed := quoted(after)
		if !closed {
			return nil, "", false
		}
		all[strings.TrimSpace(name)], text = value, remaining
	}
}

// quoted reads up to the quote that is not escaped.
func quoted(text string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			return b.String(), text[i+1:], true
		case '\\':
			if i++; i == len(text) {
				return "", "", false
			}
			if text[i] == 'n' {
				b.WriteByte('\n')
				continue
			}
			b.WriteByte(text[i])
		default:
			b.WriteByte(text[i])
		}
	}
	return "", "", false
}
