package yamltree

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Unmarshaler reads itself from a node.
type Unmarshaler interface{ UnmarshalNode(n *Node) error }

// Field is a key that a block may have, as the tags of a struct's field tell:
// yaml:"name" and doc:"for people". Embedded structs are part of the block.
type Field struct {
	Name string
	Doc  string
	Type reflect.Type

	index []int
}

// Fields lists the keys that fill the struct type t.
func Fields(t reflect.Type) []Field {
	var all []Field
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			for _, inner := range Fields(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				all = append(all, inner)
			}
			continue
		}
		all = append(all, Field{Name: f.Tag.Get("yaml"), Doc: f.Tag.Get("doc"), Type: f.Type, index: f.Index})
	}
	return all
}

// Names lists the names of fields.
func Names(fields []Field) []string {
	all := make([]string, len(fields))
	for i, f := range fields {
		all[i] = f.Name
	}
	return all
}

// Set lists the names of the fields of the struct that target points at which are not
// zero.
func Set(target any) []string {
	v := reflect.ValueOf(target).Elem()
	var all []string
	for _, f := range Fields(v.Type()) {
		if !v.FieldByIndex(f.index).IsZero() {
			all = append(all, f.Name)
		}
	}
	return all
}

// Error says what is wrong at a place in a tree.
type Error struct {
	Line    int
	Path    string // keys and indexes, for example a.b[0]
	Message string
	Unknown string   // the key that is not known, if that is what is wrong
	Known   []string // the keys that are
}

func (e *Error) Error() string { return e.Path + ": " + e.Message }

func fail(n *Node, path, format string, args ...any) error {
	return &Error{Line: n.Line, Path: path, Message: fmt.Sprintf(format, args...)}
}

// Decode fills what target points at from the tree, strictly: a key that target has
// no field for is an error, and so is one that stands twice. Fields may be texts
// (string, bool, int, time.Duration), pointers to and slices of structs, maps by
// text, and what is an [Unmarshaler]. Its errors are [*Error]; path is where n stands.
func Decode(n *Node, target any, path string) error {
	return decode(n, reflect.ValueOf(target).Elem(), path)
}

var durationType = reflect.TypeFor[time.Duration]()

func decode(n *Node, v reflect.Value, path string) error {
	if own, ok := v.Addr().Interface().(Unmarshaler); ok {
		if err := own.UnmarshalNode(n); err != nil {
			return fail(n, path, "%s", err.Error())
		}
		return nil
	}
	switch {
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return decode(n, v.Elem(), path)
	case v.Kind() == reflect.Struct:
		return decodeBlock(n, v, path)
	case v.Kind() == reflect.Map:
		return decodeMap(n, v, path)
	case v.Kind() == reflect.Slice:
		return decodeList(n, v, path)
	case n.Kind != Text:
		return fail(n, path, "want %s, not %s", wanted(v.Type()), n.Kind)
	}
	return decodeText(n, v, path)
}

func wanted(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a time span"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int:
		return "a whole number"
	}
	return "a text"
}

func decodeText(n *Node, v reflect.Value, path string) (err error) {
	var whole int
	var span time.Duration
	var yes bool
	switch {
	case v.Kind() == reflect.String:
		v.SetString(n.Value)
	case v.Type() == durationType:
		span, err = time.ParseDuration(n.Value)
		v.SetInt(int64(span))
	case v.Kind() == reflect.Bool:
		yes, err = parseBool(n.Value)
		v.SetBool(yes)
	case v.Kind() == reflect.Int:
		whole, err = strconv.Atoi(n.Value)
		v.SetInt(int64(whole))
	}
	if err != nil {
		return fail(n, path, "want %s, not %q", wanted(v.Type()), n.Value)
	}
	return nil
}

// parseBool knows YAML's words only.
func parseBool(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, strconv.ErrSyntax
}

func decodeList(n *Node, v reflect.Value, path string) error {
	if n.Kind != List {
		return fail(n, path, "want a list, not %s", n.Kind)
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Items), len(n.Items)))
	for i, item := range n.Items {
		if err := decode(item, v.Index(i), path+"["+strconv.Itoa(i)+"]"); err != nil {
			return err
		}
	}
	return nil
}

func decodeMap(n *Node, v reflect.Value, path string) error {
	v.Set(reflect.MakeMap(v.Type()))
	return eachKey(n, path, func(key, item *Node, at string) error {
		value := reflect.New(v.Type().Elem()).Elem()
		if err := decode(item, value, at); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(key.Value).Convert(v.Type().Key()), value)
		return nil
	})
}

func decodeBlock(n *Node, v reflect.Value, path string) error {
	fields := Fields(v.Type())
	return eachKey(n, path, func(key, item *Node, at string) error {
		i := slices.IndexFunc(fields, func(f Field) bool { return f.Name == key.Value })
		if i < 0 {
			return &Error{Line: key.Line, Path: at, Message: "unknown key", Unknown: key.Value, Known: Names(fields)}
		}
		return decode(item, v.FieldByIndex(fields[i].index), at)
	})
}

// eachKey goes through a block; nothing at all is a block without keys.
func eachKey(n *Node, path string, do func(key, item *Node, at string) error) error {
	if n.Kind != Block && n.Kind != Nothing {
		return fail(n, path, "want a block of keys, not %s", n.Kind)
	}
	seen := map[string]bool{}
	for i, key := range n.Keys {
		at := Join(path, key.Value)
		if seen[key.Value] {
			return fail(key, at, "stands here twice")
		}
		seen[key.Value] = true
		if err := do(key, n.Items[i], at); err != nil {
			return err
		}
	}
	return nil
}

// Join appends a key to a path.
func Join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
