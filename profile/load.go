package profile

import (
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Selected is the profile to work with.
type Selected struct {
	Profile
	Name     string   // empty: made of flags alone
	Path     string   // of the configuration file; may be empty
	Used     []string // environment variables that ${NAME} looked up
	Warnings []string // for people
	lines    map[string]int
}

// Select finds a profile: name in file (see [Find] and [Read]), changed by what
// flags say; without a name and with flags, the flags alone.
func Select(name, file string, given []Given, getenv func(string) string) (*Selected, error) {
	s := &Selected{lines: map[string]int{}}
	node := mappingNode()
	if name != "" || len(given) == 0 {
		found, err := s.fromFile(name, file, getenv)
		if err != nil {
			return nil, err
		}
		node = found
	}
	if err := overlay(node, given); err != nil {
		return nil, err
	}
	return s, s.fill(node, getenv)
}

func (s *Selected) fromFile(name, file string, getenv func(string) string) (*yaml.Node, error) {
	path := Find(file, getenv)
	if path == "" {
		return nil, &Error{
			Message: "no configuration file and no flags",
			Hint:    "write ~/.config/keyless/keyless.yaml, or say it with flags: --source managed_identity --audience api://… --role-arn arn:…",
		}
	}
	config, err := Read(path)
	if err != nil {
		return nil, err
	}
	if s.Name, err = config.choose(name, getenv); err != nil {
		return nil, err
	}
	s.Path, s.Warnings = path, belongsTo(config.Warnings, s.Name)
	return child(child(config.root, "profiles"), s.Name), nil
}

// belongsTo keeps the warnings about one profile.
func belongsTo(warnings []string, name string) []string {
	return slices.DeleteFunc(warnings, func(w string) bool { return !strings.Contains(w, ": profiles."+name+".") })
}

// fill checks the tree, expands it, decodes it and validates the result.
func (s *Selected) fill(node *yaml.Node, getenv func(string) string) error {
	x := &expander{checker: checker{file: s.Path}, getenv: getenv}
	if err := x.check(node, reflect.TypeFor[Profile](), s.prefix()); err != nil {
		return err
	}
	if err := x.expand(node, s.prefix()); err != nil {
		return err
	}
	s.Used = x.used
	s.note(node, "")
	if err := node.Decode(&s.Profile); err != nil {
		return s.fail("", "", "%s", yamlWords(err))
	}
	return s.validate()
}

// prefix is where the profile stands in the file.
func (s *Selected) prefix() string {
	if s.Name == "" {
		return ""
	}
	return "profiles." + s.Name
}

// note remembers the line of every key, for what validation finds later.
func (s *Selected) note(node *yaml.Node, path string) {
	s.lines[path] = node.Line
	if node.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		at := join(path, node.Content[i].Value)
		s.note(node.Content[i+1], at)
		s.lines[at] = node.Content[i].Line
	}
}
