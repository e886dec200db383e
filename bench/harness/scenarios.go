package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

// Paths of the contestants.
func (s settings) program(name string) string { return filepath.Join(s.bin, name) }

func (s settings) rounds(n int) int { return max(1, int(float64(n)*s.scale)) }

func (s settings) hello() contestant {
	return contestant{name: "Go hello world", args: []string{s.program("hello")}}
}

func (s settings) keyless(w *world, name string, args ...string) contestant {
	return contestant{name: name, args: append([]string{s.program("keyless")}, args...), env: w.env()}
}

func (s settings) helper(w *world, name string) contestant {
	return s.keyless(w, name, "credential-process", "vm", "--config", w.config)
}

func (s settings) bash(w *world) contestant {
	return contestant{
		name: "bash: curl, jq, aws, jq", every: 10,
		args: []string{s.program("credentials.sh"), audience, roleARN}, env: w.env("AWS=/usr/bin/aws"),
	}
}

// times makes a row of each contestant, relative to the first.
func (s settings) times(contestants []contestant, results map[string]samples) ([][]string, error) {
	floor := results[contestants[0].name].wall()
	var rows [][]string
	for _, c := range contestants {
		r := results[c.name]
		kib, err := peakMemory(s.program("rss"), c)
		if err != nil {
			return nil, err
		}
		rows = append(rows, []string{
			c.name, ms(r.wall()), number(ratio(r.wall(), floor)), ms(r.cpu()), mebibytes(kib), fmt.Sprint(len(r)),
		})
	}
	return rows, nil
}

func mebibytes(kib int) string { return fmt.Sprintf("%.1f", float64(kib)/1024) }

var timesHead = []string{"program", "wall p50 ms", "× first", "cpu p50 ms", "peak MiB", "runs"}

// start: what a cached answer costs, and what the program costs that gives it.
func start(ctx context.Context, s settings) (section, error) {
	w, err := newWorld()
	if err != nil {
		return section{}, err
	}
	defer w.close()
	hello, warm, version, bash := s.hello(), s.helper(w, "credential-process, cached"), s.keyless(w, "keyless version", "version"), s.bash(w)
	contestants := []contestant{hello, warm, version, bash}
	results, err := roundRobin(ctx, s.rounds(200), contestants)
	if err != nil {
		return section{}, err
	}
	if requests := w.Requests(sandbox.STS) - len(results[bash.name]) - 2; requests != 1 {
		return section{}, fmt.Errorf("the cached answer was not from the cache: %d STS requests besides those of the bash way", requests)
	}
	size, err := os.Stat(s.program("keyless"))
	if err != nil {
		return section{}, err
	}
	memory, err := peakMemory(s.program("rss"), warm)
	if err != nil {
		return section{}, err
	}
	rows, err := s.times(contestants, results)
	if err != nil {
		return section{}, err
	}
	megabytes := float64(size.Size()) / 1e6
	return section{
		title:  "Start",
		method: "Processes started in turn, output to /dev/null; all programs stripped, without cgo. The bash way asks the same far sides.",
		head:   timesHead,
		rows:   rows,
		goals: []goal{
			{what: "cached answer, wall, to hello world", got: paired(results[warm.name], results[hello.name]), limit: 1.5, unit: "×"},
			{what: "version, wall, to hello world", got: paired(results[version.name], results[hello.name]), limit: 2, unit: "×"},
			{what: "bash way, wall, to cached answer", got: ratio(results[bash.name].wall(), results[warm.name].wall()), limit: 200, atLeast: true, unit: "×"},
			{what: "program, stripped", got: megabytes, limit: 12, unit: " MB"},
			{what: "peak resident memory, cached answer", got: float64(memory) / 1024, limit: 16, unit: " MiB"},
		},
	}, nil
}

// cold: the whole way, with nothing in the cache; STS by http and, as in the
// field, by https with the system's roots.
func cold(ctx context.Context, s settings) (section, error) {
	w, err := newWorld()
	if err != nil {
		return section{}, err
	}
	defer w.close()
	result := section{
		title:  "Cold exchange",
		method: "Metadata service (http) and STS of the sandbox on loopback. Ours also writes its cache.",
		head:   timesHead,
	}
	ours, sdk := s.helper(w, "keyless, empty cache"), s.composition(w)
	ours.before = emptied(w.cache)
	uncached := s.keyless(w, "keyless --no-cache", "credential-process", "vm", "--config", w.config, "--no-cache")
	examined := s.keyless(w, "keyless doctor", "doctor", "vm", "--config", w.config)
	examined.env = w.env("AZURE_AUTHORITY_HOST="+w.URL(sandbox.Entra), "AWS_ENDPOINT_URL_IAM="+w.URL(sandbox.IAM)) // it asks these too
	contestants := []contestant{s.hello(), examined, ours, uncached, sdk}
	secureOurs, secureSDK := secured(w, ours), secured(w, sdk)
	untrusted := w.trust()
	if untrusted == nil {
		contestants = append(contestants, secureOurs, secureSDK)
		result.method += " By https both read the system's root certificates, the sandbox's among them."
	} else {
		result.method += " STS by https is left out: " + untrusted.Error() + "."
	}
	results, err := roundRobin(ctx, s.rounds(100), contestants)
	if err != nil {
		return section{}, err
	}
	if result.rows, err = s.times(contestants, results); err != nil {
		return section{}, err
	}
	result.goals = []goal{{what: "cold, wall, to the composition of the SDKs", got: paired(results[ours.name], results[sdk.name]), limit: 0.5, unit: "×"}}
	result.goals = append(result.goals, goal{what: "doctor, wall, to a cold exchange", got: paired(results[examined.name], results[uncached.name]), limit: 3, unit: "×"})
	if untrusted == nil {
		result.goals = append(result.goals, goal{
			what: "cold by https, wall, to the composition of the SDKs",
			got:  paired(results[secureOurs.name], results[secureSDK.name]), limit: 0.5, unit: "×",
		})
	}
	memory, err := peakMemory(s.program("rss"), contestants[max(1, len(contestants)-2)])
	result.goals = append(result.goals, goal{what: "peak resident memory, cold", got: float64(memory) / 1024, limit: 16, unit: " MiB"})
	return result, err
}

// composition is what one would put together from the vendors' SDKs.
func (s settings) composition(w *world) contestant {
	return contestant{name: "azidentity + aws-sdk-go-v2", args: []string{s.program("sdk"), audience, roleARN}, env: w.env()}
}

// secured is a contestant with STS by https.
func secured(w *world, c contestant) contestant {
	c.name, c.env = c.name+", https", w.env("AWS_ENDPOINT_URL_STS="+w.TLSURL(sandbox.STS))
	return c
}

// crowd: how often a hundred processes ask the far sides.
func crowd(_ context.Context, s settings) (section, error) {
	const size = 100
	w, err := newWorld()
	if err != nil {
		return section{}, err
	}
	defer w.close()
	one := s.helper(w, "one process")
	began := time.Now()
	if _, err := stdoutOf(one); err != nil {
		return section{}, err
	}
	single := time.Since(began)
	if err := emptied(w.cache)(); err != nil {
		return section{}, err
	}
	tokens, exchanges := w.Requests(sandbox.IMDS), w.Requests(sandbox.STS)
	began = time.Now()
	answers, err := together(one, size)
	if err != nil {
		return section{}, err
	}
	all := time.Since(began)
	return section{
		title:  "A hundred cold starts at once",
		method: "All started together with an empty cache; counted by the sandbox.",
		head:   []string{"what", "wall ms"},
		rows:   [][]string{{"one process", ms(single)}, {"a hundred, until the last ended", ms(all)}},
		goals: []goal{
			{what: "token requests", got: float64(w.Requests(sandbox.IMDS) - tokens), limit: 1},
			{what: "STS requests", got: float64(w.Requests(sandbox.STS) - exchanges), limit: 1},
			{what: "different answers", got: float64(answers), limit: 1},
		},
	}, nil
}

// together runs a contestant n times at once and counts different answers.
func together(c contestant, n int) (int, error) {
	answers, errs := make([]string, n), make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { answers[i], errs[i] = stdoutOf(c) })
	}
	all.Wait()
	different := map[string]bool{}
	for i, answer := range answers {
		if errs[i] != nil {
			return 0, errs[i]
		}
		different[strings.TrimSpace(answer)] = true
	}
	return len(different), nil
}
