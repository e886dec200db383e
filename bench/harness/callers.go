package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/keyless-id/keyless/sandbox"
)

const listBuckets = `
import boto3, sys
boto3.Session(profile_name="bench").client("s3", endpoint_url=sys.argv[1]).list_buckets()
`

// caller is a program that gets its credentials from a profile. The profile is an
// argument and not in the environment: there the AWS CLI inside the bash way would
// read it too, and run the bash way.
type caller struct {
	name string
	cli  string // what the bash way runs: the current CLI leaves traces in the environment that the old one trips over
	args []string
}

// callers: what the programs that run the helper pay for it.
func callers(ctx context.Context, s settings) (section, error) {
	w, err := newWorld()
	if err != nil {
		return section{}, err
	}
	defer w.close()
	ways, err := s.ways(w)
	if err != nil {
		return section{}, err
	}
	result := section{
		title: "What callers pay",
		method: "The same listing of buckets with credentials from a stored key, from keyless (cached) and from the bash way. " +
			"The ratio to a stored key is the median of the ratios within a round. Versions: " + versions(ctx, s),
		head: []string{"program", "stored key, wall p50 ms", "keyless", "×", "bash way", "×", "runs"},
	}
	programs := existing(s.callers(w))
	if len(programs) == 0 {
		return section{}, fmt.Errorf("neither AWS CLI nor boto3 is there: run make parts")
	}
	for _, program := range programs {
		row, goals, err := measureCaller(ctx, s, w, program, ways)
		if err != nil {
			return section{}, err
		}
		result.rows = append(result.rows, row)
		result.goals = append(result.goals, goals...)
	}
	return result, nil
}

func measureCaller(ctx context.Context, s settings, w *world, program caller, ways map[string]string) ([]string, []goal, error) {
	with := func(way string, every int) contestant {
		return contestant{
			name: program.name + ", " + way, args: program.args, every: every,
			env: w.env("AWS_CONFIG_FILE="+ways[way], "AWS="+program.cli),
		}
	}
	static, ours, bash := with("stored key", 1), with("keyless", 1), with("bash way", 10)
	results, err := roundRobin(ctx, s.rounds(61), []contestant{static, ours, bash})
	if err != nil {
		return nil, nil, err
	}
	floor, mine, theirs := results[static.name].wall(), results[ours.name].wall(), results[bash.name].wall()
	row := []string{
		program.name, ms(floor), ms(mine), number(paired(results[ours.name], results[static.name])), ms(theirs), number(ratio(theirs, floor)),
		fmt.Sprint(len(results[static.name])),
	}
	return row, []goal{{what: program.name + ", wall, to a stored key, paired", got: paired(results[ours.name], results[static.name]), limit: 1.03, unit: "×"}}, nil
}

// ways writes the AWS config files of the ways to get credentials.
func (s settings) ways(w *world) (map[string]string, error) {
	texts := map[string]string{
		"stored key": fmt.Sprintf("aws_access_key_id = %s\naws_secret_access_key = %s\n", staticID, staticSecret),
		"keyless":    fmt.Sprintf("credential_process = %q credential-process vm --config %q\n", s.program("keyless"), w.config),
		"bash way":   fmt.Sprintf("credential_process = %q %s %s\n", s.program("credentials.sh"), audience, roleARN),
	}
	files := map[string]string{}
	for way, text := range texts {
		file := filepath.Join(w.dir, strings.ReplaceAll(way, " ", "-"))
		if err := os.WriteFile(file, []byte("[profile bench]\n"+text), 0o600); err != nil {
			return nil, err
		}
		files[way] = file
	}
	return files, nil
}

func (s settings) callers(w *world) []caller {
	s3, list := w.URL(sandbox.S3), []string{"--profile", "bench", "--endpoint-url", w.URL(sandbox.S3), "s3", "ls"}
	debian, current := "/usr/bin/aws", filepath.Join(s.venv, "bin/aws")
	return []caller{
		{"aws s3 ls, Debian", debian, append([]string{debian}, list...)},
		{"aws s3 ls, PyPI", current, append([]string{current}, list...)},
		{"boto3, Debian", debian, []string{"/usr/bin/python3", "-c", listBuckets, s3}},
		{"boto3, PyPI", current, []string{filepath.Join(s.venv, "bin/python"), "-c", listBuckets, s3}},
	}
}

// existing leaves out what is not installed; the table shows which ones ran.
func existing(all []caller) []caller {
	var there []caller
	for _, c := range all {
		if _, err := os.Stat(c.args[0]); err == nil {
			there = append(there, c)
		}
	}
	return there
}

func versions(ctx context.Context, s settings) string {
	const boto = "import boto3; print(boto3.__version__)"
	return strings.Join([]string{
		"Debian " + said(ctx, "/usr/bin/aws", "--version"), "boto3 " + said(ctx, "/usr/bin/python3", "-c", boto),
		"PyPI " + said(ctx, filepath.Join(s.venv, "bin/aws"), "--version"), "boto3 " + said(ctx, filepath.Join(s.venv, "bin/python"), "-c", boto),
	}, ", ") + "."
}
