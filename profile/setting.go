package profile

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Setting is one key of a profile as a command-line flag.
type Setting struct {
	Flag string
	Path string // of the key below the profile; * stands for the kind of source
	Doc  string
	List bool // may be given more than once
	Bool bool
}

// sourceFlag picks the kind of source.
const sourceFlag = "source"

// renamed are flags whose last word alone would say too little, or too much.
var renamed = map[string]string{ //nolint:gochecknoglobals // a table
	"source.*.endpoint":    "imds-endpoint",
	"source.*.file":        "assertion-file",
	"source.*.cloud":       "azure-cloud",
	"source.*.password":    "certificate-password",
	"aws.policy_arns":      "policy-arn",
	"expected_aud":         "expected-aud",
	"ca_file":              "ca-file",
	"aws.session_policy":   "session-policy",
	"source.*.resource_id": "identity-resource-id",
	"source.*.object_id":   "identity-object-id",
}

// Settings lists all that a profile can say, as flags.
func Settings() []Setting {
	kinds := names(fieldsOf(reflect.TypeFor[Source]()))
	all := []Setting{{Flag: sourceFlag, Path: "source", Doc: "How the workload proves who it is: " + strings.Join(kinds, ", ") + "."}}
	for _, f := range fieldsOf(reflect.TypeFor[Profile]()) {
		switch f.name {
		case "source":
			all = append(all, sourceSettings()...)
		case "aws":
			all = append(all, settingsOf(f.typ.Elem(), "aws.")...)
		case "azure_ad", "role_arn", "default_region": // the block is for files that exist already
		default:
			all = append(all, settingOf(f, ""))
		}
	}
	return all
}

func sourceSettings() []Setting {
	var all []Setting
	for _, source := range fieldsOf(reflect.TypeFor[Source]()) {
		for _, s := range settingsOf(source.typ.Elem(), "source.*.") {
			at := slices.IndexFunc(all, func(known Setting) bool { return known.Flag == s.Flag })
			switch {
			case at < 0:
				all = append(all, s)
			case !strings.Contains(strings.ToLower(all[at].Doc), strings.ToLower(strings.TrimSuffix(s.Doc, "."))):
				all[at].Doc = strings.TrimSuffix(all[at].Doc, ".") + "; " + lowerFirst(s.Doc)
			}
		}
	}
	return all
}

func lowerFirst(text string) string { return strings.ToLower(text[:1]) + text[1:] }

func settingsOf(t reflect.Type, prefix string) []Setting {
	var all []Setting
	for _, f := range fieldsOf(t) {
		all = append(all, settingOf(f, prefix))
	}
	return all
}

func settingOf(f field, prefix string) Setting {
	path := prefix + f.name
	flag, ok := renamed[path]
	if !ok {
		flag = strings.ReplaceAll(f.name, "_", "-")
	}
	doc := f.doc
	if f.typ == secretType {
		doc = strings.Replace(doc, "in plain text it works and warns", "never in plain text, which every user of the machine could read", 1)
	}
	return Setting{Flag: flag, Path: path, Doc: doc, List: f.typ.Kind() == reflect.Slice, Bool: f.typ.Kind() == reflect.Bool}
}

// Given is a setting with the values that a person gave.
type Given struct {
	Setting
	Values []string
}

// overlay writes what flags say over a profile.
func overlay(profile *yaml.Node, given []Given) error {
	kind, err := pickSource(profile, given)
	if err != nil {
		return err
	}
	for _, g := range given {
		if g.Flag == sourceFlag {
			continue
		}
		if strings.Contains(g.Path, "*") && kind == "" {
			return flagError(g, "say which --source it is for", "goes with a source")
		}
		node, err := g.node()
		if err != nil {
			return err
		}
		place(profile, strings.Split(strings.Replace(g.Path, "*", kind, 1), "."), node)
	}
	return nil
}

// pickSource returns the kind of source that flags are for: the one that --source
// names, which takes the place of the profile's, or else the profile's.
func pickSource(profile *yaml.Node, given []Given) (string, error) {
	at := slices.IndexFunc(given, func(g Given) bool { return g.Flag == sourceFlag })
	if at < 0 {
		if source := child(profile, "source"); source != nil && len(source.Content) > 0 {
			return source.Content[0].Value, nil
		}
		return "", nil
	}
	kind := given[at].Values[0]
	known := names(fieldsOf(reflect.TypeFor[Source]()))
	if !slices.Contains(known, kind) {
		return "", flagError(given[at], didYouMean(kind, known), "unknown source %q", kind)
	}
	if child(child(profile, "source"), kind) == nil {
		place(profile, []string{"source"}, mappingNode())
		place(profile, []string{"source", kind}, mappingNode())
	}
	return kind, nil
}

func flagError(g Given, hint, format string, args ...any) error {
	return &Error{Path: "--" + g.Flag, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// node is the YAML that the values stand for.
func (g Given) node() (*yaml.Node, error) {
	switch {
	case g.isSecret() && !fromElsewhere(g.Values[0]):
		return nil, flagError(g, "write '${NAME}' for an environment variable, or file:/path", "a secret on the command line can be read by every user of the machine")
	case g.Bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: g.Values[0]}, nil
	case !g.List:
		return textNode(g.Values[0]), nil
	}
	list := &yaml.Node{Kind: yaml.SequenceNode}
	for _, value := range g.Values {
		item, err := g.item(value)
		if err != nil {
			return nil, err
		}
		list.Content = append(list.Content, item)
	}
	return list, nil
}

// item reads one value of a list, which may be a block: {role_arn: …, external_id: …}.
func (g Given) item(value string) (*yaml.Node, error) {
	if !strings.HasPrefix(value, "{") {
		return textNode(value), nil
	}
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(value), &document); err != nil || len(document.Content) != 1 {
		return nil, flagError(g, `for example '{role_arn: "arn:…", external_id: "…"}'`, "cannot be read as a block")
	}
	return document.Content[0], nil
}

func (g Given) isSecret() bool {
	return g.Path == "source.*.client_secret" || g.Path == "source.*.password"
}

func fromElsewhere(value string) bool {
	_, isFile := filePath(value)
	return isFile || reference().MatchString(value)
}

func textNode(value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value}
}

func mappingNode() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"} }

// place sets a value at a path of keys, making the blocks on the way.
func place(node *yaml.Node, path []string, value *yaml.Node) {
	next := child(node, path[0])
	switch {
	case len(path) == 1 && next != nil:
		*next = *value
		return
	case len(path) == 1:
		next = value
	case next == nil:
		next = mappingNode()
	default:
		place(next, path[1:], value)
		return
	}
	node.Content = append(node.Content, textNode(path[0]), next)
	if len(path) > 1 {
		place(next, path[1:], value)
	}
}
