package azhost

import (
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

// Root can read everything, so that this cannot be seen from outside everywhere.
func TestWhoIsNotInTheGroupHimdsIsToldSo(t *testing.T) {
	denied := &fs.PathError{Op: "openat", Path: "0f.key", Err: fs.ErrPermission}
	if e := arcKeyWrong(denied); !strings.Contains(e.Hint, "add the user to group himds") || e.Temporary {
		t.Errorf("%v, hint %q", e, e.Hint)
	}
	if e := arcKeyWrong(fmt.Errorf("is something else")); strings.Contains(e.Hint, "group himds") || e.Hint == "" {
		t.Errorf("hint %q", e.Hint)
	}
}

// FuzzArcChallenge: whatever the header says, the file is one of the folder.
func FuzzArcChallenge(f *testing.F) {
	f.Add("Basic realm=/var/opt/azcmagent/tokens/0a.key")
	f.Add(`Basic realm="/var/opt/azcmagent/tokens/0a.key"`)
	f.Add("Basic realm=/var/opt/azcmagent/tokens/../../../etc/shadow.key")
	f.Add("Basic realm=/var/opt/azcmagent/tokens/.key")
	f.Add("Bearer realm=x")
	f.Fuzz(func(t *testing.T, header string) {
		const dir = "/var/opt/azcmagent/tokens"
		name, err := keyName(http.Header{"Www-Authenticate": {header}}, dir)
		if err != nil {
			if text := err.Error(); strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) || len(text) > 4096 {
				t.Errorf("not one printable line: %q", text)
			}
			return
		}
		if strings.ContainsAny(name, "/\x00") || !strings.HasSuffix(name, ".key") || name == ".key" || filepath.Dir(filepath.Join(dir, name)) != dir {
			t.Errorf("%q leads to %q", header, name)
		}
		if !strings.Contains(header, dir+"/"+name) {
			t.Errorf("%q was not named in %q", name, header)
		}
	})
}
