package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// sourceColumns is how many figures TestSources prints of a contestant.
const sourceColumns = 12

// sources: each way to prove who a program is, next to azidentity's credential for it.
func sources(ctx context.Context, s settings) (section, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-v", "-count=1", "-run", "^TestSources$", "-benchtime", s.cacheBy, ".")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return section{}, fmt.Errorf("%w: %s", err, out)
	}
	result := section{
		title: "Sources",
		method: "Each source next to azidentity's credential for it, in one process, against the same emulator. Requests of one cold caller and of 100 at once (the far side takes 20 ms); " +
			"how long a caller without a deadline is held while connections are refused, by a clock for which nothing else takes time; how many of 30 calls, one a minute, succeed " +
			"while the network is gone: from the middle of the first token's life, and up to its end; and what a call costs that is answered from memory. Azure Arc's protocol takes two requests, and so does Azure Pipelines, which gets one token for the other.",
		head: []string{"source", "by", "cold", "100 cold", "refused, s", "outage in mid-token", "outage to its end", "ns", "allocs"},
	}
	lines, err := sourceLines(string(out))
	if err != nil {
		return section{}, err
	}
	for _, l := range lines {
		result.rows = append(result.rows, []string{l[1], l[2], l[4], l[5], l[7], l[8] + " of " + l[6], l[9] + " of " + l[6], l[10], l[11]})
		if l[2] == "keyless" {
			result.goals = append(result.goals, sourceGoals(l)...)
		}
	}
	return result, nil
}

// sourceLines finds TestSources' lines among what go test prints.
func sourceLines(text string) ([][]string, error) {
	var lines [][]string
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.TrimSpace(line), "|")
		if fields[0] == "SOURCE" && len(fields) == sourceColumns {
			lines = append(lines, fields)
		}
	}
	if len(lines) == 0 {
		return nil, errors.New("go test printed no result: " + strings.TrimSpace(text))
	}
	return lines, nil
}

func sourceGoals(l []string) []goal {
	figure := func(at int) float64 {
		value, _ := strconv.ParseFloat(l[at], 64) // a number, by the test's format
		return value
	}
	return []goal{
		{what: l[1] + ": requests, cold", got: figure(4), limit: figure(3)},
		{what: l[1] + ": requests, 100 cold callers", got: figure(5), limit: figure(3)},
		{what: l[1] + ": held while connections are refused", got: figure(7), limit: 3, unit: " s"},
		{what: l[1] + ": calls that succeed in an outage in mid-token", got: figure(8), limit: figure(6), atLeast: true},
		{what: l[1] + ": and in one that lasts to the token's end", got: figure(9), limit: figure(6), atLeast: true},
	}
}
