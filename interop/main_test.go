package interop_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// keylessBinary is the program under test, as a user would build it.
var keylessBinary string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "keyless-interop-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	keylessBinary = filepath.Join(dir, "keyless")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", keylessBinary, "./cmd/keyless")
	build.Dir = ".."
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build ./cmd/keyless: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}
