package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

const account = "111122223333"

// fleet is a sandbox with instances in one region of one account.
type fleet struct {
	*sandbox.Sandbox
	dir string
}

// newFleet has n instances of a type; every tenth has the tag env=prod.
func newFleet(n int, kind string) (*fleet, error) {
	instances := []sandbox.Instance{
		{Count: n / 10, Type: kind, Detailed: true, Tags: map[string]string{"env": "prod"}},
		{Count: n - n/10, Type: kind, Detailed: true, Tags: map[string]string{"env": "test"}},
	}
	s, err := sandbox.New(sandbox.World{Accounts: []sandbox.Account{{
		ID: account, Regions: []sandbox.Region{{Name: region, Instances: instances}},
		Users: []sandbox.AccessKey{{UserName: "static", AccessKeyID: staticID, SecretAccessKey: staticSecret}},
	}}}, sandbox.Options{})
	if err != nil {
		return nil, err
	}
	if err := s.Listen("127.0.0.1:0"); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "fleet")
	return &fleet{Sandbox: s, dir: dir}, err
}

func (f *fleet) close() {
	_ = f.Close()
	_ = os.RemoveAll(f.dir)
}

func (f *fleet) asked() int { return f.Calls(account, region, "GetMetricData") }

func (f *fleet) env() []string {
	return []string{
		"PATH=/usr/bin:/bin", "HOME=" + f.dir,
		"AWS_ACCESS_KEY_ID=" + staticID, "AWS_SECRET_ACCESS_KEY=" + staticSecret, "AWS_REGION=" + region, "AWS_EC2_METADATA_DISABLED=true",
	}
}

// config is that of the Collector with the receiver's lines.
func (f *fleet) config(receiver string) string {
	return fmt.Sprintf(`extensions: {health_check: {endpoint: %q}}
receivers:
  aws_cloudwatch_metrics:
    regions: [%s]
    endpoints: {monitoring: %q, ec2: %q, tagging: %q, sts: %q}
%s
exporters: {debug: {}}
service:
  extensions: [health_check]
  telemetry: {metrics: {level: none}, logs: {level: error}}
  pipelines: {metrics: {receivers: [aws_cloudwatch_metrics], exporters: [debug]}}
`, unused(), region, f.URL(sandbox.CloudWatch), f.URL(sandbox.EC2API), f.URL(sandbox.Tagging), f.URL(sandbox.STS), receiver)
}

// collect runs the Collector for as long as do does.
func (f *fleet) collect(ctx context.Context, s settings, receiver string, do func(pid int) error) (collectorState, error) {
	return collecting(ctx, s, f.config(receiver), do, f.env()...)
}

// quiet is how long no request comes between two polls, and never within one.
const quiet = 2 * time.Second

// poll waits for the next poll to begin and to end, and returns what the program has taken of
// the CPU by then.
func (f *fleet) poll(ctx context.Context, pid int) (time.Duration, error) {
	began, limit := f.asked(), time.Now().Add(3*time.Minute)
	for last, since := began, time.Now(); time.Now().Before(limit); {
		switch now := f.asked(); {
		case now != last:
			last, since = now, time.Now()
		case now > began && time.Since(since) > quiet:
			return cpuOf(pid), nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return 0, err
		}
	}
	return 0, errors.New("no poll in three minutes")
}

// ec2Metrics are the nine of an instance of a Nitro type.
var ec2Metrics = []string{"CPUUtilization", "NetworkIn", "NetworkOut", "NetworkPacketsIn", "NetworkPacketsOut", "EBSReadBytes", "EBSWriteBytes", "EBSReadOps", "EBSWriteOps"}

// fleetPoll: what it takes of this machine to poll the metrics of many instances.
func fleetPoll(ctx context.Context, s settings) (section, error) {
	result := section{
		title: "Metrics of a fleet",
		method: "keyless-collector polls nine metrics of each m5.large once a minute from the sandbox, thirteen points of a minute each time of which one is new, and asks EC2 for the instances and their status, with the cursor on disk; the first poll does not count. CPU is the kernel's account of the whole " +
			"program from the end of a poll to the end of the next. Beside it aws-sdk-go-v2's clients make the same requests and decode the same answers, which they have in memory. " +
			"The line is go test -bench of the receiver's package: the CPU of a poll without the network.",
		head: []string{"", "CPU of a poll", "peak of memory"},
	}
	n := max(int(10_000*s.scale), 100)
	f, err := newFleet(n, "m5.large")
	if err != nil {
		return section{}, err
	}
	defer f.close()
	ours, peak, err := f.steady(ctx, s, s.rounds(3))
	if err != nil {
		return section{}, err
	}
	alone, both, err := f.sdk(s)
	if err != nil {
		return section{}, err
	}
	row := func(what string, took time.Duration, memory string) {
		result.rows = append(result.rows, []string{what, took.Round(time.Millisecond).String(), memory})
	}
	row(fmt.Sprintf("keyless-collector, %d instances", n), ours, megabytes(peak))
	row("aws-sdk-go-v2, decoding the answers of EC2 and CloudWatch", both, "")
	row("aws-sdk-go-v2, those of CloudWatch alone", alone, "")
	result.goals = append(result.goals,
		goal{what: "CPU of a poll, to decoding its answers with the SDK", got: ratio(ours, both), limit: 2, unit: "×"},
		goal{what: "peak of memory", got: float64(peak) * 1024 / 1e6, limit: 200, unit: " MB"})
	return result, result.line(ctx, s)
}

// steady polls a few times after the first, and returns what one takes.
func (f *fleet) steady(ctx context.Context, s settings, polls int) (time.Duration, int, error) {
	const receiver = `    ec2: {enabled: true, refresh: 1m}
    metrics: {collection_interval: 1m, period: 1m, delay: 0s}
    lookback: 13m
    max_backfill: 13m`
	var times []float64
	state, err := f.collect(ctx, s, receiver, func(pid int) error {
		last, err := f.poll(ctx, pid)
		for range polls {
			if err != nil {
				return err
			}
			var now time.Duration
			if now, err = f.poll(ctx, pid); err == nil {
				times, last = append(times, float64(now-last)), now
			}
		}
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	return time.Duration(median(times)), state.peak, nil
}

// sdk is what the SDK's decoding takes of the same answers: of CloudWatch's alone, and with
// those of EC2.
func (f *fleet) sdk(s settings) (alone, both time.Duration, err error) {
	out, err := stdoutOf(contestant{
		name: "cloudwatch", env: f.env(),
		args: append([]string{s.program("cloudwatch"), f.URL(sandbox.CloudWatch), f.URL(sandbox.EC2API), region, "5"}, ec2Metrics...),
	})
	if err != nil {
		return 0, 0, err
	}
	var micros [2]int64
	if _, err := fmt.Sscan(out, &micros[0], &micros[1]); err != nil {
		return 0, 0, err
	}
	return time.Duration(micros[0]) * time.Microsecond, time.Duration(micros[1]) * time.Microsecond, nil
}

var pollLine = regexp.MustCompile(`(?m)^BenchmarkPoll/(\d+)(?:-\d+)?\s.*\s([0-9.]+) cpu-ms/op`)

// line: what a poll takes of fleets of several sizes.
func (r *section) line(ctx context.Context, s settings) error {
	times := map[int][]float64{}
	for range s.rounds(3) {
		cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "Poll", "-benchtime", s.cacheBy, "-cpu", "1", "./receiver/awscloudwatchmetricsreceiver")
		cmd.Dir = "../collector"
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		for _, found := range pollLine.FindAllStringSubmatch(string(out), -1) {
			size, _ := strconv.Atoi(found[1]) // the pattern has looked at both
			ms, _ := strconv.ParseFloat(found[2], 64)
			times[size] = append(times[size], ms)
		}
	}
	sizes := []int{1000, 2500, 5000, 7500, 10_000}
	each := make([]float64, len(sizes)) // ms
	for i, size := range sizes {
		if len(times[size]) == 0 {
			return fmt.Errorf("no result of BenchmarkPoll/%d", size)
		}
		each[i] = median(times[size])
	}
	r.plot = plot{x: "instances", y: "ms of CPU a poll", at: sizes, values: each}
	last := len(sizes) - 1
	r.goals = append(r.goals, goal{
		what: "a poll of 10000 instances, to ten of 1000", got: each[last] / each[0] / 10, limit: 1.25, unit: "×",
	})
	return nil
}
