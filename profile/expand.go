package profile

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/keyless-id/keyless/internal/pattern"
)

// reference matches ${NAME}; $${NAME} stands for the text ${NAME} itself.
var reference = pattern.Lazy(`\$?\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

func filePath(value string) (string, bool) { return strings.CutPrefix(value, "file:") }

// expander puts the environment's values where ${NAME} stands.
type expander struct {
	checker
	getenv func(string) string
	used   []string // the names that were looked up
}

func (x *expander) expand(node *yaml.Node, path string) error {
	if node.Kind == yaml.ScalarNode {
		return x.scalarValue(node, path)
	}
	for i, child := range node.Content {
		at := path
		if node.Kind == yaml.MappingNode {
			if i%2 == 0 {
				continue // keys stay as they are
			}
			at = join(path, node.Content[i-1].Value)
		}
		if err := x.expand(child, at); err != nil {
			return err
		}
	}
	return nil
}

func (x *expander) scalarValue(node *yaml.Node, path string) error {
	var missing string
	value := reference().ReplaceAllStringFunc(node.Value, func(match string) string {
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
		return x.fail(node, path, "set it, or write file:/path for a value that is in a file", "the environment variable %s is not set", missing)
	}
	node.Value = value
	return nil
}
