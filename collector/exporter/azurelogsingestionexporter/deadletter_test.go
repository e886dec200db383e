package azurelogsingestionexporter

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/keyless-id/keyless/collector/internal/deadletter"
)

func TestDeadLettersAreBoundedAndNobodyElseReadsThem(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dead.json")
	write := func(files, first, n int) {
		t.Helper()
		d := &deadLetters{file: deadletter.File{Config: DeadLetterConfig{Path: path, MaxBytes: 2000, MaxFiles: files}}}
		for i := range n {
			if err := d.write(destination{ruleOne, tableX}, "Code", "why", fmt.Appendf(nil, `{"n":%d}`, first+i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write(2, 0, 5)
	write(2, 5, 95) // goes on where the first ended
	n := 99.0
	for _, name := range []string{path, path + ".1", path + ".2"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > 2000 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has %d bytes and mode %v", name, info.Size(), info.Mode())
		}
		letters := deadLines(t, name)
		for i := len(letters) - 1; i >= 0; i-- {
			if got := letters[i]["row"].(map[string]any)["n"]; got != n {
				t.Fatalf("%s: got %v, want %v", name, got, n)
			}
			n--
		}
	}
	if _, err := os.Stat(path + ".3"); err == nil {
		t.Error("there is one too many")
	}
	write(0, 0, 100)
	if letters := deadLines(t, path); letters[len(letters)-1]["row"].(map[string]any)["n"] != 99.0 {
		t.Errorf("%v", letters[len(letters)-1])
	}
}

func TestARowThatIsNoJSONIsKeptAsText(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dead.json")
	d := &deadLetters{file: deadletter.File{Config: DeadLetterConfig{Path: path, MaxBytes: 1000}}}
	if err := d.write(destination{}, "c", "m", []byte(`{"a`)); err != nil {
		t.Fatal(err)
	}
	if got := deadLines(t, path)[0]["row"]; got != `{"a` {
		t.Errorf("%v", got)
	}
	if err := d.file.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestWithoutAFileTheLogDoesNotHaveTheRow(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	d := &deadLetters{logger: zap.New(core)}
	if err := d.write(destination{ruleOne, tableX}, "Code", "why", []byte(`{"password":"hunter2"}`)); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(logs.All())
	if logs.Len() != 1 || strings.Contains(text, "hunter2") || !strings.Contains(text, "Code") {
		t.Error(text)
	}
}
