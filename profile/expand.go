package profile

import (
	"strings"

	"github.com/keyless-id/keyless/internal/pattern"
	"github.com/keyless-id/keyless/internal/yamltree"
)

// reference matches ${NAME}; $${NAME} stands for the text ${NAME} itself.
var reference = pattern.Lazy(`\$?\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

func filePath(value string) (string, bool) { return strings.CutPrefix(value, "file:") }

// fromElsewhere reports whether a secret's value is not the secret itself.
func fromElsewhere(value string) bool {
	_, isFile := filePath(value)
	return isFile || value == "" || reference().MatchString(value)
}

// expander puts the environment's values where ${NAME} stands.
type expander struct {
	file   string
	getenv func(string) string
	used   []string // the names that were looked up
}

func (x *expander) expand(n *yamltree.Node, path string) error {
	if n.Kind == yamltree.Text {
		return x.text(n, path)
	}
	for i, item := range n.Items {
		at := path
		if n.Kind == yamltree.Block {
			at = yamltree.Join(path, n.Keys[i].Value)
		}
		if err := x.expand(item, at); err != nil {
			return err
		}
	}
	return nil
}

func (x *expander) text(n *yamltree.Node, path string) error {
	var missing string
	value := reference().ReplaceAllStringFunc(n.Value, func(match string) string {
		if strings.HasPrefix(match, "$$") {
			return match[1:]
		}
		name := match[2 : len(match)-1]
		x.used = append(x.used, name)
		found := x.getenv(name)
		if found == "" && missing == "" {
			missing = name
		}
		return found
	})
	if missing != "" {
		return &Error{
			File: x.file, Line: n.Line, Path: path, Message: "the environment variable " + missing + " is not set",
			Hint: "set it, or write file:/path for a value that is in a file",
		}
	}
	n.Value = value
	return nil
}
