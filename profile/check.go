package profile

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// checker holds a YAML tree against the types that it is to fill, so that every
// mistake is one clear error with its line.
type checker struct {
	file     string
	warnings []string
}

func (c *checker) fail(node *yaml.Node, path, hint, format string, args ...any) error {
	return &Error{File: c.file, Line: node.Line, Path: path, Message: fmt.Sprintf(format, args...), Hint: hint}
}

var (
	secretType   = reflect.TypeFor[Secret]()
	durationType = reflect.TypeFor[Duration]()
	hopType      = reflect.TypeFor[Hop]()
)

func (c *checker) check(node *yaml.Node, t reflect.Type, path string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case node.Kind == yaml.AliasNode:
		return c.fail(node, path, "", "aliases (*name) are not used here")
	case t == secretType:
		return c.secret(node, path)
	case t == durationType:
		return c.duration(node, path)
	case t.Kind() == reflect.String:
		return c.scalar(node, path, "a text")
	case t.Kind() == reflect.Bool:
		return c.boolean(node, path)
	case t == hopType && node.Kind == yaml.ScalarNode:
		return nil
	case t.Kind() == reflect.Slice:
		return c.sequence(node, t, path)
	case t.Kind() == reflect.Map:
		return c.mapping(node, path, func(_ string) (reflect.Type, error) { return t.Elem(), nil })
	}
	return c.block(node, t, path)
}

func (c *checker) scalar(node *yaml.Node, path, want string) error {
	if node.Kind != yaml.ScalarNode || node.Tag == "!!null" {
		return c.fail(node, path, "", "want %s, not %s", want, kind(node))
	}
	return nil
}

func (c *checker) duration(node *yaml.Node, path string) error {
	if err := c.scalar(node, path, "a time span"); err != nil {
		return err
	}
	if _, err := time.ParseDuration(node.Value); err != nil && !reference().MatchString(node.Value) {
		return c.fail(node, path, "for example 90m or 1h30m", "%q is no time span", node.Value)
	}
	return nil
}

func (c *checker) boolean(node *yaml.Node, path string) error {
	if node.Kind != yaml.ScalarNode || node.Tag != "!!bool" {
		return c.fail(node, path, "", "want true or false, not %s", kind(node))
	}
	return nil
}

func (c *checker) secret(node *yaml.Node, path string) error {
	if err := c.scalar(node, path, "a text"); err != nil {
		return err
	}
	_, isFile := filePath(node.Value)
	if !isFile && !reference().MatchString(node.Value) && node.Value != "" {
		c.warnings = append(c.warnings, fmt.Sprintf(
			"%s:%d: %s: a secret in plain text; better ${NAME} for an environment variable, or file:/path", c.file, node.Line, path))
	}
	return nil
}

func (c *checker) sequence(node *yaml.Node, t reflect.Type, path string) error {
	if node.Kind != yaml.SequenceNode {
		return c.fail(node, path, "", "want a list, not %s", kind(node))
	}
	for i, item := range node.Content {
		if err := c.check(item, t.Elem(), path+"["+strconv.Itoa(i)+"]"); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) block(node *yaml.Node, t reflect.Type, path string) error {
	if node.Kind == yaml.ScalarNode && node.Tag == "!!null" { // "managed_identity:" is "managed_identity: {}"
		*node = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: node.Line, Column: node.Column}
	}
	known := fieldsOf(t)
	return c.mapping(node, path, func(key string) (reflect.Type, error) {
		for _, f := range known {
			if f.name == key {
				return f.typ, nil
			}
		}
		return nil, c.fail(node, join(path, key), didYouMean(key, names(known)), "unknown key")
	})
}

func (c *checker) mapping(node *yaml.Node, path string, typeOf func(key string) (reflect.Type, error)) error {
	if node.Kind != yaml.MappingNode {
		return c.fail(node, path, "", "want a block of keys, not %s", kind(node))
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			return c.fail(key, path, "", "want a word as key, not %s", kind(key))
		}
		if seen[key.Value] {
			return c.fail(key, join(path, key.Value), "", "stands here twice")
		}
		seen[key.Value] = true
		t, err := typeOf(key.Value)
		if err != nil {
			err.(*Error).Line = key.Line //nolint:errorlint,forcetypeassert // fail made it
			return err
		}
		if err := c.check(value, t, join(path, key.Value)); err != nil {
			return err
		}
	}
	return nil
}

func kind(node *yaml.Node) string {
	switch {
	case node.Kind == yaml.MappingNode:
		return "a block of keys"
	case node.Kind == yaml.SequenceNode:
		return "a list"
	case node.Tag == "!!null":
		return "nothing"
	}
	return "a text"
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// field is a key that a block may have.
type field struct {
	name string
	doc  string
	typ  reflect.Type
}

func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if f.Anonymous {
			fields = append(fields, fieldsOf(f.Type)...)
			continue
		}
		fields = append(fields, field{name: name, doc: f.Tag.Get("doc"), typ: f.Type})
	}
	return fields
}

func names(fields []field) []string {
	all := make([]string, len(fields))
	for i, f := range fields {
		all[i] = f.name
	}
	return all
}
