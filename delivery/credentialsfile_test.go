package delivery_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/delivery"
)

func someCredentials(id string) keyless.Credentials {
	return keyless.Credentials{
		AccessKeyID: id, SecretAccessKey: keyless.NewSecret("hunter2"), SessionToken: keyless.NewSecret("hunter3"),
		Expiry: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC),
	}
}

const section = `[deploy]
# kept by keyless until its end: do not edit
aws_access_key_id = ASIA1
aws_secret_access_key = hunter2
aws_session_token = hunter3
x_security_token_expires = 2026-11-21T10:00:00Z
# end of what keyless keeps
`

func TestAllElseInACredentialsFileStays(t *testing.T) {
	old := strings.ReplaceAll(section, "ASIA1", "ASIA0")
	for name, c := range map[string]struct{ before, after string }{
		"no file":               {"", section},
		"others":                {"[default]\naws_access_key_id = AKIA\n", "[default]\naws_access_key_id = AKIA\n" + section},
		"no line end":           {"[default]\nregion = x", "[default]\nregion = x\n" + section},
		"Windows' line ends":    {"[default]\r\nregion = x\r\n", "[default]\r\nregion = x\r\n" + section},
		"its own":               {old, section},
		"between":               {"# mine\n[a]\nx = 1\n\n" + old + "\n# of b\n[b]\ny = 2\n", "# mine\n[a]\nx = 1\n\n" + section + "\n# of b\n[b]\ny = 2\n"},
		"the end was taken":     {strings.ReplaceAll(old, "# end of what keyless keeps\n", "") + "[b]\ny = 2\n", section + "[b]\ny = 2\n"},
		"a longer name":         {"[deploy-2]\nx = 1\n", "[deploy-2]\nx = 1\n" + section},
		"a comment with a name": {"# [deploy]\n", "# [deploy]\n" + section},
	} {
		path := filepath.Join(t.TempDir(), "credentials")
		if c.before != "" {
			if err := os.WriteFile(path, []byte(c.before), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		file := delivery.CredentialsFile{Path: path, Section: "deploy"}
		if err := file.Write(someCredentials("ASIA1")); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, _ := os.ReadFile(path); string(got) != c.after {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, c.after)
		}
		if err := file.Remove(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, _ := os.ReadFile(path); strings.Contains(string(got), "keyless") || string(got) != strings.Replace(c.after, section, "", 1) {
			t.Errorf("%s: %s is left", name, got)
		}
	}
}

func TestAProfileThatSomebodyElseWroteStays(t *testing.T) {
	for name, before := range map[string]string{
		"keys":        "[deploy]\naws_access_key_id = AKIA\n",
		"at the end":  "[default]\n[deploy]\n",
		"with spaces": "[ deploy ]\naws_access_key_id = AKIA\n",
	} {
		path := filepath.Join(t.TempDir(), "credentials")
		if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		err := (delivery.CredentialsFile{Path: path, Section: "deploy"}).Write(someCredentials("ASIA1"))
		if err == nil || !strings.Contains(err.Error(), `profile "deploy" stands in it already`) {
			t.Errorf("%s: %v", name, err)
		}
		if got, _ := os.ReadFile(path); string(got) != before {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestEmptyCredentialsAreNotWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "credentials")
	c := someCredentials("ASIA1")
	c.SessionToken = keyless.Secret{}
	if err := (delivery.CredentialsFile{Path: path, Section: "deploy"}).Write(c); err == nil {
		t.Error("credentials without a session")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("there is a file")
	}
}

// Whatever people have in the file, it is there after the section has come and gone.
func FuzzCredentialsFile(f *testing.F) {
	f.Add("[default]\naws_access_key_id = AKIA\n")
	f.Add(section + "[other]\n")
	f.Add("[deploy]\n")
	f.Add("\xff[deploy\n]")
	f.Fuzz(func(t *testing.T, before string) {
		path := filepath.Join(t.TempDir(), "credentials")
		if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		file := delivery.CredentialsFile{Path: path, Section: "deploy"}
		err := file.Write(someCredentials("ASIA1"))
		after, _ := os.ReadFile(path)
		switch {
		case err != nil && string(after) != before:
			t.Fatalf("it failed and changed the file: %q", after)
		case err != nil:
			return
		case strings.Count(string(after), "ASIA1") != 1+strings.Count(before, "ASIA1") && !strings.Contains(before, "# kept by keyless"):
			t.Fatalf("%q", after)
		}
		if err := file.Write(someCredentials("ASIA2")); err != nil {
			t.Fatal(err)
		}
		if err := file.Remove(); err != nil {
			t.Fatal(err)
		}
		rest, _ := os.ReadFile(path)
		if !strings.Contains(before, "# kept by keyless") && strings.TrimSpace(string(rest)) != strings.TrimSpace(before) {
			t.Fatalf("%q became %q", before, rest)
		}
	})
}
