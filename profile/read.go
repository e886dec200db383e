package profile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const maxFile = 1 << 20

// Config is a configuration file that has been read and found without unknown keys.
type Config struct {
	Path     string   // empty: there is no file
	Warnings []string // for people
	root     *yaml.Node
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
	var document yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF) || err == nil && len(document.Content) == 0:
		return nil, &Error{File: path, Message: "the file is empty", Hint: "it starts with profiles:"}
	case err != nil:
		return nil, &Error{File: path, Message: yamlWords(err)}
	case !errors.Is(decoder.Decode(new(yaml.Node)), io.EOF):
		return nil, &Error{File: path, Message: "more than one document in it"}
	}
	c := &checker{file: path}
	root := document.Content[0]
	if err := c.check(root, reflect.TypeFor[File](), ""); err != nil {
		return nil, err
	}
	return &Config{Path: path, Warnings: c.warnings, root: root}, nil
}

// yamlWords is a parser's error on one line.
func yamlWords(err error) string {
	return strings.Join(strings.Fields(strings.TrimPrefix(err.Error(), "yaml: ")), " ")
}

// Names lists the profiles in the order of the file.
func (c *Config) Names() []string {
	var all []string
	profiles := child(c.root, "profiles")
	if profiles == nil {
		return nil
	}
	for i := 0; i+1 < len(profiles.Content); i += 2 {
		all = append(all, profiles.Content[i].Value)
	}
	return all
}

// choose returns the profile that is meant when none, or one, is named.
func (c *Config) choose(name string, getenv func(string) string) (string, error) {
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

// child returns the value of key in a mapping, or nil.
func child(node *yaml.Node, key string) *yaml.Node {
	for i := 0; node != nil && node.Kind == yaml.MappingNode && i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	return nil
}
