package convert

import (
	"fmt"
	"strings"
	"testing"
)

// spell writes outputs down: line, name, whether conditional, and settings with their lines.
func spell(outputs []plugin) string {
	var all []string
	for _, p := range outputs {
		text := fmt.Sprintf("%d:%s", p.line, p.name)
		if p.conditional {
			text += "?"
		}
		for _, s := range p.settings {
			value := s.text
			if s.inner {
				value = "…"
			}
			text += fmt.Sprintf(" %d:%s=%s", s.line, s.name, value)
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

func TestAPipelineIsReadAsLogstashReadsIt(t *testing.T) {
	for text, want := range map[string]string{
		"":                                          "",
		"# output { a { } }":                        "",
		"output{a{}}":                               "1:a",
		"output { a { } b { } } output { c {} }":    "1:a; 1:b; 1:c",
		"input { a {} } filter { b {} }":            "",
		"output {\n a {\n x => 1\n}\n}":             "2:a 3:x=1",
		"output { a { x => -1.5 y => true } }":      "1:a 1:x=-1.5 1:y=true",
		"output { a { x => \"#{}\" 'y' => '\"' } }": "1:a 1:x=#{} 1:y=\"",
		`output { a { x => "\"}" y => 'it\'s' } }`:  `1:a 1:x=\"} 1:y=it\'s`,
		"output { a { x => \"\n\"\n y => z } }":     "1:a 1:x=\n 3:y=z",
		"output { a { x => [1, \"}\", [2]] y => { \"k\" => [v] l => \"m\" } } }":             "1:a 1:x=… 1:y=…",
		"output { a { codec => json { charset => \"]\" } z => 1 } }":                         "1:a 1:codec=… 1:z=1",
		"output { a { x => 1, y => 2, } }":                                                   "1:a 1:x=1 1:y=2",
		"output { a { x => ${X} y => \"${Y:}\" } }":                                          "1:a 1:x=${X} 1:y=${Y:}",
		"output { if [x] == \"{\" { a {} } else if 1 in [1,2] { b {} } else { c {} } d {} }": "1:a?; 1:b?; 1:c?; 1:d",
		"output { if [m] =~ /}{\\/\"'/ { if [n] !~ /#/ { a {} } } }":                         "1:a?",
		"output { if [m] =~ \"x/{\" and !([n] <= 3) { a {} } }":                              "1:a?",
		"\ufeffoutput { \"a\" { } }":                                                         "1:a",
	} {
		outputs, err := parsePipeline(text)
		if got := spell(outputs); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", text, got, err, want)
		}
	}
}

func TestABrokenPipelineIsRefusedWithItsLine(t *testing.T) {
	deep := strings.Repeat("if a { ", maxNesting+2) + strings.Repeat("} ", maxNesting+2)
	for text, want := range map[string]string{
		"outputs { }":                        "1: want input, filter or output",
		"\"output\" { }":                     "1: want input, filter or output",
		"output\n[":                          "2: want {",
		"output {\n":                         "2: want a plugin, a condition or }",
		"output { a }":                       "1: want {",
		"output { a { x } }":                 "1: want =>",
		"output { a { x = 1 } }":             "1: want =>",
		"output { a { => 1 } }":              "1: want the name of a setting or }",
		"output { a { x => } }":              "1: want a value",
		"output { a { x => [1, } }":          "1: want a value",
		"output { a { x => \"1 } }":          "1: a text that does not end",
		"output {\n if [a] =~ /x { b {} } }": "2: an expression that does not end",
		"output { if [a] ":                   "1: a condition without a block",
		"output { else a {} }":               "1: want if or { after else",
		"output { a { x => 1 }":              "1: want a plugin, a condition or }",
		"output { } }":                       "1: want input, filter or output",
		"output { " + deep + "}":             "1: nested too deeply",
		"output { a { x => " + strings.Repeat("[", maxNesting+2): "1: nested too deeply",
	} {
		_, err := parsePipeline(text)
		if got := strings.SplitN(spelledOrNone(err), "\n", 2)[0]; got != want {
			t.Errorf("%.60s: got %q, want %q", text, got, want)
		}
	}
}

func spelledOrNone(err error) string {
	if err == nil {
		return "no error"
	}
	return spelled(err)
}
