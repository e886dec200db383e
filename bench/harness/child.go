package main

import (
	"bytes"
	"fmt"
	"os/exec"
)

// output runs a contestant and returns all it says.
func output(c contestant) (string, error) {
	cmd := exec.Command(c.args[0], c.args[1:]...)
	cmd.Env = c.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// stdoutOf runs a contestant and returns what it delivers.
func stdoutOf(c contestant) (string, error) {
	cmd := exec.Command(c.args[0], c.args[1:]...)
	cmd.Env = c.env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", c.name, err, stderr.String())
	}
	return stdout.String(), nil
}

// stderrOf runs a contestant and returns what it says besides.
func stderrOf(c contestant) (string, error) {
	cmd := exec.Command(c.args[0], c.args[1:]...)
	cmd.Env = c.env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", c.name, err, stderr.String())
	}
	return stderr.String(), nil
}
