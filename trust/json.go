package trust

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	names   map[string]bool // of the members
}

type member struct {
	name  string
	value node
}

// maxDepth is two more than the deepest legal policy.
const maxDepth = 8

// parseJSON reads one JSON value and refuses anything after it.
func parseJSON(document []byte) (node, error) {
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	root, err := parseNode(decoder, 0)
	if err != nil {
		return node{}, tidy(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return node{}, errors.New("something follows the end of the policy")
	}
	return root, nil
}

// tidy makes one lower-case line of what encoding/json says.
func tidy(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the JSON ends too early")
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("not JSON, byte %d: %w", syntax.Offset, err)
	}
	return err
}

func parseNode(decoder *json.Decoder, depth int) (node, error) {
	if depth > maxDepth {
		return node{}, errors.New("nested too deeply")
	}
	token, err := decoder.Token()
	if err != nil {
		return node{}, err
	}
	switch t := token.(type) {
	case string:
		return node{kind: kindString, text: t}, nil
	case json.Number:
		return node{kind: kindNumber, text: t.String()}, nil
	case bool:
		return node{kind: kindBool, text: fmt.Sprint(t)}, nil
	case json.Delim:
		return parseContainer(decoder, t, depth)
	default:
		return node{kind: kindNull}, nil
	}
}

func parseContainer(decoder *json.Decoder, open json.Delim, depth int) (node, error) {
	parse, result := parseMember, node{kind: kindObject, names: map[string]bool{}}
	if open == '[' {
		parse, result = parseItem, node{kind: kindArray}
	}
	for decoder.More() {
		if err := parse(decoder, &result, depth+1); err != nil {
			return node{}, err
		}
	}
	_, err := decoder.Token() // the closing bracket
	return result, err
}

func parseItem(decoder *json.Decoder, into *node, depth int) error {
	item, err := parseNode(decoder, depth)
	into.items = append(into.items, item)
	return err
}

func parseMember(decoder *json.Decoder, into *node, depth int) error {
	token, err := decoder.Token()
	if err != nil {
		return err
	}
	name, _ := token.(string) // the decoder admits nothing else here
	if into.names[name] {
		return fmt.Errorf("%q appears twice in one object", name)
	}
	into.names[name] = true
	value, err := parseNode(decoder, depth)
	into.members = append(into.members, member{name, value})
	return err
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
