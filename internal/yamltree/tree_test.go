package yamltree

import (
	"errors"
	"strings"
	"testing"
	"time"
)

type inner struct {
	Name string `yaml:"name"`
}

type sample struct {
	inner
	Text  string            `yaml:"text"`
	Bool  bool              `yaml:"bool"`
	Int   int               `yaml:"int"`
	Span  time.Duration     `yaml:"span"`
	List  []string          `yaml:"list"`
	Block *inner            `yaml:"block"`
	Map   map[string]string `yaml:"map"`
}

func TestDecodeFillsEveryKindOfField(t *testing.T) {
	n, err := Parse([]byte("name: a\ntext: |\n  two\n  lines\nbool: true\nint: 7\nspan: 90m\nlist: [x, 'y']\nblock: {name: b}\nmap: {k: 1}\n"))
	if err != nil {
		t.Fatal(err)
	}
	var s sample
	if err := Decode(n, &s, ""); err != nil {
		t.Fatal(err)
	}
	if s.Name != "a" || s.Text != "two\nlines\n" || !s.Bool || s.Int != 7 || s.Span != 90*time.Minute ||
		strings.Join(s.List, "") != "xy" || s.Block.Name != "b" || s.Map["k"] != "1" {
		t.Errorf("got %+v", s)
	}
}

func TestDecodeIsStrict(t *testing.T) {
	for text, want := range map[string]string{
		"nmae: x":              "1: nmae: unknown key",
		"\nblock: {nam: x}":    "2: block.nam: unknown key",
		"text: {}":             "1: text: want a text, not a block of keys",
		"text:":                "1: text: want a text, not nothing",
		"bool: yes please":     `1: bool: want true or false, not "yes please"`,
		"int: 1.5":             `1: int: want a whole number, not "1.5"`,
		"span: long":           `1: span: want a time span, not "long"`,
		"text: a\ntext: b":     "2: text: stands here twice",
		"<<: {text: b}":        "1: <<: unknown key",
		"list: x":              "1: list: want a list, not a text",
		"block: [x]":           "1: block: want a block of keys, not a list",
		"list:\n- x\n- {a: b}": "3: list[1]: want a text, not a block of keys",
	} {
		n, err := Parse([]byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		var wrong *Error
		err = Decode(n, &sample{}, "")
		if !errors.As(err, &wrong) || want != strings.TrimSpace(strings.Join([]string{string(rune('0' + wrong.Line)), wrong.Error()}, ": ")) {
			t.Errorf("%q: got line %v: %v, want %s", text, wrong, err, want)
		}
	}
}

func TestWhatMakesADocumentHardToReadIsRefused(t *testing.T) {
	for _, text := range []string{"", "# only a comment", "a: &x 1\nb: *x", "a: !!str 1", "a: 1\n---\nb: 2", "a: [", "? [x]\n: y"} {
		if n, err := Parse([]byte(text)); err == nil {
			t.Errorf("%q was read as %+v", text, n)
		}
	}
}

func TestNoErrorShowsTheDocument(t *testing.T) {
	for _, text := range []string{"secret: hunter2\n\tbroken: yes", "secret: hunter2\n  worse: [", "secret: \"hunter2", "secret: hunter2: more", "{secret: hunter2"} {
		if _, err := Parse([]byte(text)); err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestSetMakesTheBlocksOnTheWay(t *testing.T) {
	n := &Node{}
	n.Set(NewText("x"), "a", "b")
	n.Set(NewText("y"), "a", "c")
	n.Set(NewText("z"), "a", "b")
	if n.Child("a").Child("b").Value != "z" || n.Child("a").Child("c").Value != "y" || n.Child("no").Child("where") != nil {
		t.Errorf("got %+v", n)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("a: {b: [c, 'd']}\ne: |\n  f\n"))
	f.Add([]byte("a: &x {}\nb: *x\n<<: *x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := Parse(data)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
			return
		}
		_ = Decode(n, &sample{}, "")
	})
}
