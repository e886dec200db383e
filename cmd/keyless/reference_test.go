package main

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

var update = flag.Bool("update", false, "write the reference and the man pages instead of comparing them")

// TestReferenceIsCurrent compares docs/reference and docs/man with the command tree;
// make docs writes them.
func TestReferenceIsCurrent(t *testing.T) {
	root := newRoot(&program{stdout: io.Discard, stderr: io.Discard})
	root.DisableAutoGenTag = true
	root.CompletionOptions.HiddenDefaultCmd = false // it has its pages all the same
	root.InitDefaultCompletionCmd()
	day := time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)
	for dir, generate := range map[string]func(cmd *cobra.Command, dir string) error{
		"../../docs/reference": doc.GenMarkdownTree,
		"../../docs/man": func(cmd *cobra.Command, dir string) error {
			return doc.GenManTree(cmd, &doc.GenManHeader{Section: "1", Source: "keyless", Manual: "keyless", Date: &day}, dir)
		},
	} {
		if *update {
			remake(t, dir)
			if err := generate(root, dir); err != nil {
				t.Fatal(err)
			}
			continue
		}
		fresh := t.TempDir()
		if err := generate(root, fresh); err != nil {
			t.Fatal(err)
		}
		compare(t, fresh, dir)
	}
}

// generated are the pages of the commands; others are somebody else's.
const generated = "keyless*"

func remake(t *testing.T, dir string) {
	t.Helper()
	old, _ := filepath.Glob(filepath.Join(dir, generated))
	for _, page := range old {
		if err := os.Remove(page); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

func compare(t *testing.T, fresh, dir string) {
	t.Helper()
	want, err := filepath.Glob(filepath.Join(fresh, generated))
	if err != nil {
		t.Fatal(err)
	}
	have, _ := filepath.Glob(filepath.Join(dir, generated))
	if len(have) != len(want) {
		t.Errorf("%s has %d files, want %d; run make docs", dir, len(have), len(want))
	}
	for _, path := range want {
		a, _ := os.ReadFile(path)
		b, _ := os.ReadFile(filepath.Join(dir, filepath.Base(path)))
		if !bytes.Equal(a, b) {
			t.Errorf("%s is not current; run make docs", filepath.Join(dir, filepath.Base(path)))
		}
	}
}

// TestHelpIsOneScreen keeps what a person sees first short.
func TestHelpIsOneScreen(t *testing.T) {
	var out bytes.Buffer
	if code := run(t.Context(), []string{}, nil, nil, &out, io.Discard); code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	if lines := bytes.Count(out.Bytes(), []byte{'\n'}); lines > 24 {
		t.Errorf("%d lines:\n%s", lines, out.String())
	}
}
