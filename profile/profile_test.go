package profile

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

const good = `
profiles:
  deploy:
    source:
      client_secret:
        tenant_id: 3f2c8a10-0000-4000-8000-000000000001
        client_id: decaf000-0000-4000-8000-000000000031
        client_secret: ${DEPLOY_SECRET}
    audience: api://a3d5c0de-0000-4000-8000-0000000000a1
    aws:
      role_arn: arn:aws:iam::111122223333:role/deploy
      region: eu-west-1
      duration: 90m
      policy_arns: [ "arn:aws:iam::aws:policy/ReadOnlyAccess" ]
      chain:
        - arn:aws:iam::444455556666:role/target
        - { role_arn: "arn:aws:iam::777788889999:role/last", external_id: "x-1", duration: 30m }
  vm:
    source:
      managed_identity:
    audience: api://a3d5c0de-0000-4000-8000-0000000000a1
`

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keyless.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestSelectReadsAllOfAProfile(t *testing.T) {
	s, err := Select("deploy", write(t, good), nil, env("DEPLOY_SECRET", "hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Source.ClientSecret.ClientSecret.Value.Reveal() != "hunter2" || s.AWS.Duration != 90*time.Minute {
		t.Errorf("got %+v", s.Profile)
	}
	if len(s.AWS.Chain) != 2 || s.AWS.Chain[0].RoleARN != "arn:aws:iam::444455556666:role/target" || s.AWS.Chain[1].ExternalID != "x-1" {
		t.Errorf("chain %+v", s.AWS.Chain)
	}
	if !reflect.DeepEqual(s.Used, []string{"DEPLOY_SECRET"}) {
		t.Errorf("used %q", s.Used)
	}
}

func TestAnotherProfilesMissingVariableDoesNoHarm(t *testing.T) {
	if _, err := Select("vm", write(t, good), nil, env()); err != nil {
		t.Error(err)
	}
	var wrong *Error
	if _, err := Select("deploy", write(t, good), nil, env()); !errors.As(err, &wrong) || wrong.Line != 8 {
		t.Errorf("err = %v", err)
	}
}

func TestDollarDollarStandsForItself(t *testing.T) {
	text := strings.Replace(good, "${DEPLOY_SECRET}", "$${DEPLOY_SECRET}", 1)
	s, err := Select("deploy", write(t, text), nil, env())
	if err != nil || s.Source.ClientSecret.ClientSecret.Value.Reveal() != "${DEPLOY_SECRET}" {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestMistakesNameTheLineAndTheNearestKey(t *testing.T) {
	for text, want := range map[string]string{
		"profiles: {a: {sorce: {}}}":                     `f:1: profiles.a.sorce: unknown key`,
		"profiles:\n  a:\n    aws: { role_arn: [x] }":    "f:3: profiles.a.aws.role_arn: want a text, not a list",
		"profiles:\n  a:\n    aws: nothing":              "f:3: profiles.a.aws: want a block of keys, not a text",
		"profiles:\n  a: {}\n  a: {}":                    "f:3: profiles.a: stands here twice",
		"profiles:\n  a: &x {}\n  b: *x":                 "f:2: anchors, aliases and tags are not used here",
		"profiles:\n  a: { aws: { fips: maybe } }":       `f:2: profiles.a.aws.fips: want true or false, not "maybe"`,
		"profiles:\n  a: { aws: { chain: x } }":          "want a list, not a text",
		"profiles: {}\n---\nprofiles: {}":                "more than one document",
		"profiles:\n  a: { aws: { duration: [] } }":      "want a time span, not a list",
		"profiles:\n  ? [a]\n  : {}":                     "f:2: want a word as key, not a list",
		"profiles:\n  a:\n    source:\n\tclient_id: tab": "found character that cannot start any token",
	} {
		_, err := Parse("f", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: more than one line: %v", text, err)
		}
	}
	_, err := Parse("f", []byte("profiles: {a: {sorce: {}}}"))
	var wrong *Error
	if !errors.As(err, &wrong) || wrong.Hint != `did you mean "source"?` {
		t.Errorf("hint %q", wrong.Hint)
	}
}

func TestBadDurationIsOneLine(t *testing.T) {
	text := strings.Replace(good, "90m", "an hour", 1)
	_, err := Select("deploy", write(t, text), nil, env("DEPLOY_SECRET", "hunter2"))
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "an hour") {
		t.Errorf("err = %v", err)
	}
}

func TestChoosingAProfile(t *testing.T) {
	path := write(t, good)
	for _, test := range []struct{ name, variable, want, err string }{
		{"vm", "", "vm", ""},
		{"", "vm", "vm", ""},
		{"deplyo", "", "", `no profile "deplyo"`},
		{"", "", "", "which profile?"},
	} {
		s, err := Select(test.name, path, nil, env("KEYLESS_PROFILE", test.variable, "DEPLOY_SECRET", "x"))
		if test.err == "" && (err != nil || s.Name != test.want) || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%+v: got %v, %v", test, s, err)
		}
	}
}

func TestPlacesOfTheFile(t *testing.T) {
	home := t.TempDir()
	path := filepath.Join(home, ".config", "keyless", "keyless.yaml")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		explicit string
		getenv   func(string) string
		want     string
	}{
		{"x.yaml", env("KEYLESS_CONFIG", "y.yaml"), "x.yaml"},
		{"", env("KEYLESS_CONFIG", "y.yaml", "HOME", home), "y.yaml"},
		{"", env("HOME", home), path},
		{"", env("XDG_CONFIG_HOME", filepath.Join(home, ".config"), "HOME", "/nowhere"), path},
	} {
		if got := Find(test.explicit, test.getenv); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

// Every key has a flag but for the block of files that exist already, and every key
// and flag is documented.
func TestEveryKeyHasAFlag(t *testing.T) {
	flags := map[string]string{}
	for _, s := range Settings() {
		if other, ok := flags[s.Flag]; ok {
			t.Errorf("--%s stands for %s and %s", s.Flag, other, s.Path)
		}
		flags[s.Flag] = s.Path
		if s.Doc == "" {
			t.Errorf("--%s is not documented", s.Flag)
		}
	}
	if len(flags) < 25 {
		t.Errorf("only %d flags", len(flags))
	}
}

func TestTheKeyOfTheCacheChangesWithTheAnswerAndNothingElse(t *testing.T) {
	build := func(text string, getenv func(string) string) *Built {
		s, err := Select("deploy", write(t, text), nil, getenv)
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.Build(getenv)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	base := build(good, env("DEPLOY_SECRET", "hunter2"))
	rotated := build(good, env("DEPLOY_SECRET", "hunter3"))
	if rotated.CredentialsKey != base.CredentialsKey || rotated.Attempt == base.Attempt {
		t.Error("a rotated secret must keep the answer and allow a new try")
	}
	for _, change := range []struct{ old, new string }{
		{"role/deploy", "role/deploy2"},
		{"eu-west-1", "eu-west-2"},
		{"90m", "91m"},
		{"role/target", "role/target2"},
		{"x-1", "x-2"},
		{"00000000a1", "00000000a2"},
		{"000000000031", "000000000032"},
		{"ReadOnlyAccess", "ViewOnlyAccess"},
		{"4000-8000-000000000001", "4000-8000-000000000002"},
	} {
		if b := build(strings.Replace(good, change.old, change.new, 1), env("DEPLOY_SECRET", "hunter2")); b.CredentialsKey == base.CredentialsKey {
			t.Errorf("%s → %s: the same key", change.old, change.new)
		}
	}
	if moved := build(good, env("DEPLOY_SECRET", "hunter2", "AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9")); moved.CredentialsKey == base.CredentialsKey {
		t.Error("another STS: the same key")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("profiles: {a: {source: {managed_identity: }, audience: ${X}, aws: {chain: [a, {role_arn: b}]}}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		config, err := Parse("f", data)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
			return
		}
		for _, name := range config.Names() {
			node := config.root.Child("profiles").Child(name)
			s := &Selected{Name: name, lines: map[string]int{}}
			if s.fill(node, func(string) string { return "v" }) == nil {
				_, _ = s.Build(func(string) string { return "" })
			}
		}
	})
}
