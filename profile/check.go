package profile

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/keyless-id/keyless/internal/yamltree"
)

// fieldError makes what is wrong in a tree an error of the file.
func fieldError(file string, err error) error {
	var wrong *yamltree.Error
	if !errors.As(err, &wrong) {
		return err
	}
	e := &Error{File: file, Line: wrong.Line, Path: wrong.Path, Message: wrong.Message}
	if wrong.Unknown != "" {
		e.Hint = didYouMean(wrong.Unknown, wrong.Known)
	}
	return e
}

// check finds what no environment can mend: unknown keys, lists where texts belong.
// It decodes a tree in which ${NAME} still stands, so a time span is checked later.
func check(file string, root *yamltree.Node) error {
	return fieldError(file, yamltree.Decode(spansOut(root), &File{}, ""))
}

// spansOut copies a tree without the texts that refer to the environment.
func spansOut(n *yamltree.Node) *yamltree.Node {
	copied := *n
	copied.Items = nil
	copied.Keys = nil
	for i, item := range n.Items {
		if item.Kind == yamltree.Text && reference().MatchString(item.Value) {
			continue
		}
		copied.Items = append(copied.Items, spansOut(item))
		if n.Kind == yamltree.Block {
			copied.Keys = append(copied.Keys, n.Keys[i])
		}
	}
	return &copied
}

// plainSecrets words a warning for every secret that stands in the file itself.
func plainSecrets(file string, n *yamltree.Node, t reflect.Type, path string) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case n == nil:
		return nil
	case t == reflect.TypeFor[Secret]():
		if n.Kind != yamltree.Text || fromElsewhere(n.Value) {
			return nil
		}
		return []string{fmt.Sprintf("%s:%d: %s: a secret in plain text; better ${NAME} for an environment variable, or file:/path", file, n.Line, path)}
	case t.Kind() != reflect.Struct:
		return nil
	}
	var all []string
	for _, f := range yamltree.Fields(t) {
		all = append(all, plainSecrets(file, n.Child(f.Name), f.Type, yamltree.Join(path, f.Name))...)
	}
	return all
}
