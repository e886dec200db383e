package convert

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/keyless-id/keyless/profile"
)

var update = flag.Bool("update", false, "write what comes out into testdata instead of comparing")

// TestConversions compares testdata/*.txtar: the file, or an environment, that is given,
// and keyless.yaml, the client's part and the notes that come out. No secret of it does.
func TestConversions(t *testing.T) {
	all, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(all) < 10 {
		t.Fatalf("%d conversions, %v", len(all), err)
	}
	for _, path := range all {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) { golden(t, path) })
	}
}

func golden(t *testing.T, path string) {
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	given := archive.Files[0]
	result, err := convertAny(given)
	config := "keyless.yaml"
	if strings.HasPrefix(filepath.Base(path), "collector-") {
		result, err = Collector(given.Data)
		config = "collector.yaml"
	}
	got := []txtar.File{
		given,
		{Name: config, Data: result.Config},
		{Name: "client", Data: []byte(result.Client)},
		{Name: "notes", Data: []byte(notes(result.Notes))},
	}
	if err != nil {
		got = []txtar.File{given, {Name: "error", Data: []byte(spelled(err) + "\n")}}
	}
	for _, part := range got[1:] {
		if strings.Contains(string(part.Data), "hunter2") {
			t.Errorf("%s shows a secret:\n%s", part.Name, part.Data)
		}
	}
	if err == nil && config == "keyless.yaml" {
		works(t, result.Config)
	}
	if *update {
		if err := os.WriteFile(path, txtar.Format(&txtar.Archive{Comment: archive.Comment, Files: got}), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if len(got) != len(archive.Files) {
		t.Fatalf("%d parts, want %d: %v", len(got), len(archive.Files), err)
	}
	for i, part := range got {
		if want := archive.Files[i]; part.Name != want.Name || string(part.Data) != string(want.Data) {
			t.Errorf("%s: got\n%s\nwant %s:\n%s", part.Name, part.Data, want.Name, want.Data)
		}
	}
}

// convertAny converts a file, or, named so, an environment.
func convertAny(f txtar.File) (Result, error) {
	if f.Name != "environment" {
		return File(f.Data)
	}
	result, known, err := Environment(environment(string(f.Data)))
	if !known {
		return result, fmt.Errorf("no environment of ours")
	}
	return result, err
}

func environment(text string) func(string) string {
	all := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		all[name] = value
	}
	return func(name string) string { return all[name] }
}

func notes(all []Note) string {
	var b strings.Builder
	for _, n := range all {
		b.WriteString(n.String() + "\n")
	}
	return b.String()
}

func spelled(err error) string {
	wrong, ok := err.(*profile.Error) //nolint:errorlint // it must be that one, and not around another
	if !ok {
		return "not a *profile.Error: " + err.Error()
	}
	return fmt.Sprintf("%d: %s\nhint: %s", wrong.Line, wrong.Error(), wrong.Hint)
}

// anything is an environment in which every variable is set.
func anything(name string) string {
	if strings.HasSuffix(name, "ENDPOINT") {
		return "https://x.westeurope-1.ingest.monitor.azure.com"
	}
	return "11111111-2222-3333-4444-555555555555"
}

// works reports what profile would not take.
func works(t *testing.T, config []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keyless.yaml")
	if err := os.WriteFile(path, config, 0o600); err != nil {
		t.Fatal(err)
	}
	read, err := profile.Read(path)
	if err != nil {
		t.Fatalf("%v in\n%s", err, config)
	}
	if _, err := read.Serve(anything); err != nil {
		t.Errorf("%v in\n%s", err, config)
	}
	for _, name := range read.Names() {
		selected, err := profile.Select(name, path, nil, anything)
		if err != nil {
			t.Errorf("%v in\n%s", err, config)
			continue
		}
		if _, err := selected.Build(func(string) string { return "" }); err != nil {
			t.Errorf("%v in\n%s", err, config)
		}
		if len(selected.Warnings) > 0 {
			t.Errorf("%q in\n%s", selected.Warnings, config)
		}
	}
}
