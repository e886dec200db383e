package profile

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/keyless-id/keyless/internal/yamltree"
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
	"source.*.endpoint":     "imds-endpoint",
	"source.*.file":         "assertion-file",
	"source.*.cloud":        "azure-cloud",
	"source.*.password":     "certificate-password",
	"aws.policy_arns":       "policy-arn",
	"expected_aud":          "expected-aud",
	"ca_file":               "ca-file",
	"aws.session_policy":    "session-policy",
	"source.*.resource_id":  "identity-resource-id",
	"source.*.object_id":    "identity-object-id",
	"source.*.region":       "source-region",
	"source.*.sts_endpoint": "source-sts-endpoint",

	proxyPlace + "listen":        "listen",
	routePlace + "ca_file":       "upstream-ca-file",
	routePlace + "http2":         "upstream-http2",
	routePlace + "sigv4.service": "sigv4-service",
	routePlace + "sigv4.region":  "sigv4-region",
	routePlace + "methods":       "method",
}

// Settings lists all that a profile can say, as flags.
func Settings() []Setting {
	kinds := yamltree.Names(yamltree.Fields(reflect.TypeFor[Source]()))
	all := []Setting{{Flag: sourceFlag, Path: "source", Doc: "How the workload proves who it is: " + strings.Join(kinds, ", ") + "."}}
	for _, f := range yamltree.Fields(reflect.TypeFor[Profile]()) {
		switch f.Name {
		case "source":
			all = append(all, sourceSettings()...)
		case "aws":
			all = append(all, settingsOf(f.Type.Elem(), "aws.")...)
		case "azure_ad", "role_arn", "default_region": // the block is for files that exist already
		default:
			all = append(all, settingOf(f, ""))
		}
	}
	return all
}

func sourceSettings() []Setting {
	var all []Setting
	for _, source := range yamltree.Fields(reflect.TypeFor[Source]()) {
		for _, s := range settingsOf(source.Type.Elem(), "source.*.") {
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
	for _, f := range yamltree.Fields(t) {
		all = append(all, settingOf(f, prefix))
	}
	return all
}

func settingOf(f yamltree.Field, prefix string) Setting {
	path := prefix + f.Name
	flag, ok := renamed[path]
	if !ok {
		flag = strings.ReplaceAll(f.Name, "_", "-")
	}
	doc := f.Doc
	if f.Type == reflect.TypeFor[Secret]() {
		doc = strings.Replace(doc, "in plain text it works and warns", "never in plain text, which every user of the machine could read", 1)
	}
	return Setting{Flag: flag, Path: path, Doc: doc, List: f.Type.Kind() == reflect.Slice, Bool: f.Type.Kind() == reflect.Bool}
}

// Given is a setting with the values that a person gave.
type Given struct {
	Setting
	Values []string
}

// overlay writes what flags say over a profile.
func overlay(profile *yamltree.Node, given []Given) error {
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
		profile.Set(node, strings.Split(strings.Replace(g.Path, "*", kind, 1), ".")...)
	}
	return nil
}

// pickSource returns the kind of source that flags are for: the one that --source
// names, which takes the place of the profile's, or else the profile's.
func pickSource(profile *yamltree.Node, given []Given) (string, error) {
	at := slices.IndexFunc(given, func(g Given) bool { return g.Flag == sourceFlag })
	if at < 0 {
		if source := profile.Child("source"); source != nil && len(source.Keys) > 0 {
			return source.Keys[0].Value, nil
		}
		return "", nil
	}
	kind := given[at].Values[0]
	known := yamltree.Names(yamltree.Fields(reflect.TypeFor[Source]()))
	if !slices.Contains(known, kind) {
		return "", flagError(given[at], didYouMean(kind, known), "unknown source %q", kind)
	}
	if profile.Child("source").Child(kind) == nil {
		profile.Set(&yamltree.Node{}, "source")
		profile.Set(&yamltree.Node{}, "source", kind)
	}
	return kind, nil
}

func flagError(g Given, hint, format string, args ...any) error {
	return &Error{Path: "--" + g.Flag, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// node is the tree that the values stand for.
func (g Given) node() (*yamltree.Node, error) {
	switch {
	case g.isSecret() && !fromElsewhere(g.Values[0]):
		return nil, flagError(g, "write '${NAME}' for an environment variable, or file:/path", "a secret on the command line can be read by every user of the machine")
	case !g.List:
		return yamltree.NewText(g.Values[0]), nil
	}
	list := &yamltree.Node{Kind: yamltree.List}
	for _, value := range g.Values {
		item, err := g.item(value)
		if err != nil {
			return nil, err
		}
		list.Items = append(list.Items, item)
	}
	return list, nil
}

// item reads one value of a list, which may be a block: {role_arn: …, external_id: …}.
func (g Given) item(value string) (*yamltree.Node, error) {
	if !strings.HasPrefix(value, "{") {
		return yamltree.NewText(value), nil
	}
	block, err := yamltree.Parse([]byte(value))
	if err != nil {
		return nil, flagError(g, `for example '{role_arn: "arn:…", external_id: "…"}'`, "cannot be read as a block")
	}
	return block, nil
}

func (g Given) isSecret() bool {
	return g.Path == "source.*.client_secret" || g.Path == "source.*.password"
}
