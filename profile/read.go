package profile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/keyless-id/keyless/internal/yamltree"
)

const maxFile = 1 << 20

// Config is a configuration file that has been read and found without unknown keys.
type Config struct {
	Path string // empty: there is no file
	root *yamltree.Node
}

// Find returns the configuration file to use: explicit, $KEYLESS_CONFIG,
// $XDG_CONFIG_HOME/keyless/keyless.yaml (~/.config if unset), or
// /etc/keyless/keyless.yaml; "" if there is none. A file that is asked for by name
// need not exist for Find to return it.
func Find(explicit string, getenv func(string) string) string {
	if explicit != "" {
		return explicit
	}
	if named := getenv("KEYLESS_CONFIG"); named != "" {
		return named
	}
	for _, path := range places(getenv) {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

func places(getenv func(string) string) []string {
	var all []string
	switch base, home := getenv("XDG_CONFIG_HOME"), getenv("HOME"); {
	case base != "":
		all = append(all, filepath.Join(base, "keyless", "keyless.yaml"))
	case home != "":
		all = append(all, filepath.Join(home, ".config", "keyless", "keyless.yaml"))
	}
	return append(all, "/etc/keyless/keyless.yaml")
}

// Read reads and checks a configuration file.
func Read(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &Error{File: path, Message: cause(err), Hint: "name the file with --config or KEYLESS_CONFIG"}
	}
	return Parse(path, data)
}

// cause is err without the path, which the error names already.
func cause(err error) string {
	var pathError *os.PathError
	if errors.As(err, &pathError) {
		err = pathError.Err
	}
	return err.Error()
}

// Parse checks the text of a configuration file; path is for messages.
func Parse(path string, data []byte) (*Config, error) {
	if len(data) > maxFile {
		return nil, &Error{File: path, Message: fmt.Sprintf("larger than %d bytes", maxFile)}
	}
	root, err := yamltree.Parse(data)
	if err != nil {
		return nil, notYAML(path, err)
	}
	if err := check(path, root); err != nil {
		return nil, err
	}
	return &Config{Path: path, root: root}, nil
}

func notYAML(path string, err error) error {
	e := &Error{File: path, Message: err.Error()}
	var syntax *yamltree.SyntaxError
	if errors.As(err, &syntax) {
		e.Line = syntax.Line
	}
	return e
}

// Names lists the profiles in the order of the file.
func (c *Config) Names() []string {
	profiles := c.root.Child("profiles")
	if profiles == nil {
		return nil
	}
	all := make([]string, len(profiles.Keys))
	for i, key := range profiles.Keys {
		all[i] = key.Value
	}
	return all
}

// Choose returns the profile that is meant when none, or one, is named: KEYLESS_PROFILE,
// default, or the only one.
func (c *Config) Choose(name string, getenv func(string) string) (string, error) {
	all := c.Names()
	if name == "" {
		name = getenv("KEYLESS_PROFILE")
	}
	switch {
	case slices.Contains(all, name):
		return name, nil
	case name != "":
		return "", &Error{File: c.Path, Message: fmt.Sprintf("no profile %q", name), Hint: didYouMean(name, all)}
	case slices.Contains(all, "default"):
		return "default", nil
	case len(all) == 1:
		return all[0], nil
	case len(all) == 0:
		return "", &Error{File: c.Path, Message: "there are no profiles in it"}
	}
	return "", &Error{File: c.Path, Message: "which profile?", Hint: "name one of " + strings.Join(all, ", ") + ", or set KEYLESS_PROFILE"}
}
