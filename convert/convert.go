// Package convert turns what other tools are told into keyless's configuration, for people
// who have such a tool: Prometheus's remote_write, Logstash's output to Microsoft Sentinel,
// and the environments of two proxies for Azure Monitor. What cannot be carried over is
// said. Secrets are not read: the configuration refers to an environment variable, and a
// note says which.
package convert

import (
	"bytes"
	"fmt"

	"github.com/keyless-id/keyless/internal/pattern"
	"github.com/keyless-id/keyless/profile"
)

// Result is what another tool's configuration becomes.
type Result struct {
	// Config is keyless.yaml, whole, with comments where a person must decide.
	Config []byte
	// Client is what the other tool's file is to say instead; empty: nothing changes there.
	Client string
	// Notes are what was not carried over, or must be decided.
	Notes []Note
}

// Note is about a place in the other tool's configuration.
type Note struct {
	Line       int    // zero: none, or not known
	Path, Text string // Path is that of a setting, or the name of an environment variable; several stand in a row
}

// String returns "line: path: text", leaving out what is empty.
func (n Note) String() string {
	text := n.Text
	if n.Path != "" {
		text = n.Path + ": " + text
	}
	if n.Line > 0 {
		text = fmt.Sprintf("%d: %s", n.Line, text)
	}
	return text
}

// maxFile is far more than any such file has, in bytes.
const maxFile = 1 << 20

// The beginnings by which a file is recognised.
var (
	likePrometheus = pattern.Lazy(`(?m)^["']?remote_write["']?\s*:`)
	likeLogstash   = pattern.Lazy(`(?m)^\s*output\s*\{`)
)

// File converts a file of whichever kind it is, by its content. The errors of this package
// are [*profile.Error]s without the name of the file.
func File(file []byte) (Result, error) {
	switch prometheus, logstash := likePrometheus().Match(file), likeLogstash().Match(file); {
	case prometheus && logstash && unreadable(file):
		return Result{}, &profile.Error{
			Message: "has both a remote_write of Prometheus and an output of Logstash",
			Hint:    "give one file at a time",
		}
	case prometheus:
		return Prometheus(file)
	case logstash:
		return Logstash(file)
	}
	return Result{}, &profile.Error{
		Message: "is neither a Prometheus configuration with remote_write nor a Logstash pipeline with an output",
		Hint:    "the environments of aad-auth-proxy and of Azure Monitor's remote-write container are for keyless proxy",
	}
}

// unreadable reports whether a file is neither of the two as a whole.
func unreadable(file []byte) bool {
	_, notYAML := parse(file)
	_, notLogstash := parsePipeline(string(file))
	return notYAML != nil && notLogstash != nil
}

func tooLong(file []byte) error {
	if len(file) > maxFile {
		return &profile.Error{Message: fmt.Sprintf("larger than %d bytes", maxFile)}
	}
	if bytes.IndexByte(file, 0) >= 0 {
		return &profile.Error{Message: "is no text"}
	}
	return nil
}

// at is a place in a file, for errors and notes.
type at struct {
	line int
	path string
}

func (a at) wrong(hint, format string, args ...any) error {
	return &profile.Error{Line: a.line, Path: a.path, Message: fmt.Sprintf(format, args...), Hint: hint}
}
