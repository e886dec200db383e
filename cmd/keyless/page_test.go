package main

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPageKeepsToTheTerminalsWidth(t *testing.T) {
	var out bytes.Buffer
	p := &page{out: bufio.NewWriter(&out), width: 60}
	long := strings.Repeat("some words that go on ", 20)
	err := p.story([]step{{
		Title: long, OK: true, Facts: []fact{{"name", long}}, Hint: long, Error: long,
		Checks: []check{{Condition: long, Want: []string{long}, Got: []string{long}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(out.String(), "\n")[1:] {
		if utf8.RuneCountInString(line) > 60 {
			t.Errorf("%d columns: %q", utf8.RuneCountInString(line), line)
		}
	}
	if words := strings.Count(strings.Join(strings.Fields(out.String()), " "), "some words that go on"); words < 60 {
		t.Errorf("the facts, hint and error are cut: %d", words)
	}
}

func TestPageIsPlainWhenItIsNotATerminal(t *testing.T) {
	var out bytes.Buffer
	p := newPage(&out, func(string) string { return "" })
	if err := p.story([]step{{Title: "x", OK: true}, {Title: "y"}}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "\x1b") || !strings.Contains(out.String(), "✓ 1. x") || !strings.Contains(out.String(), "✗ 2. y") {
		t.Errorf("got %q", out.String())
	}
}
