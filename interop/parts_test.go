package interop_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// missing skips the test for want of a part. Where CI is set every part must be
// there, so it fails instead.
func missing(t *testing.T, part, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s is missing: %s", part, why)
	}
	t.Skipf("%s is missing: %s", part, why)
}

// installed returns the absolute path of a program that make test installs.
func installed(t *testing.T, part, path string) string {
	t.Helper()
	if !filepath.IsAbs(path) {
		abs, err := filepath.Abs(filepath.Join("..", ".tools", path))
		if err != nil {
			t.Fatal(err)
		}
		path = abs
	}
	if _, err := os.Stat(path); err != nil {
		missing(t, part, err.Error())
	}
	return path
}

// awsClient is one way to reach AWS from a shell: a CLI and a Python with boto3.
type awsClient struct {
	name   string
	cli    func(t *testing.T) string
	python func(t *testing.T) string
}

// awsClients are the old ones that Debian ships and the current ones from PyPI.
var awsClients = []awsClient{
	{name: "debian", cli: part("Debian's AWS CLI", "/usr/bin/aws"), python: debianPython},
	{name: "pypi", cli: part("PyPI's AWS CLI", "venv/bin/aws"), python: part("PyPI's boto3", "venv/bin/python")},
}

func part(name, path string) func(t *testing.T) string {
	return func(t *testing.T) string {
		t.Helper()
		return installed(t, name, path)
	}
}

func debianPython(t *testing.T) string {
	t.Helper()
	python := installed(t, "Debian's Python", "/usr/bin/python3")
	probe := exec.Command(python, "-c", "import boto3")
	probe.Env = []string{"PATH=/usr/bin:/bin"}
	if out, err := probe.CombinedOutput(); err != nil {
		missing(t, "Debian's boto3", string(out))
	}
	return python
}
