package deadletter

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAFullFileMovesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dead")
	f := File{Config: Config{Path: path, MaxBytes: 4, MaxFiles: 1}}
	for _, line := range []string{"a\n", "b\n", "c\n", "d\n", "e\n"} {
		if err := f.Append([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{path: "e\n", path + ".1": "c\nd\n"} {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
}

func TestAFileThatCannotBeOpenedIsAnError(t *testing.T) {
	f := File{Config: Config{Path: filepath.Join(t.TempDir(), "no", "folder"), MaxBytes: 1}}
	if f.Append([]byte("a\n")) == nil || f.Open() == nil {
		t.Error("nothing was said")
	}
}
