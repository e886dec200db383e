package interop_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The session on README's first screen works, and is short.
func TestReadmeSession(t *testing.T) {
	aws := installed(t, "PyPI's AWS CLI", "venv/bin/aws")
	session := sessionIn(t, "README.md")
	if lines := strings.Count(session, "\n"); lines > 8 {
		t.Errorf("the session has %d lines, want at most 8", lines)
	}
	typed(t, session, filepath.Dir(keyless(t)), filepath.Dir(aws))
}

// What the guide shows of the sandbox works: the published configuration, at the true names.
func TestTheGuideToElasticsearchBeginsWithASessionThatWorks(t *testing.T) {
	needNamespaces(t)
	typed(t, sessionIn(t, "docs/guides/ec2-elasticsearch.md"), filepath.Dir(keyless(t)), filepath.Dir(collector(t)))
}

// sessionIn is the first session at a console of a document.
func sessionIn(t *testing.T, document string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", document))
	if err != nil {
		t.Fatal(err)
	}
	_, session, found := strings.Cut(string(text), "```console\n")
	session, _, ended := strings.Cut(session, "```\n")
	if !found || !ended {
		t.Fatalf("%s has no session", document)
	}
	return session
}

// typed types a session at the top of the checkout, word for word, and looks that the
// answers are those shown; … stands for anything.
func typed(t *testing.T, session string, path ...string) {
	t.Helper()
	env := bareEnvironment(t).with(environment{"PATH": strings.Join(path, ":") + ":/usr/bin:/bin", "TMPDIR": t.TempDir()})
	for _, line := range strings.Split(session, "$ ")[1:] {
		command, want, _ := strings.Cut(line, "\n")
		got := run(t, env, "/bin/bash", "-c", "cd .. && "+command+" 2>&1").stdout
		pattern := strings.ReplaceAll(regexp.QuoteMeta(want), "…", ".*")
		if !regexp.MustCompile(`\A` + pattern + `\z`).MatchString(got) {
			t.Errorf("$ %s\ngot  %q\nwant %q", command, got, want)
		}
	}
}
