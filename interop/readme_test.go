package interop_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeSession types what README's first screen shows, word for word, and looks
// that the answers are those shown there; … stands for anything.
func TestReadmeSession(t *testing.T) {
	aws := installed(t, "PyPI's AWS CLI", "venv/bin/aws")
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, session, found := strings.Cut(string(readme), "```console\n")
	session, _, ended := strings.Cut(session, "```\n")
	if !found || !ended {
		t.Fatal("README.md has no session")
	}
	if lines := strings.Count(session, "\n"); lines > 8 {
		t.Errorf("the session has %d lines, want at most 8", lines)
	}
	env := bareEnvironment(t).with(environment{
		"PATH": filepath.Dir(keyless(t)) + ":" + filepath.Dir(aws) + ":/usr/bin:/bin", "TMPDIR": t.TempDir(),
	})
	for _, typed := range strings.Split(session, "$ ")[1:] {
		command, want, _ := strings.Cut(typed, "\n")
		got := run(t, env, "/bin/bash", "-c", command+" 2>&1").stdout
		pattern := strings.ReplaceAll(regexp.QuoteMeta(want), "…", ".*")
		if !regexp.MustCompile(`\A` + pattern + `\z`).MatchString(got) {
			t.Errorf("$ %s\ngot  %q\nwant %q", command, got, want)
		}
	}
}
