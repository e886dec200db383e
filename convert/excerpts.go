package convert

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keyless-id/keyless/internal/yamltree"
)

// excerpts are parts of a YAML file as they stand there.
type excerpts struct{ lines []string }

// of is a key of a block with its value, indented by indent, from the file; end is the line
// after it, zero for the rest of the file. What cannot be cut out line by line, or has a
// secret in it, is a comment that says where it is.
func (e *excerpts) of(key, value *yamltree.Node, end, indent int) string {
	own := strings.Repeat(" ", indent)
	if secretIn(value) {
		return fmt.Sprintf("%s# %s: as it is in line %d of your file; there is a secret in it\n", own, key.Value, key.Line)
	}
	lines, ok := e.cut(key, end)
	if !ok {
		return fmt.Sprintf("%s# %s: as it is in line %d of your file\n", own, key.Value, key.Line)
	}
	text := ""
	for _, line := range lines {
		text += strings.TrimRight(own+line, " ") + "\n"
	}
	return text
}

// cut takes the lines of a key out, without their indentation and without comments and
// empty lines at the end, which are about what follows.
func (e *excerpts) cut(key *yamltree.Node, end int) ([]string, bool) {
	if end == 0 {
		end = len(e.lines) + 1
	}
	if key.Line < 1 || end <= key.Line || end > len(e.lines)+1 {
		return nil, false
	}
	lines := slices.Clone(e.lines[key.Line-1 : end-1])
	column := start(lines[0])
	for i, line := range lines {
		line = strings.TrimRight(line, " \t\r")
		text := strings.TrimLeft(line, " ")
		switch {
		case i == 0 || len(line)-len(text) >= column:
			lines[i] = line[min(column, len(line)):]
		case text == "" || text[0] == '#':
			lines[i] = text
		default:
			return nil, false
		}
	}
	for len(lines) > 1 && (lines[len(lines)-1] == "" || lines[len(lines)-1][0] == '#') {
		lines = lines[:len(lines)-1]
	}
	return lines, strings.HasPrefix(strings.Trim(lines[0], `"'`), key.Value)
}

// start is the column of the first key in a line, which a dash can stand before.
func start(line string) int {
	return len(line) - len(strings.TrimLeft(line, " -"))
}

// secretIn reports whether there is a key below whose value Prometheus itself hides.
func secretIn(n *yamltree.Node) bool {
	for i, key := range n.Keys {
		if slices.Contains([]string{"secrets", "password", "credentials", "client_secret", "secret_key", "access_key", "bearer_token", "key"}, key.Value) {
			return true
		}
		if secretIn(n.Items[i]) {
			return true
		}
	}
	return n.Kind == yamltree.List && slices.ContainsFunc(n.Items, secretIn)
}
