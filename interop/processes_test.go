package interop_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

// processOutput is the JSON of a credential_process.
type processOutput struct {
	Version                                   int
	AccessKeyID                               string `json:"AccessKeyId"`
	SecretAccessKey, SessionToken, Expiration string
}

func parseOutput(t *testing.T, text string) processOutput {
	t.Helper()
	var output processOutput
	if err := json.Unmarshal([]byte(text), &output); err != nil {
		t.Fatalf("not the JSON of a credential_process: %v: %q", err, text)
	}
	if output.Version != 1 || output.AccessKeyID == "" || output.SecretAccessKey == "" || output.SessionToken == "" {
		t.Fatalf("incomplete: %q", text)
	}
	if expiry, err := time.Parse("2006-01-02T15:04:05Z", output.Expiration); err != nil || time.Until(expiry) < 20*time.Minute {
		t.Fatalf("expiration %q: want UTC without a fraction, 20 minutes from now or later", output.Expiration)
	}
	return output
}

func TestFiftyColdStartsMakeOneRequest(t *testing.T) {
	t.Parallel()
	const crowd = 50
	for _, profile := range []struct {
		name string
		hop  sandbox.Hop
	}{{"vm", sandbox.IMDS}, {"app", sandbox.Entra}} {
		t.Run(profile.name, func(t *testing.T) {
			c := newCloud(t)
			w := newWorkload(t, c, c.URL(sandbox.STS))
			outputs := startTogether(t, w, crowd, profile.name)
			for i, output := range outputs {
				if output != outputs[0] {
					t.Fatalf("process %d printed something else: got %q, want %q", i, output, outputs[0])
				}
			}
			parseOutput(t, outputs[0])
			if got := c.Requests(profile.hop); got != 1 {
				t.Errorf("token requests: got %d, want 1", got)
			}
			if got := c.Requests(sandbox.STS); got != 1 {
				t.Errorf("STS requests: got %d, want 1", got)
			}
		})
	}
}

// startTogether runs the helper n times at once and returns what each printed.
func startTogether(t *testing.T, w *workload, n int, profile string) []string {
	t.Helper()
	program := keyless(t)
	outputs, problems := make([]string, n), make([]string, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			cmd := exec.Command(program, "credential-process", profile, "--config", w.config)
			cmd.Env = w.env.list()
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Run(); err != nil || stderr.Len() > 0 {
				problems[i] = strings.TrimSpace(stderr.String())
				if err != nil {
					problems[i] += " (" + err.Error() + ")"
				}
			}
			outputs[i] = stdout.String()
		})
	}
	all.Wait()
	for i, problem := range problems {
		if problem != "" {
			t.Fatalf("process %d: %s", i, problem)
		}
	}
	return outputs
}

// TestKilledAtAnyMoment kills the helper after a random part of the time that a
// run takes. What it leaves must not disturb the next run, nor pile up.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	const wanted, most = 200, 2000
	c := newCloud(t)
	w := newWorkload(t, c, c.URL(sandbox.STS))
	killAfter(t, w, time.Minute)
	_, whole := killAfter(t, w, time.Minute)
	clean := len(cacheFiles(t, w))
	if clean == 0 {
		t.Fatal("the cache is empty after a good run: this test would prove nothing")
	}

	// A run on an empty cache takes longer, so each kind has its own time. It grows
	// with each kill, so that the last moments of a run are met as well.
	takes := map[bool]time.Duration{true: whole, false: whole}
	killed, runs := 0, 0
	for ; killed < wanted && runs < most; runs++ {
		cold := rand.N(3) > 0
		if cold {
			if err := os.RemoveAll(w.cache); err != nil {
				t.Fatal(err)
			}
		}
		if midway, took := killAfter(t, w, rand.N(takes[cold])); midway {
			killed++
			takes[cold] += takes[cold] / 8
		} else {
			takes[cold] = took
		}
	}
	if killed < wanted {
		t.Errorf("only %d of %d runs were killed: this test proves little", killed, runs)
	}
	t.Logf("%d of %d runs were killed on their way", killed, runs)

	for range 20 { // now with what the killed ones left
		killAfter(t, w, rand.N(takes[false]))
	}
	if _, took := killAfter(t, w, time.Minute); took > 2*time.Second {
		t.Errorf("the run after the killed ones took %s, a clean one %s: is a lock stuck?", took, whole)
	}
	parseOutput(t, w.keyless(t, "credential-process", "app").wantSuccess(t).stdout)
	if left := cacheFiles(t, w); len(left) > clean+2 {
		t.Errorf("killed runs left files behind: got %d, %d after a clean run: %q", len(left), clean, left)
	}
}

// killAfter starts the helper and kills it after a delay. It reports whether the
// helper was still on its way; what it printed is all or nothing.
func killAfter(t *testing.T, w *workload, delay time.Duration) (midway bool, took time.Duration) {
	t.Helper()
	cmd := exec.Command(keyless(t), "credential-process", "app", "--config", w.config)
	cmd.Env = w.env.list()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(delay, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait()
	took = time.Since(began)
	timer.Stop()
	if stdout.Len() > 0 {
		parseOutput(t, stdout.String())
	}
	if code := cmd.ProcessState.ExitCode(); code > 0 { // -1: killed
		t.Fatalf("exit code %d after the other runs were killed: %s", code, stderr.String())
	}
	return !cmd.ProcessState.Exited(), took
}

func cacheFiles(t *testing.T, w *workload) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(w.cache, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestTwoProfilesDoNotShare: the cache key holds everything that changes the answer.
func TestTwoProfilesDoNotShare(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	w := newWorkload(t, c, c.URL(sandbox.STS))
	app := parseOutput(t, w.keyless(t, "credential-process", "app").wantSuccess(t).stdout)
	chain := parseOutput(t, w.keyless(t, "credential-process", "chain").wantSuccess(t).stdout)
	if app.AccessKeyID == chain.AccessKeyID {
		t.Error("two roles got the same credentials")
	}
	warm := parseOutput(t, w.keyless(t, "credential-process", "app").wantSuccess(t).stdout)
	if warm != app {
		t.Error("the second run of the same profile got other credentials")
	}
}

// TestCachedCredentialsSurviveAnOutage of both clouds.
func TestCachedCredentialsSurviveAnOutage(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	w := newWorkload(t, c, c.URL(sandbox.STS))
	before := w.keyless(t, "credential-process", "vm").wantSuccess(t)
	for _, hop := range []sandbox.Hop{sandbox.Entra, sandbox.IMDS, sandbox.STS} {
		c.SetFault(hop, sandbox.Fault{Status: 503})
	}
	after := w.keyless(t, "credential-process", "vm").wantSuccess(t)
	if after.stdout != before.stdout {
		t.Errorf("during the outage: got %q, want %q", after.stdout, before.stdout)
	}
}
