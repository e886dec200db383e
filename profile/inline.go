package profile

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/keyless-id/keyless/internal/yamltree"
)

// Inline checks a profile that stands in the configuration of another program, in the form
// in which YAML decoders leave it: blocks as map[string]any, lists as []any. The program has
// expanded what is to be expanded: ${NAME} stands for itself here, file: for a file. No file
// is looked at. beside are the program's own keys next to the profile's, which it has taken
// out of values; the hint for an unknown key knows them.
func Inline(values map[string]any, beside ...string) (*Selected, error) {
	root, err := tree(values, "")
	if err != nil {
		return nil, err
	}
	s := &Selected{lines: map[string]int{}}
	if err := yamltree.Decode(root, &s.Profile, ""); err != nil {
		return nil, fieldError("", withKnown(err, beside))
	}
	return s, s.shape()
}

// withKnown adds keys to those that an unknown one at the top may stand for.
func withKnown(err error, beside []string) error {
	var wrong *yamltree.Error
	if !errors.As(err, &wrong) || wrong.Unknown == "" || wrong.Path != wrong.Unknown {
		return err
	}
	more := *wrong
	more.Known = slices.Concat(wrong.Known, beside)
	return &more
}

// tree is a decoded value as the rest of the package reads it.
func tree(value any, path string) (*yamltree.Node, error) {
	switch v := value.(type) {
	case nil:
		return &yamltree.Node{}, nil
	case map[string]any:
		return block(v, path)
	case []any:
		return list(v, path)
	case string:
		return yamltree.NewText(v), nil
	case bool, int, int64, uint64, float64:
		return yamltree.NewText(fmt.Sprint(v)), nil
	}
	return nil, &Error{Path: path, Message: fmt.Sprintf("want a text, a block or a list, not %T", value)}
}

func block(values map[string]any, path string) (*yamltree.Node, error) {
	n := yamltree.NewBlock()
	for _, key := range slices.Sorted(maps.Keys(values)) {
		item, err := tree(values[key], yamltree.Join(path, key))
		if err != nil {
			return nil, err
		}
		n.Keys, n.Items = append(n.Keys, yamltree.NewText(key)), append(n.Items, item)
	}
	return n, nil
}

func list(values []any, path string) (*yamltree.Node, error) {
	n := yamltree.NewList()
	for i, value := range values {
		item, err := tree(value, fmt.Sprintf("%s[%d]", path, i))
		if err != nil {
			return nil, err
		}
		n.Items = append(n.Items, item)
	}
	return n, nil
}

// For is the same identity for another audience, an App ID URI without /.default, and
// without the role that the profile trades its token for. The sources that have one
// audience only refuse.
func (s *Selected) For(audience string) (*Selected, error) {
	other := *s
	other.Audience, other.Scope, other.ExpectedAud, other.AWS = audience, "", "", nil
	return &other, other.target()
}

// Kind is the key of the source that is set, for example managed_identity; empty: none is.
func (s *Source) Kind() string {
	if s == nil {
		return ""
	}
	if set := yamltree.Set(s); len(set) == 1 {
		return set[0]
	}
	return ""
}
