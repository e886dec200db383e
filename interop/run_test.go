package interop_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// environment is what a child process sees: nothing of ours, so that neither a
// proxy nor a CA bundle of the machine decides a test.
type environment map[string]string

// with returns a copy with more variables; an empty value removes one.
func (e environment) with(more environment) environment {
	result := maps.Clone(e)
	for name, value := range more {
		if value == "" {
			delete(result, name)
			continue
		}
		result[name] = value
	}
	return result
}

func (e environment) list() []string {
	list := make([]string, 0, len(e))
	for name, value := range e {
		list = append(list, name+"="+value)
	}
	return slices.Sorted(slices.Values(list))
}

// bareEnvironment has a home and a search path, nothing else.
func bareEnvironment(t *testing.T) environment {
	t.Helper()
	return environment{
		"PATH": "/usr/bin:/bin",
		"HOME": t.TempDir(),
		"LANG": "C.UTF-8",
	}
}

type result struct {
	stdout, stderr string
	code           int
}

// run runs a program to its end, or for a minute.
func run(t *testing.T, env environment, program string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = env.list()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", program, err)
	}
	if ctx.Err() != nil {
		t.Fatalf("%s %q did not end: stdout %q, stderr %q", program, args, stdout.String(), stderr.String())
	}
	return result{stdout: stdout.String(), stderr: stderr.String(), code: cmd.ProcessState.ExitCode()}
}

// wantSuccess fails the test unless the program exited with 0.
func (r result) wantSuccess(t *testing.T) result {
	t.Helper()
	if r.code != 0 {
		t.Fatalf("exit code: got %d, want 0\nstdout: %s\nstderr: %s", r.code, r.stdout, r.stderr)
	}
	return r
}

// wantRefusal fails the test unless the program exited with code, printed
// nothing on stdout, and said every one of the words on stderr.
func (r result) wantRefusal(t *testing.T, code int, words ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code: got %d, want %d", r.code, code)
	}
	if r.stdout != "" {
		t.Errorf("stdout: got %q, want nothing", r.stdout)
	}
	for _, word := range words {
		if !strings.Contains(r.stderr, word) {
			t.Errorf("stderr does not say %q", word)
		}
	}
	if t.Failed() {
		t.Logf("stderr: %s", r.stderr)
	}
}
