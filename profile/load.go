package profile

import (
	"net/http"
	"reflect"

	"github.com/keyless-id/keyless/internal/yamltree"
)

// Selected is the profile to work with.
type Selected struct {
	Profile
	Name     string   // empty: made of flags alone
	Path     string   // of the configuration file; may be empty
	Used     []string // environment variables that ${NAME} looked up
	Warnings []string // for people
	Far      Far
	lines    map[string]int
}

// Far lets somebody look at what goes to the far sides of a profile, or stand in for them.
type Far struct {
	// Around goes round each transport with which a far side is asked, but for Service
	// Fabric's, which pins a certificate; nil: nothing does.
	Around func(http.RoundTripper) http.RoundTripper
	// ArcTokenDir is the folder of Azure Arc's agent; zero: the documented one. It is for tests.
	ArcTokenDir string
}

// client is the client with what goes round it.
func (f Far) client(usual *http.Client) *http.Client {
	if f.Around == nil {
		return usual
	}
	return &http.Client{Transport: f.Around(usual.Transport)}
}

// local is a client for endpoints of the host; nil, which leaves the choice to the source,
// if nothing goes round it.
func (f Far) local(usual func() *http.Client) *http.Client {
	if f.Around == nil {
		return nil
	}
	return f.client(usual())
}

// Select finds a profile: name in file (see [Find] and [Read]), changed by what
// flags say; without a name and with flags, the flags alone.
func Select(name, file string, given []Given, getenv func(string) string) (*Selected, error) {
	if name == "" && len(given) > 0 {
		return (&Config{root: &yamltree.Node{Kind: yamltree.Block}}).selected("", &yamltree.Node{Kind: yamltree.Block}, given, getenv)
	}
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
	return config.Select(name, given, getenv)
}

// Select finds a profile of the file, changed by what flags say. Without a name it is the
// one that KEYLESS_PROFILE names, default, or the only one.
func (c *Config) Select(name string, given []Given, getenv func(string) string) (*Selected, error) {
	name, err := c.Choose(name, getenv)
	if err != nil {
		return nil, err
	}
	return c.selected(name, c.root.Child("profiles").Child(name).Copy(), given, getenv)
}

func (c *Config) selected(name string, node *yamltree.Node, given []Given, getenv func(string) string) (*Selected, error) {
	s := &Selected{Name: name, Path: c.Path, lines: map[string]int{}}
	s.Warnings = plainSecrets(c.Path, node, reflect.TypeFor[Profile](), s.prefix())
	if err := overlay(node, given); err != nil {
		return nil, err
	}
	return s, s.fill(node, getenv)
}

// fill expands the tree, decodes it and validates the result.
func (s *Selected) fill(node *yamltree.Node, getenv func(string) string) error {
	x := &expander{file: s.Path, getenv: getenv}
	if err := x.expand(node, s.prefix()); err != nil {
		return err
	}
	s.Used = x.used
	s.note(node, "")
	if err := yamltree.Decode(node, &s.Profile, s.prefix()); err != nil {
		return fieldError(s.Path, err)
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
func (s *Selected) note(node *yamltree.Node, path string) {
	for i, key := range node.Keys {
		at := yamltree.Join(path, key.Value)
		s.lines[at] = key.Line
		s.note(node.Items[i], at)
	}
}
