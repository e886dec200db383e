package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// machine says what the numbers were measured on.
func machine(ctx context.Context) [][]string {
	return [][]string{
		{"date", time.Now().UTC().Format(time.RFC3339)},
		{"processor", fmt.Sprintf("%s, %d cores", fieldOf("/proc/cpuinfo", "model name", ":"), runtime.NumCPU())},
		{"memory", fieldOf("/proc/meminfo", "MemTotal", ":")},
		{"system", strings.Trim(fieldOf("/etc/os-release", "PRETTY_NAME", "="), `"`)},
		{"kernel", said(ctx, "uname", "-r")},
		{"Go", runtime.Version()},
		{"commit", said(ctx, "git", "rev-parse", "--short", "HEAD")},
		{"load before the report", fieldOf("/proc/loadavg", "", " ")},
	}
}

// fieldOf returns the value of a line "name separator value" of a file.
func fieldOf(path, name, separator string) string {
	file, err := os.Open(path)
	if err != nil {
		return "unknown"
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if name == "" {
			first, _, _ := strings.Cut(lines.Text(), separator)
			return first
		}
		if key, value, found := strings.Cut(lines.Text(), separator); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// said returns the first line that a program prints.
func said(ctx context.Context, program string, args ...string) string {
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		return "not there"
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return first
}
