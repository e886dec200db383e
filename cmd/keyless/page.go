package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// page prints for people: in colour and cut to the width of a terminal, plain and
// whole anywhere else.
type page struct {
	out    *bufio.Writer
	colour bool
	width  int // zero: no limit
}

func newPage(w io.Writer, getenv func(string) string) *page {
	p := &page{out: bufio.NewWriter(w)}
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return p
	}
	p.colour = getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
	if width, _, err := term.GetSize(int(file.Fd())); err == nil && width >= 40 {
		p.width = width
	}
	return p
}

// isTerminal reports whether a person is likely to read w.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

const (
	bold  = "1"
	faint = "2"
	red   = "31"
	green = "32"
)

func (p *page) paint(code, text string) string {
	if !p.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// fit cuts text so that it ends at the terminal's edge when it starts at column used.
func (p *page) fit(text string, used int) string {
	room := p.width - used
	if p.width == 0 || room < 2 || utf8.RuneCountInString(text) <= room {
		return text
	}
	return string([]rune(text)[:room-1]) + "…"
}

// wrap breaks text between words so that it stays between column indent and the
// terminal's edge.
func (p *page) wrap(text string, indent int) string {
	room := p.width - indent
	if p.width == 0 || room < 20 {
		return text
	}
	var b strings.Builder
	column := 0
	for i, word := range strings.Split(text, " ") {
		length := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case column+1+length > room:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += length
	}
	return b.String()
}

func (p *page) line(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }

func (p *page) story(steps []step) error {
	p.line("%s", p.paint(bold, "keyless demo: from a VM in Azure to a bucket in AWS, and no key is stored anywhere"))
	for i, s := range steps {
		p.line("")
		p.line("%s %s", p.mark(s.OK), p.paint(bold, p.fit(fmt.Sprintf("%d. %s", i+1, s.Title), 2)))
		p.step(s)
	}
	return p.out.Flush()
}

func (p *page) step(s step) {
	const indent = 16
	for i, f := range s.Facts {
		name := f.Name
		if i > 0 && s.Facts[i-1].Name == name {
			name = ""
		}
		p.line("    %s%s", p.paint(faint, fmt.Sprintf("%-12s", name)), p.wrap(f.Value, indent))
	}
	for _, c := range s.Checks {
		p.check(c)
	}
	if s.Error != "" {
		p.line("    %s%s", p.paint(red, fmt.Sprintf("%-12s", "error")), p.wrap(s.Error, indent))
	}
	if s.Hint != "" {
		p.line("    %-12s%s", "hint", p.wrap(s.Hint, indent))
	}
}

func (p *page) check(c check) {
	p.line("    %s %s", p.mark(c.OK), p.fit(c.Condition, 6))
	want := strings.Join(c.Want, " or ")
	if c.OK {
		p.line("      %s%s", p.paint(faint, "token has   "), p.fit(strings.Join(c.Got, " and "), 18))
		return
	}
	p.line("      %s%s", p.paint(faint, "policy wants "), p.fit(want, 19))
	p.line("      %s%s", p.paint(faint, "token has    "), p.fit(strings.Join(c.Got, " and "), 19))
}

func (p *page) mark(ok bool) string {
	if ok {
		return p.paint(green, "✓")
	}
	return p.paint(red, "✗")
}
