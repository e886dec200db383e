package convert

import (
	"slices"
	"strings"

	"github.com/keyless-id/keyless/internal/pattern"
)

// plugin is an output in a Logstash pipeline ("Structure of a pipeline", Logstash
// Reference).
type plugin struct {
	name        string
	line        int
	conditional bool // stands within if or else
	settings    []setting
}

type setting struct {
	name string
	line int
	value
}

// value is a text, or, if inner is set, an array, a hash or a codec. Only the texts of an
// array are of interest here.
type value struct {
	text  string
	inner bool
	items []string
}

// maxNesting is far more than any pipeline has.
const maxNesting = 64

// tokenKind says what a token is.
type tokenKind int

const (
	end    tokenKind = iota
	word             // stands bare
	quoted           // stood in quotes
	sign             // braces, brackets, commas and operators
)

type token struct {
	kind tokenKind
	text string
	line int
}

// is reports whether t is the sign or bare word text.
func (t token) is(text string) bool { return t.kind != quoted && t.kind != end && t.text == text }

// lexer cuts a pipeline into tokens. It is tolerant: it takes whatever cannot be mistaken
// for something else.
type lexer struct {
	rest string
	line int
	err  error
}

func (l *lexer) wrong(what string) {
	if l.err == nil {
		l.err = at{line: l.line}.wrong("keyless convert reads whole pipelines: input, filter and output sections", "%s", what)
	}
	l.rest = ""
}

func (l *lexer) take(n int) string {
	text := l.rest[:n]
	l.line += strings.Count(text, "\n")
	l.rest = l.rest[n:]
	return text
}

// skip goes over spaces and comments.
func (l *lexer) skip() {
	for {
		l.take(len(l.rest) - len(strings.TrimLeft(l.rest, " \t\r\n\ufeff")))
		if !strings.HasPrefix(l.rest, "#") {
			return
		}
		l.take(until(l.rest, "\n"))
	}
}

// until is where a text has one of the characters; its length if nowhere.
func until(text, characters string) int {
	if i := strings.IndexAny(text, characters); i >= 0 {
		return i
	}
	return len(text)
}

const operators = "=!~<>"

func (l *lexer) next() token {
	l.skip()
	line := l.line
	switch {
	case l.rest == "":
		return token{end, "", line}
	case l.rest[0] == '"' || l.rest[0] == '\'':
		return token{quoted, l.enclosed("a text that does not end"), line}
	case strings.HasPrefix(l.rest, "${"):
		return token{word, l.take(min(until(l.rest, "}\n")+1, len(l.rest))), line}
	case strings.ContainsRune(operators, rune(l.rest[0])):
		return token{sign, l.take(len(l.rest) - len(strings.TrimLeft(l.rest, operators))), line}
	case strings.ContainsRune("{}[](),", rune(l.rest[0])):
		return token{sign, l.take(1), line}
	}
	return token{word, l.take(max(until(l.rest, " \t\r\n{}[](),#\"'"+operators), 1)), line}
}

// enclosed reads up to the character that comes first, which a backslash can stand before.
func (l *lexer) enclosed(unless string) string {
	mark := l.rest[0]
	for i := 1; i < len(l.rest); i++ {
		switch l.rest[i] {
		case '\\':
			i++
		case mark:
			text := l.take(i + 1)
			return text[1:i]
		}
	}
	l.wrong(unless)
	return ""
}

// pipeline reads the outputs of a pipeline.
type pipeline struct {
	lexer
	outputs []plugin
}

// parsePipeline returns the outputs of a pipeline in the order of the file.
func parsePipeline(text string) ([]plugin, error) {
	p := &pipeline{lexer: lexer{rest: text, line: 1}}
	for section := p.next(); section.kind != end; section = p.next() {
		if !slices.Contains([]string{"input", "filter", "output"}, section.text) || section.kind != word {
			p.wrong("want input, filter or output")
			break
		}
		p.want("{")
		for _, found := range p.statements(0, false) {
			if section.text == "output" {
				p.outputs = append(p.outputs, found)
			}
		}
	}
	return p.outputs, p.err
}

func (p *pipeline) want(text string) {
	if !p.next().is(text) {
		p.wrong("want " + text)
	}
}

// deeper reports whether depth is still allowed.
func (p *pipeline) deeper(depth int) bool {
	if depth > maxNesting {
		p.wrong("nested too deeply")
	}
	return p.err == nil
}

// statements reads plugins and conditions up to the closing brace.
func (p *pipeline) statements(depth int, conditional bool) []plugin {
	var all []plugin
	for p.deeper(depth) {
		switch t := p.next(); {
		case t.is("}"):
			return all
		case t.kind == end || t.kind == sign:
			p.wrong("want a plugin, a condition or }")
		case t.is("else"):
			p.otherwise()
			all = append(all, p.statements(depth+1, true)...)
		case t.is("if"):
			p.condition()
			all = append(all, p.statements(depth+1, true)...)
		default:
			p.want("{")
			all = append(all, plugin{t.text, t.line, conditional, p.settings(depth + 1)})
		}
	}
	return nil
}

// otherwise is what follows else: a block, or another condition.
func (p *pipeline) otherwise() {
	switch t := p.next(); {
	case t.is("if"):
		p.condition()
	case !t.is("{"):
		p.wrong("want if or { after else")
	}
}

// condition goes over an expression and the brace after it.
func (p *pipeline) condition() {
	for {
		switch t := p.next(); {
		case t.is("{"):
			return
		case t.kind == end:
			p.wrong("a condition without a block")
			return
		case t.is("=~") || t.is("!~"):
			if p.skip(); strings.HasPrefix(p.rest, "/") {
				p.enclosed("an expression that does not end")
			}
		}
	}
}

// settings reads names and values up to the closing brace.
func (p *pipeline) settings(depth int) []setting {
	var all []setting
	for p.deeper(depth) {
		switch t := p.next(); {
		case t.is("}"):
			return all
		case t.is(","):
		case t.kind == word || t.kind == quoted:
			p.want("=>")
			all = append(all, setting{t.text, t.line, p.value(depth)})
		default:
			p.wrong("want the name of a setting or }")
		}
	}
	return nil
}

func (p *pipeline) value(depth int) value {
	switch t := p.next(); {
	case t.is("{"):
		p.settings(depth + 1)
		return value{inner: true}
	case t.is("["):
		return value{inner: true, items: p.array(depth + 1)}
	case t.kind == quoted:
		return value{text: t.text}
	case t.kind == word:
		if p.skip(); !strings.HasPrefix(p.rest, "{") {
			return value{text: t.text}
		}
		p.take(1)
		p.settings(depth + 1)
		return value{inner: true}
	}
	p.wrong("want a value")
	return value{}
}

func (p *pipeline) array(depth int) (texts []string) {
	for p.deeper(depth) {
		if p.skip(); strings.HasPrefix(p.rest, "]") {
			p.take(1)
			return texts
		}
		if strings.HasPrefix(p.rest, ",") {
			p.take(1)
			continue
		}
		if v := p.value(depth); !v.inner {
			texts = append(texts, v.text)
		}
	}
	return nil
}

// variable matches what Logstash takes from its environment or keystore: ${NAME}, or
// ${NAME:default} ("Using environment variables in the configuration").
var variable = pattern.Lazy(`\$\{([A-Za-z_][A-Za-z0-9_]*)(:[^}]*)?\}`)
