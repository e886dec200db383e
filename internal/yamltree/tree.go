// Package yamltree reads a YAML document as a tree of texts, lists and blocks, each
// with its line, so that a mistake in a configuration can be shown where it stands.
//
// Anchors, aliases and tags are refused: a configuration is read by
// people first, and nobody can make a small file stand for a large one.
package yamltree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/keyless-id/keyless/internal/pattern"
)

// Kind is what stands at a place in a document.
type Kind int

// The kinds.
const (
	Nothing Kind = iota // null, or no value at all
	Text
	List
	Block
)

// String returns the kind as a person would say it.
func (k Kind) String() string {
	return [...]string{"nothing", "a text", "a list", "a block of keys"}[k]
}

// Node is a place in a document. The zero Node is nothing.
type Node struct {
	Kind  Kind
	Line  int
	Value string  // of a text
	Keys  []*Node // of a block: texts, as many as Items
	Items []*Node // of a list or a block
}

// NewText returns a text that stands in no document.
func NewText(value string) *Node { return &Node{Kind: Text, Value: value} }

// NewBlock returns a block without keys.
func NewBlock() *Node { return &Node{Kind: Block} }

// NewList returns a list of items.
func NewList(items ...*Node) *Node { return &Node{Kind: List, Items: items} }

// Child returns the value of key in a block, or nil.
func (n *Node) Child(key string) *Node {
	if n == nil || n.Kind != Block {
		return nil
	}
	for i, k := range n.Keys {
		if k.Value == key {
			return n.Items[i]
		}
	}
	return nil
}

// Copy is n again, for whoever changes it.
func (n *Node) Copy() *Node {
	copied := *n
	copied.Keys = make([]*Node, len(n.Keys))
	for i, key := range n.Keys {
		copied.Keys[i] = key.Copy()
	}
	copied.Items = make([]*Node, len(n.Items))
	for i, item := range n.Items {
		copied.Items[i] = item.Copy()
	}
	return &copied
}

// Set places value at a path of keys, making the blocks on the way; what is not a
// block there gives way.
func (n *Node) Set(value *Node, path ...string) {
	if len(path) == 0 {
		*n = *value
		return
	}
	if n.Kind != Block {
		*n = Node{Kind: Block, Line: n.Line}
	}
	next := n.Child(path[0])
	if next == nil {
		next = &Node{}
		n.Keys = append(n.Keys, NewText(path[0]))
		n.Items = append(n.Items, next)
	}
	next.Set(value, path[1:]...)
}

// SyntaxError says why a text is not a document, without showing any of it: there
// may be secrets in it.
type SyntaxError struct {
	Line    int
	Message string
}

func (e *SyntaxError) Error() string { return e.Message }

var errEmpty = &SyntaxError{Message: "there is nothing in it"}

// Parse reads the one document in data. Its errors are [*SyntaxError].
func Parse(data []byte) (*Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF), err == nil && len(document.Content) == 0:
		return nil, errEmpty
	case err != nil:
		return nil, syntaxError(err)
	}
	switch err := decoder.Decode(new(yaml.Node)); {
	case err == nil:
		return nil, &SyntaxError{Message: "more than one document"}
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(err)
	}
	return convert(document.Content[0], 0)
}

// parserWords matches what the parser says: a line, and what is wrong.
var parserWords = pattern.Lazy(`^yaml: (?:line ([0-9]+): )?(.*)$`)

// syntaxError takes the parser's error apart. Its words can quote names of anchors
// and tags, but no values.
func syntaxError(err error) error {
	text := strings.Join(strings.Fields(err.Error()), " ")
	words := parserWords().FindStringSubmatch(text)
	if words == nil {
		return &SyntaxError{Message: "cannot be read as YAML"}
	}
	line, _ := strconv.Atoi(words[1]) // zero: not known
	return &SyntaxError{Line: line, Message: words[2]}
}

func wrong(at *yaml.Node, format string, args ...any) error {
	return &SyntaxError{Line: at.Line, Message: fmt.Sprintf(format, args...)}
}

// maxDepth is far more than any configuration has.
const maxDepth = 64

func convert(n *yaml.Node, depth int) (*Node, error) {
	switch {
	case depth > maxDepth:
		return nil, wrong(n, "nested too deeply")
	case n.Kind == yaml.AliasNode, n.Anchor != "", n.Style&yaml.TaggedStyle != 0:
		return nil, wrong(n, "anchors, aliases and tags are not used here")
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return &Node{Line: n.Line}, nil
	case n.Kind == yaml.ScalarNode:
		return &Node{Kind: Text, Line: n.Line, Value: n.Value}, nil
	case n.Kind == yaml.SequenceNode:
		items, err := convertAll(n.Content, depth)
		return &Node{Kind: List, Line: n.Line, Items: items}, err
	}
	return block(n, depth)
}

func convertAll(nodes []*yaml.Node, depth int) ([]*Node, error) {
	all := make([]*Node, len(nodes))
	for i, n := range nodes {
		item, err := convert(n, depth+1)
		if err != nil {
			return nil, err
		}
		all[i] = item
	}
	return all, nil
}

// block takes keys and values apart, which the parser gives in turn.
func block(n *yaml.Node, depth int) (*Node, error) {
	both, err := convertAll(n.Content, depth)
	if err != nil {
		return nil, err
	}
	all := &Node{Kind: Block, Line: n.Line}
	for i := 0; i+1 < len(both); i += 2 {
		if both[i].Kind != Text {
			return nil, wrong(n.Content[i], "want a word as key, not %s", both[i].Kind)
		}
		all.Keys, all.Items = append(all.Keys, both[i]), append(all.Items, both[i+1])
	}
	return all, nil
}
