//go:build unix

package azhost_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/azhost"
	"github.com/keyless-id/keyless/internal/sourcetest"
	"github.com/keyless-id/keyless/sandbox"
)

func TestArcKeepsTheContract(t *testing.T) {
	dir := t.TempDir()
	keyFile(t, dir, "1.key", hunter2)
	sourcetest.Run(t, sourcetest.Contract{
		New: func(far sourcetest.Far) keyless.TokenSource {
			return azhost.Arc{Resource: resource, TokenDir: dir, Client: far.Client}
		},
		Challenge: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Www-Authenticate", "Basic realm="+filepath.Join(dir, "1.key"))
			w.WriteHeader(http.StatusUnauthorized)
		}),
		Secrets: []string{"hunter2", "hunter3"},
		Refused: 2, // the file may have been replaced meanwhile
		Local:   true,
	})
}

func keyFile(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// himds plays the agent: a challenge for path, then what answer says.
func himds(path string, answer func(r *http.Request) (int, string)) *far {
	return &far{answer: func(_ int, r *http.Request) (int, http.Header, string, error) {
		if r.Header.Get("Authorization") == "" {
			return 401, http.Header{"Www-Authenticate": {"Basic realm=" + path}}, "", nil
		}
		status, body := answer(r)
		return status, nil, body, nil
	}}
}

func isGood(*http.Request) (int, string) { return 200, good }

func arc(f *far, dir string) azhost.Arc {
	return azhost.Arc{Resource: resource, TokenDir: dir, Client: &http.Client{Transport: f}}
}

func TestArcProvesItselfWithTheFileOfTheChallenge(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"as it is": "a2V5", "with a newline at its end": "a2V5\n", "with spaces round it": " a2V5\r\n\n", "as large as allowed": "a2V5" + strings.Repeat(" ", 4092),
	} {
		f := himds(keyFile(t, dir, "0f.key", content), isGood)
		if _, err := arc(f, dir).Token(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(f.seen) != 2 || f.seen[0].Header.Get("Authorization") != "" || f.seen[1].Header.Get("Authorization") != "Basic a2V5" {
			t.Errorf("%s: %d requests, %v", name, len(f.seen), f.seen)
		}
		want := "http://127.0.0.1:40342/metadata/identity/oauth2/token?api-version=2020-06-01&resource=api%3A%2F%2F11111111-1111-1111-1111-111111111111"
		for _, r := range f.seen {
			if r.URL.String() != want || r.Method != http.MethodGet || r.Header.Get("Metadata") != "true" {
				t.Errorf("%s: asked %s %s", name, r.Method, r.URL)
			}
		}
	}
}

func TestArcTrustsNoOtherFirstAnswerThanItsChallenge(t *testing.T) {
	dir := t.TempDir()
	inside := keyFile(t, dir, "0f.key", hunter2)
	outside := keyFile(t, t.TempDir(), "0f.key", hunter2)
	realm := func(value string) http.Header { return http.Header{"Www-Authenticate": {value}} }
	for name, c := range map[string]struct {
		status int
		header http.Header
		want   string
	}{
		"200 at once":          {200, realm("Basic realm=" + inside), "without a challenge"},
		"no header":            {401, nil, "no challenge file"},
		"another scheme":       {401, realm("Bearer realm=" + inside), "no challenge file"},
		"an empty realm":       {401, realm("Basic realm="), "no challenge file"},
		"no realm":             {401, realm("Basic"), "no challenge file"},
		"another folder":       {401, realm("Basic realm=" + outside), "outside of"},
		"a way out":            {401, realm("Basic realm=" + dir + "/../" + filepath.Base(filepath.Dir(outside)) + "/0f.key"), "outside of"},
		"a folder below":       {401, realm("Basic realm=" + dir + "/x/0f.key"), "outside of"},
		"a relative name":      {401, realm("Basic realm=0f.key"), "outside of"},
		"another suffix":       {401, realm("Basic realm=" + dir + "/0f.txt"), "no .key file"},
		"only a suffix":        {401, realm("Basic realm=" + dir + "/.key"), "no .key file"},
		"the folder":           {401, realm("Basic realm=" + dir), "outside of"},
		"a zero byte":          {401, realm("Basic realm=" + dir + "/x\x00.key"), "no .key file"},
		"an identity not here": {404, nil, "identity_not_found"},
	} {
		f := &far{answer: func(int, *http.Request) (int, http.Header, string, error) {
			return c.status, c.header, `{"error":"identity_not_found","error_description":"no"}`, nil
		}}
		err := tokenError(t, arc(f, dir))
		if e := wantErrorOf(t, err, "azure arc", c.want, false); e.Hint == "" || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: %v, hint %q", name, err, e.Hint)
		}
		if len(f.seen) != 1 {
			t.Errorf("%s: %d requests", name, len(f.seen))
		}
	}
}

func TestArcReadsNothingButARegularFileOfTheAgent(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	target := keyFile(t, elsewhere, "shadow", hunter2)
	sibling := keyFile(t, dir, "sibling.key", hunter2)
	for name, c := range map[string]struct {
		make func(path string) error
		want string
	}{
		"a link out":    {func(path string) error { return os.Symlink(target, path) }, "a link or no regular file"},
		"a link inside": {func(path string) error { return os.Symlink(filepath.Base(sibling), path) }, "a link or no regular file"},
		"a folder":      {func(path string) error { return os.Mkdir(path, 0o700) }, "a link or no regular file"},
		"a pipe":        {func(path string) error { return syscall.Mkfifo(path, 0o600) }, "a link or no regular file"},
		"4097 bytes":    {func(path string) error { return os.WriteFile(path, []byte("a"+strings.Repeat(" ", 4096)), 0o600) }, "larger than 4096 bytes"},
		"nothing in it": {func(path string) error { return os.WriteFile(path, []byte(" \n"), 0o600) }, "is empty"},
		"two lines":     {func(path string) error { return os.WriteFile(path, []byte("hunter2\r\nHost: x"), 0o600) }, "printable ASCII"},
		"no file":       {func(string) error { return nil }, "no such file"},
		"a stranger's":  {func(path string) error { return owned(path, 4242) }, "belongs neither to root"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".key")
			if err := c.make(path); err != nil {
				t.Skip(err) // only root can make a stranger's file; see TestWhoseFilesAreTheAgents
			}
			f := himds(path, isGood)
			_, err := arc(f, dir).Token(t.Context())
			if e := wantErrorOf(t, err, "azure arc", c.want, false); e.Hint == "" || strings.Contains(err.Error(), "hunter") {
				t.Errorf("%v, hint %q", err, e.Hint)
			}
			if len(f.seen) != 1 {
				t.Errorf("%d requests", len(f.seen))
			}
		})
	}
}

func owned(path string, user int) error {
	if err := os.WriteFile(path, []byte(hunter2), 0o600); err != nil {
		return err
	}
	return os.Chown(path, user, user)
}

func TestAKeyThatGoesStaleMeanwhileIsReadOnceMore(t *testing.T) {
	dir := t.TempDir()
	path := keyFile(t, dir, "0f.key", "old")
	f := himds(path, func(r *http.Request) (int, string) {
		if r.Header.Get("Authorization") == "Basic old" {
			keyFile(t, dir, "0f.key", "new")
			return 401, ""
		}
		return 200, good
	})
	if _, err := arc(f, dir).Token(t.Context()); err != nil || len(f.seen) != 4 {
		t.Errorf("%d requests: %v", len(f.seen), err)
	}
	f = himds(path, func(*http.Request) (int, string) { return 401, "" })
	_, err := arc(f, dir).Token(t.Context())
	if e := wantErrorOf(t, err, "azure arc", "HTTP 401", false); !strings.Contains(e.Hint, "second time") || len(f.seen) != 4 {
		t.Errorf("%d requests, hint %q", len(f.seen), e.Hint)
	}
}

func TestAnAgentThatIgnoresTheSelectorIsFoundOut(t *testing.T) {
	dir := t.TempDir()
	path := keyFile(t, dir, "0f.key", "a2V5")
	const id = "C0FFEE00-0000-4000-8000-000000000021"
	for name, choose := range map[string]func(*azhost.Arc){
		"client_id":  func(a *azhost.Arc) { a.ClientID = id },
		"object_id":  func(a *azhost.Arc) { a.ObjectID = id },
		"msi_res_id": func(a *azhost.Arc) { a.ResourceID = id },
	} {
		body := `{"access_token":"a.b.c","expires_in":"3599","` + name + `":"` + strings.ToLower(id) + `"}`
		knows := himds(path, func(r *http.Request) (int, string) {
			if r.URL.Query().Get(name) != id {
				t.Errorf("%s: asked %s", name, r.URL)
			}
			return 200, body
		})
		source := arc(knows, dir)
		choose(&source)
		if _, err := source.Token(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, other := range []string{`{"access_token":"a.b.c","expires_in":"3599"}`, `{"access_token":"a.b.c","expires_in":"3599","` + name + `":"other"}`, `{"access_token":"a.b.c","expires_in":"3599","` + name + `":1}`} {
			source := arc(himds(path, func(*http.Request) (int, string) { return 200, other }), dir)
			choose(&source)
			_, err := source.Token(t.Context())
			if e := wantErrorOf(t, err, "azure arc", name, false); !strings.Contains(e.Hint, "azcmagent upgrade") {
				t.Errorf("hint %q", e.Hint)
			}
		}
	}
}

func TestMistakesInAnArcSourceAreSaidBeforeAsking(t *testing.T) {
	for want, change := range map[string]func(*azhost.Arc){
		`resource ""`:   func(a *azhost.Arc) { a.Resource = "" },
		"more than one": func(a *azhost.Arc) { a.ClientID, a.ResourceID = "c", "r" },
		"plain http":    func(a *azhost.Arc) { a.Endpoint = "http://10.0.0.1/metadata/identity/oauth2/token" },
	} {
		f := &far{}
		source := arc(f, t.TempDir())
		change(&source)
		_, err := source.Token(t.Context())
		wantErrorOf(t, err, "azure arc", want, false)
		if source.Validate() == nil || len(f.seen) != 0 {
			t.Errorf("%s: asked all the same", want)
		}
	}
}

func TestAnAgentThatIsNotThereIsSaidWithinThreeSeconds(t *testing.T) {
	err := tokenError(t, arc(fails(syscall.ECONNREFUSED), t.TempDir()))
	if e := wantErrorOf(t, err, "azure arc", "127.0.0.1:40342", true); !strings.Contains(e.Hint, "azcmagent show") {
		t.Errorf("hint %q", e.Hint)
	}
}

func TestArcInTheSandboxWithFilesThatAreReallyWritten(t *testing.T) {
	dir := t.TempDir()
	s, client := world(t, sandbox.Options{ArcTokenDir: dir})
	source := azhost.Arc{Resource: sandbox.DemoAudience, Endpoint: environment(t, s, sandbox.HostArc)["IDENTITY_ENDPOINT"], TokenDir: dir, Client: client}
	wantSubject(t, source, sandbox.DemoVMObjectID)
	if got := s.Requests(sandbox.Arc); got != 2 {
		t.Errorf("%d requests, want challenge and proof", got)
	}
	for _, choose := range []func(*azhost.Arc){
		func(a *azhost.Arc) { a.ClientID = sandbox.DemoAssignedClientID },
		func(a *azhost.Arc) { a.ObjectID = sandbox.DemoAssignedObjectID },
		func(a *azhost.Arc) { a.ResourceID = sandbox.DemoAssignedResourceID },
	} {
		chosen := source
		choose(&chosen)
		wantSubject(t, chosen, sandbox.DemoAssignedObjectID)
	}
	for hint, change := range map[string]func(*azhost.Arc){
		"no such identity":  func(a *azhost.Arc) { a.ClientID = sandbox.DemoAppClientID },
		"character by char": func(a *azhost.Arc) { a.Resource = "api://nobody" },
		"another program":   func(a *azhost.Arc) { a.TokenDir = t.TempDir() },
	} {
		wrong := source
		change(&wrong)
		_, err := wrong.Token(t.Context())
		if e := wantErrorOf(t, err, "azure arc", "", false); !strings.Contains(e.Hint, hint) {
			t.Errorf("%v: hint %q, want %q", err, e.Hint, hint)
		}
	}
}
