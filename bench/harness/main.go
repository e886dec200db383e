// Command harness runs the contestants in turn, in one interleaved run, so that
// whatever else the machine does hits all of them alike, and writes the ratios.
//
//	harness [-rounds N] [-bin DIR] [-out DIR] start|cold|callers|crowd|cache|sources|daemon|proxy|collector|fleet|bill…
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// settings are what the command line says.
type settings struct {
	scale   float64 // of the number of rounds
	bin     string  // where the contestants are
	report  string  // the file to write; empty: none
	strict  bool    // a missed goal is an error
	venv    string  // the virtual environment with the current AWS CLI and boto3
	cacheBy string  // -benchtime of the cache benchmarks
}

// scenario measures one thing and says how the ratios compare with the goals.
type scenario func(ctx context.Context, s settings) (section, error)

var scenarios = map[string]scenario{
	"start":     start,
	"cold":      cold,
	"callers":   callers,
	"crowd":     crowd,
	"cache":     cache,
	"sources":   sources,
	"daemon":    endpoint,
	"proxy":     proxies,
	"collector": collector,
	"fleet":     fleetPoll,
	"bill":      bills,
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var s settings
	flags := flag.NewFlagSet("harness", flag.ContinueOnError)
	flags.Float64Var(&s.scale, "scale", 1, "multiply the number of rounds")
	flags.StringVar(&s.bin, "bin", "", "folder of the contestants")
	flags.StringVar(&s.report, "report", "", "file to write the results to")
	flags.StringVar(&s.venv, "venv", "", "virtual environment with the current AWS CLI and boto3")
	flags.StringVar(&s.cacheBy, "benchtime", "500ms", "-benchtime of the cache benchmarks")
	flags.BoolVar(&s.strict, "strict", false, "fail when a goal is missed")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var sections []section
	for _, name := range flags.Args() {
		measure, found := scenarios[name]
		if !found {
			return fmt.Errorf("no scenario is called %q", name)
		}
		result, err := measure(ctx, s)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		fmt.Fprintln(out, result.markdown())
		sections = append(sections, result)
	}
	if s.report != "" {
		if err := os.WriteFile(s.report, []byte(report(ctx, sections)), 0o600); err != nil {
			return err
		}
	}
	if s.strict && missed(sections) {
		return errors.New("a goal was missed")
	}
	return nil
}
