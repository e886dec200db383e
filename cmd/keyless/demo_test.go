package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyless-id/keyless/sandbox"
)

func tell(t *testing.T, prepare func(*playground)) []step {
	t.Helper()
	g, err := newPlayground(filepath.Join(t.TempDir(), "play"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.remove() })
	prepare(g)
	s := &story{playground: g, getenv: g.getenv(func(string) string { return "" })}
	return s.run(t.Context())
}

func TestStoryIsToldToItsEnd(t *testing.T) {
	steps := tell(t, func(*playground) {})
	if len(steps) != 7 {
		t.Fatalf("%d steps", len(steps))
	}
	for _, s := range steps {
		if !s.OK {
			t.Errorf("%s: %s", s.Title, s.Error)
		}
	}
}

func TestStoryStopsAtTheHopThatFails(t *testing.T) {
	for hop, want := range map[sandbox.Hop]int{sandbox.IMDS: 2, sandbox.STS: 3, sandbox.S3: 6} {
		steps := tell(t, func(g *playground) { g.SetFault(hop, sandbox.Fault{Status: 400, Code: "AccessDenied"}) })
		last := steps[len(steps)-1]
		if len(steps) != want || last.OK || last.Error == "" {
			t.Errorf("%s broken: %d steps, want %d, the last %+v", hop, len(steps), want, last)
		}
		var out bytes.Buffer
		if err := newPage(&out, func(string) string { return "" }).story(steps); err != nil || !strings.Contains(out.String(), "✗ ") || !strings.Contains(out.String(), "error") {
			t.Errorf("%s broken: %v\n%s", hop, err, out.String())
		}
	}
}

// The last step is about a refusal: one for another reason is not the story.
func TestStoryWantsTheRefusalOfTheTrustPolicy(t *testing.T) {
	g, err := newPlayground(filepath.Join(t.TempDir(), "play"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.remove() })
	s := &story{playground: g, getenv: g.getenv(func(string) string { return "" })}
	g.SetFault(sandbox.STS, sandbox.Fault{Status: 400, Code: "ValidationError"})
	if err := s.refusal(t.Context(), &step{}); err == nil {
		t.Error("another refusal was taken for the one of the story")
	}
	g.ClearFaults()
	if err := s.refusal(t.Context(), &step{}); err != nil {
		t.Errorf("the refusal of the story: %v", err)
	}
}
