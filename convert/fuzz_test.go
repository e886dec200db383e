package convert

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/keyless-id/keyless/profile"
)

// seed adds the files of the conversions whose names begin so.
func seed(f *testing.F, names string) {
	f.Helper()
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		if archive := txtar.Parse(data); strings.HasPrefix(archive.Files[0].Name, names) {
			f.Add(archive.Files[0].Data)
		}
	}
}

// sound looks at what must be so of every conversion: the configuration is one
// that can be served, and an error is one line.
func sound(t *testing.T, result Result, err error) {
	t.Helper()
	if err != nil {
		var wrong *profile.Error
		if !errors.As(err, &wrong) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%T: %q", err, err)
		}
		return
	}
	config, err := profile.Parse("", result.Config)
	if err == nil && !bytes.Contains(result.Config, []byte("${")) {
		_, err = config.Serve(func(string) string { return "" })
	}
	if err != nil {
		t.Fatalf("%v in\n%s", err, result.Config)
	}
	for _, n := range result.Notes {
		if strings.ContainsAny(n.Text, "\r\n") || n.Line < 0 {
			t.Errorf("note %q", n)
		}
	}
}

func FuzzPrometheus(f *testing.F) {
	seed(f, "prometheus")
	f.Fuzz(func(t *testing.T, file []byte) {
		result, err := Prometheus(file)
		sound(t, result, err)
	})
}

func FuzzLogstash(f *testing.F) {
	seed(f, "pipeline")
	f.Fuzz(func(t *testing.T, file []byte) {
		result, err := Logstash(file)
		sound(t, result, err)
	})
}

func FuzzCollector(f *testing.F) {
	seed(f, "")
	f.Fuzz(func(t *testing.T, file []byte) {
		result, err := Collector(file)
		if err != nil {
			sound(t, result, err)
			return
		}
		if _, err := parse(result.Config); err != nil {
			t.Errorf("%v in\n%s", err, result.Config)
		}
	})
}
