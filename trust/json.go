package trust

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// kind is the JSON type of a node.
type kind string

const (
	kindString kind = "string"
	kindNumber kind = "number"
	kindBool   kind = "boolean"
	kindNull   kind = "null"
	kindArray  kind = "array"
	kindObject kind = "object"
)

// node is a JSON value that remembers the order of members, which maps forget,
// and in which no object has the same member twice.
type node struct {
	kind    kind
	text    string // of strings, numbers and booleans
	items   []node
	members []member
	names   map[string]bool // of the members, when they are many
}

type member struct {
	name  string
	value node
}

// maxDepth is two more than the deepest legal policy.
const maxDepth = 8

// parseJSON reads one JSON value and refuses anything after it.
func parseJSON(document []byte) (node, error) {
	r := reader{text: document}
	root, err := r.value(0)
	if err != nil {
		return node{}, r.worded(err)
	}
	if r.next() != 0 || r.at < len(document) {
		return node{}, errors.New("something follows the end of the policy")
	}
	return root, nil
}

// reader reads JSON (RFC 8259) as encoding/json does, in a fifth of the time that its
// tokens take: an account has thousands of policies.
type reader struct {
	text []byte
	at   int
}

// errSyntax is made into words by encoding/json, see worded.
var errSyntax = errors.New("not JSON")

// worded says in one lower-case line what encoding/json says of the same text.
func (r *reader) worded(err error) error {
	if !errors.Is(err, errSyntax) {
		return err
	}
	var whole json.RawMessage
	err = json.Unmarshal(r.text, &whole)
	var syntax *json.SyntaxError
	switch {
	case !errors.As(err, &syntax):
		return errSyntax
	case syntax.Error() == "unexpected end of JSON input":
		return errors.New("the JSON ends too early")
	}
	return fmt.Errorf("not JSON, byte %d: %w", syntax.Offset-1, err)
}

// next skips white space and returns the character behind it; zero at the end.
func (r *reader) next() byte {
	for ; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// skip reads one character if it is the next one.
func (r *reader) skip(c byte) bool {
	if r.next() != c {
		return false
	}
	r.at++
	return true
}

func (r *reader) value(depth int) (node, error) {
	if depth > maxDepth {
		return node{}, errors.New("nested too deeply")
	}
	switch c := r.next(); c {
	case '{':
		return r.object(depth)
	case '[':
		return r.array(depth)
	case '"':
		text, err := r.str()
		return node{kind: kindString, text: text}, err
	default:
		return r.word()
	}
}

func (r *reader) array(depth int) (node, error) {
	result := node{kind: kindArray}
	r.at++
	for !r.skip(']') {
		if len(result.items) > 0 && !r.skip(',') {
			return node{}, errSyntax
		}
		item, err := r.value(depth + 1)
		if err != nil {
			return node{}, err
		}
		result.items = append(result.items, item)
	}
	return result, nil
}

func (r *reader) object(depth int) (node, error) {
	result := node{kind: kindObject}
	r.at++
	for !r.skip('}') {
		if len(result.members) > 0 && !r.skip(',') || r.next() != '"' {
			return node{}, errSyntax
		}
		name, err := r.str()
		if err != nil || !r.skip(':') {
			return node{}, errSyntax
		}
		if result.has(name) {
			return node{}, fmt.Errorf("%q appears twice in one object", name)
		}
		value, err := r.value(depth + 1)
		if err != nil {
			return node{}, err
		}
		result.add(name, value)
	}
	return result, nil
}

// few members are looked through; more are in a map.
const few = 8

func (n *node) has(name string) bool {
	if n.names != nil {
		return n.names[name]
	}
	for _, m := range n.members {
		if m.name == name {
			return true
		}
	}
	return false
}

func (n *node) add(name string, value node) {
	n.members = append(n.members, member{name, value})
	if n.names == nil && len(n.members) > few {
		n.names = map[string]bool{}
		for _, m := range n.members {
			n.names[m.name] = true
		}
	} else if n.names != nil {
		n.names[name] = true
	}
}

// str reads a string; one that is not plain ASCII is left to encoding/json.
func (r *reader) str() (string, error) {
	start, plain := r.at, true
	for r.at++; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; {
		case c == '"' && plain:
			r.at++
			return string(r.text[start+1 : r.at-1]), nil
		case c == '"':
			r.at++
			var text string
			if json.Unmarshal(r.text[start:r.at], &text) != nil {
				return "", errSyntax
			}
			return text, nil
		case c == '\\':
			plain = false
			r.at++
		case c < ' ' || c > '~':
			plain = false
		}
	}
	return "", errSyntax
}

// word reads a number, true, false or null.
func (r *reader) word() (node, error) {
	start := r.at
	for r.at < len(r.text) && strings.IndexByte("+-.0123456789abcdefghijklmnopqrstuvwxyzE", r.text[r.at]) >= 0 {
		r.at++
	}
	text := string(r.text[start:r.at])
	switch text {
	case "true", "false":
		return node{kind: kindBool, text: text}, nil
	case "null":
		return node{kind: kindNull}, nil
	}
	if !json.Valid(r.text[start:r.at]) {
		return node{}, errSyntax
	}
	return node{kind: kindNumber, text: text}, nil
}

// str returns the text of a JSON string.
func (n node) str() (string, error) {
	if n.kind != kindString {
		return "", fmt.Errorf("must be a string, not %s %s", article(n.kind), n.kind)
	}
	return n.text, nil
}

// strs returns the texts of a string or an array of strings.
func (n node) strs() ([]string, error) {
	return n.texts("a string or an array of strings", kindString)
}

// scalars returns the texts of a value or an array of values, where a value may
// be a string, a number or a boolean.
func (n node) scalars() ([]string, error) {
	return n.texts("a string, number or boolean, or an array of them", kindString, kindNumber, kindBool)
}

func (n node) texts(wanted string, kinds ...kind) ([]string, error) {
	items := n.items
	if n.kind != kindArray {
		items = []node{n}
	}
	texts := make([]string, 0, len(items))
	for _, item := range items {
		if !contains(kinds, item.kind) {
			return nil, fmt.Errorf("must be %s, not %s %s", wanted, article(item.kind), item.kind)
		}
		texts = append(texts, item.text)
	}
	return texts, nil
}

func contains(kinds []kind, k kind) bool {
	for _, candidate := range kinds {
		if candidate == k {
			return true
		}
	}
	return false
}

func article(k kind) string {
	if strings.ContainsRune("aeiou", rune(k[0])) {
		return "an"
	}
	return "a"
}
