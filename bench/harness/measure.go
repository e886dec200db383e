package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// contestant is a program in the run.
type contestant struct {
	name   string
	args   []string // the program's path, then its arguments
	env    []string
	every  int          // takes part in every n-th round only; zero: in all
	before func() error // runs before each start, outside the measurement
}

// sample is one run of a program.
type sample struct{ wall, cpu time.Duration }

// samples are all runs of one contestant.
type samples []sample

func (s samples) p50(of func(sample) time.Duration) time.Duration {
	values := make([]time.Duration, len(s))
	for i, one := range s {
		values[i] = of(one)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func (s samples) wall() time.Duration {
	return s.p50(func(one sample) time.Duration { return one.wall })
}

func (s samples) cpu() time.Duration { return s.p50(func(one sample) time.Duration { return one.cpu }) }

// paired is the median of the ratios within a round. Where two contestants differ
// by little, it bears a machine that gets slower or faster better than the ratio
// of the medians. Both must have run in every round.
func paired(a, b samples) float64 {
	ratios := make([]float64, min(len(a), len(b)))
	for i := range ratios {
		ratios[i] = ratio(a[i].wall, b[i].wall)
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2]
}

// roundRobin runs every contestant once a round, forth and back. Two rounds before the first
// warm the page cache and do not count.
func roundRobin(ctx context.Context, rounds int, contestants []contestant) (map[string]samples, error) {
	results := map[string]samples{}
	for round := -2; round < rounds; round++ {
		turn := slices.Clone(contestants)
		if round%2 != 0 { // nobody always follows the same one
			slices.Reverse(turn)
		}
		for _, c := range turn {
			if c.every > 1 && round >= 0 && round%c.every != 0 {
				continue
			}
			one, err := once(ctx, c)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			if round >= 0 {
				results[c.name] = append(results[c.name], one)
			}
		}
	}
	return results, nil
}

// once measures from before the fork until the end has been seen.
func once(ctx context.Context, c contestant) (sample, error) {
	if err := ctx.Err(); err != nil {
		return sample{}, err
	}
	if c.before != nil {
		if err := c.before(); err != nil {
			return sample{}, err
		}
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return sample{}, err
	}
	defer func() { _ = null.Close() }()
	attributes := &os.ProcAttr{Env: c.env, Files: []*os.File{null, null, null}}
	began := time.Now()
	process, err := os.StartProcess(c.args[0], c.args, attributes)
	if err != nil {
		return sample{}, err
	}
	limit := time.AfterFunc(time.Minute, func() { _ = process.Kill() })
	state, err := process.Wait()
	wall := time.Since(began)
	limit.Stop()
	if err != nil {
		return sample{}, err
	}
	if !state.Success() {
		return sample{}, explain(c, state)
	}
	return sample{wall: wall, cpu: state.UserTime() + state.SystemTime()}, nil
}

// explain runs a failed contestant again to show what it says.
func explain(c contestant, state *os.ProcessState) error {
	out, err := output(c)
	return fmt.Errorf("%s: %s (again: %w)", state, out, err)
}

// peakMemory returns the peak resident memory in KiB, the median of nine runs.
func peakMemory(helper string, c contestant) (int, error) {
	var all []int
	for range 9 {
		if c.before != nil {
			if err := c.before(); err != nil {
				return 0, err
			}
		}
		measured := c
		measured.args = append([]string{helper}, c.args...)
		text, err := stderrOf(measured)
		if err != nil {
			return 0, err
		}
		kib, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil {
			return 0, err
		}
		all = append(all, kib)
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}

// emptied returns a function that leaves nothing in dir.
func emptied(dir string) func() error {
	return func() error {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, syscall.ENOENT) {
			return nil
		}
		for _, entry := range entries {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, entry.Name())))
		}
		return err
	}
}
