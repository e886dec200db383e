package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// benchLine is a result of go test -bench.
var benchLine = regexp.MustCompile(`(?m)^Benchmark(\S+?)/g=(\d+)\S*\s+\d+\s+([0-9.]+) ns/op\s+(\d+) B/op\s+(\d+) allocs/op`)

// cacheResult is one contestant, asked by so many goroutines.
type cacheResult struct {
	ns            []float64
	bytes, allocs int
}

func (r *cacheResult) median() float64 {
	sorted := slices.Sorted(slices.Values(r.ns))
	return sorted[len(sorted)/2]
}

// cache: what a fresh value costs inside a program, next to the SDKs' caches.
func cache(ctx context.Context, s settings) (section, error) {
	results := map[string]*cacheResult{}
	for range s.rounds(7) { // all benchmarks in turn, several times over
		cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "Keyless(Cached)|Cache$|^BenchmarkAzidentity", "-benchtime", s.cacheBy, ".")
		out, err := cmd.CombinedOutput()
		if err != nil {
			return section{}, fmt.Errorf("%w: %s", err, out)
		}
		if err := collect(results, string(out)); err != nil {
			return section{}, err
		}
	}
	result := section{
		title:  "Caches in a program",
		method: "A fresh value, asked for by one goroutine and by 64; the median of several interleaved runs of the benchmarks in this folder.",
		head:   []string{"cache", "g=1 ns", "g=64 ns", "B/op", "allocs/op"},
	}
	for _, name := range []string{
		"KeylessCached", "KeylessCachedCredentials", "AWSCredentialsCache", "AzidentityManagedIdentity", "AzidentityClientSecret",
	} {
		one, many := results[name+"/1"], results[name+"/64"]
		if one == nil || many == nil {
			return section{}, fmt.Errorf("no result of %s", name)
		}
		result.rows = append(result.rows, []string{
			name, number(one.median()), number(many.median()), strconv.Itoa(one.bytes), strconv.Itoa(one.allocs),
		})
	}
	result.goals = cacheGoals(results)
	return result, nil
}

func collect(results map[string]*cacheResult, text string) error {
	lines := benchLine.FindAllStringSubmatch(text, -1)
	if len(lines) == 0 {
		return errors.New("go test -bench printed no result: " + strings.TrimSpace(text))
	}
	for _, line := range lines {
		key := line[1] + "/" + line[2]
		if results[key] == nil {
			results[key] = &cacheResult{}
		}
		r := results[key]
		ns, err := strconv.ParseFloat(line[3], 64)
		if err != nil {
			return err
		}
		r.ns = append(r.ns, ns)
		r.bytes, _ = strconv.Atoi(line[4]) // digits, by the pattern
		r.allocs, _ = strconv.Atoi(line[5])
	}
	return nil
}

func cacheGoals(results map[string]*cacheResult) []goal {
	at := func(name string) float64 { return results[name].median() }
	token, credentials := "KeylessCached", "KeylessCachedCredentials"
	return []goal{
		{what: "allocations, token", got: float64(results[token+"/1"].allocs), limit: 0},
		{what: "allocations, credentials", got: float64(results[credentials+"/1"].allocs), limit: 0},
		{what: "token, 64 goroutines to one", got: at(token+"/64") / at(token+"/1"), limit: 1, unit: "×"},
		{what: "credentials, 64 goroutines to one", got: at(credentials+"/64") / at(credentials+"/1"), limit: 1, unit: "×"},
		{what: "credentials to aws.CredentialsCache, one goroutine", got: at(credentials+"/1") / at("AWSCredentialsCache/1"), limit: 0.6, unit: "×"},
		{what: "credentials to aws.CredentialsCache, 64 goroutines", got: at(credentials+"/64") / at("AWSCredentialsCache/64"), limit: 0.6, unit: "×"},
		{what: "token to azidentity's managed identity", got: at(token+"/1") / at("AzidentityManagedIdentity/1"), limit: 0.05, unit: "×"},
		{what: "token to azidentity's client secret", got: at(token+"/1") / at("AzidentityClientSecret/1"), limit: 0.05, unit: "×"},
	}
}
