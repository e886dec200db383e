package awshost_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awshost"
)

// far answers in the process and remembers what it was asked.
type far struct {
	handler http.Handler
	seen    []*http.Request
}

func (f *far) RoundTrip(r *http.Request) (*http.Response, error) {
	f.seen = append(f.seen, r)
	recorder := httptest.NewRecorder()
	f.handler.ServeHTTP(recorder, r)
	response := recorder.Result()
	response.Request = r
	return response, nil
}

func (f *far) client() *http.Client { return &http.Client{Transport: f} }

func says(status int, body string) *far {
	return &far{handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// variables is an environment.
type variables map[string]string

func (v variables) get(name string) string { return v[name] }

// wantError demands an error of the source, without secrets.
func wantError(t *testing.T, err error, text string) keyless.Error {
	t.Helper()
	var e *keyless.Error
	if !errors.As(err, &e) || e.Hop != keyless.HopSource || e.Op == "" {
		t.Errorf("%s: error %v (%T), want a *keyless.Error of the source", text, err, err)
		return keyless.Error{}
	}
	if whole := err.Error() + " " + e.Hint; !strings.Contains(whole, text) || strings.Contains(whole, "canary") || strings.Contains(whole, "hunter2") {
		t.Errorf("error %q, want %q and no secret", whole, text)
	}
	return *e
}

func TestTheEnvironmentHoldsCredentials(t *testing.T) {
	env := variables{"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "hunter2", "AWS_SESSION_TOKEN": "canary"}
	got, err := awshost.Environment{Getenv: env.get}.Credentials(t.Context())
	if left := time.Until(got.Expiry); err != nil || got.AccessKeyID != "AKIA" || got.SecretAccessKey.Reveal() != "hunter2" || got.SessionToken.Reveal() != "canary" || left < 59*time.Minute || left > time.Hour {
		t.Errorf("%+v, %v", got, err)
	}
	env["AWS_CREDENTIAL_EXPIRATION"] = "2100-01-01T00:00:00Z"
	if got, err := (awshost.Environment{Getenv: env.get}).Credentials(t.Context()); err != nil || got.Expiry.Year() != 2100 {
		t.Errorf("%+v, %v", got, err)
	}
	for want, change := range map[string][2]string{
		"AWS_SECRET_ACCESS_KEY": {"AWS_SECRET_ACCESS_KEY", ""}, "AWS_ACCESS_KEY_ID": {"AWS_ACCESS_KEY_ID", "A B"}, "AWS_CREDENTIAL_EXPIRATION": {"AWS_CREDENTIAL_EXPIRATION", "tomorrow"},
	} {
		broken := variables{}
		for name, value := range env {
			broken[name] = value
		}
		broken[change[0]] = change[1]
		_, err := awshost.Environment{Getenv: broken.get}.Credentials(t.Context())
		wantError(t, err, want)
	}
	_, err = awshost.Environment{}.Credentials(t.Context())
	wantError(t, err, "no environment")
}

func TestPlainHTTPGoesToTheHostAndItsLinkOnly(t *testing.T) {
	for uri, allowed := range map[string]bool{
		"http://127.0.0.1:8080/x?id=1": true, "http://127.9.9.9/x": true, "http://[::1]/x": true, "http://localhost/x": true, "http://169.254.170.2/x": true,
		"http://169.254.170.23/v1/credentials": true, "http://[fd00:ec2::23]/v1/credentials": true, "https://credentials.example/x": true,
		"http://169.254.169.254/x": false, "http://10.0.0.1/x": false, "http://host.docker.internal/x": false, "http://localhost.example/x": false,
		"http://127.0.0.1.example/x": false, "http://hunter2@127.0.0.1/x": false, "http://[fd00:ec2::24]/x": false, "ftp://127.0.0.1/x": false, "": false, "/x": false,
	} {
		f := says(200, credentialsJSON())
		_, err := awshost.Container{FullURI: uri, Client: f.client()}.Credentials(t.Context())
		if allowed != (err == nil) || allowed != (len(f.seen) == 1) {
			t.Errorf("%s: %d requests, %v", uri, len(f.seen), err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a secret is in %v", err)
		}
	}
	for uri, allowed := range map[string]bool{"/v2/x": true, "/v2/x?id=1": true, "v2/x": false, "@evil.example/x": false, ".evil.example/": false} {
		f := says(200, credentialsJSON())
		_, err := awshost.Container{RelativeURI: uri, FullURI: "http://127.0.0.1/other", Client: f.client()}.Credentials(t.Context())
		if allowed != (err == nil) || allowed && f.seen[0].URL.String() != "http://169.254.170.2"+uri {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

func TestTheTokenFileIsReadForEachRequestAndComesFirst(t *testing.T) {
	f := says(200, credentialsJSON())
	path := write(t, "token", "first\n")
	c := awshost.Container{RelativeURI: "/x", TokenFile: path, Token: keyless.NewSecret("other"), Client: f.client()}
	for _, want := range []string{"first", "second"} {
		if err := os.WriteFile(path, []byte(want+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Credentials(t.Context()); err != nil || f.seen[len(f.seen)-1].Header.Get("Authorization") != want {
			t.Errorf("%s: %v", want, err)
		}
	}
	for want, text := range map[string]string{"empty": "", "header": "hunter2\r\nX-Other: y", "larger": strings.Repeat("x", 64<<10+1)} {
		c.TokenFile = write(t, "token", text)
		_, err := c.Credentials(t.Context())
		wantError(t, err, want)
	}
	c.TokenFile = filepath.Join(t.TempDir(), "none")
	_, err := c.Credentials(t.Context())
	wantError(t, err, "no such file")
}

func TestRefusalsOfTheEndpointsComeWithAHint(t *testing.T) {
	for name, c := range map[string]struct {
		status     int
		body       string
		code, hint string
	}{
		"no role":         {404, `{"Code":"NoIdInRequest","Message":"none"}`, "NoIdInRequest", "knows no role"},
		"wrong token":     {401, `{"code":"AccessDenied","message":"canary-token no"}`, "AccessDenied", "authorization token"},
		"a page":          {418, "<html>", "HTTP 418", "right one"},
		"not assumable":   {200, `{"Code":"AssumeRoleUnauthorizedAccess","Message":"no"}`, "AssumeRoleUnauthorizedAccess", "cannot assume"},
		"no keys":         {200, `{}`, "", "address answers"},
		"no end":          {200, `{"AccessKeyId":"A","SecretAccessKey":"canary","Token":"canary"}`, "", "address answers"},
		"no token":        {200, `{"AccessKeyId":"A","SecretAccessKey":"canary","Expiration":"2100-01-01T00:00:00Z"}`, "", "address answers"},
		"a strange end":   {200, `{"AccessKeyId":"A","SecretAccessKey":"canary","Token":"canary","Expiration":"soon"}`, "", "address answers"},
		"an error's keys": {404, `{"Code":"x","AccessKeyId":"A","SecretAccessKey":"canary"}`, "HTTP 404", "knows no role"},
	} {
		t.Run(name, func(t *testing.T) {
			f := says(c.status, c.body)
			_, err := awshost.Container{RelativeURI: "/x", Token: keyless.NewSecret("canary-token"), Client: f.client()}.Credentials(t.Context())
			if e := wantError(t, err, c.hint); e.Code != c.code || e.Temporary || len(f.seen) != 1 {
				t.Errorf("code %q, temporary %v, %d requests", e.Code, e.Temporary, len(f.seen))
			}
		})
	}
}

// TestVersionOneIsNeverAsked: a service that refuses sessions gets no other request.
func TestVersionOneIsNeverAsked(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 405} {
		f := says(status, "")
		if _, err := (awshost.InstanceMetadata{Client: f.client()}).Credentials(t.Context()); err == nil || len(f.seen) != 1 || f.seen[0].Method != http.MethodPut {
			t.Errorf("%d: %d requests, %v", status, len(f.seen), err)
		}
	}
	for _, body := range []string{"<html>token</html>", "", "two words", strings.Repeat("x", 1025)} {
		f := says(200, body)
		if _, err := (awshost.InstanceMetadata{Client: f.client()}).Credentials(t.Context()); err == nil || len(f.seen) != 1 {
			t.Errorf("%q: %d requests, %v", body, len(f.seen), err)
		}
	}
}

func TestAnInstanceWithoutARoleIsNotFound(t *testing.T) {
	t.Setenv("PATH", "")
	f := &far{handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			_, _ = io.WriteString(w, "session")
			return
		}
		http.NotFound(w, r)
	})}
	_, err := awshost.InstanceMetadata{Client: f.client()}.Credentials(t.Context())
	wantError(t, err, "attach an instance profile")
	_, err = awshost.Detect(t.Context(), awshost.Host{Getenv: variables{}.get, Client: f.client()})
	wantError(t, err, "no AWS credentials")
}

func TestMistakesInTheMetadataAreSaidBeforeTheFirstRequest(t *testing.T) {
	for want, m := range map[string]awshost.InstanceMetadata{
		"role": {Role: "../x"}, "plain http": {Endpoint: "http://metadata.example"}, "endpoint": {Endpoint: "x"},
	} {
		f := says(200, "x")
		m.Client = f.client()
		_, err := m.Credentials(t.Context())
		if wantError(t, err, want); len(f.seen) != 0 {
			t.Errorf("%s: %d requests", want, len(f.seen))
		}
	}
}

func TestTheCLIIsAskedForAProcessDocument(t *testing.T) {
	script := write(t, "aws", `#!/bin/sh
[ "$*" = "configure export-credentials --format process --profile dev" ] || { echo "arguments: $*" >&2; exit 2; }
[ "$KEYLESS_INSIDE_AWS_CLI" = 1 ] || exit 3
echo '{"Version":1,"AccessKeyId":"AKIA","SecretAccessKey":"canary","SessionToken":"canary","Expiration":"2100-01-01T00:00:00Z"}'
`)
	got, err := awshost.CLI{Path: script, Profile: "dev"}.Credentials(t.Context())
	if err != nil || got.AccessKeyID != "AKIA" || got.SecretAccessKey.Reveal() != "canary" || got.Expiry.Year() != 2100 {
		t.Errorf("%+v, %v", got, err)
	}
	for want, program := range map[string]string{
		"Unable to locate credentials": "echo 'Unable to locate credentials' >&2; exit 255",
		"not JSON":                     "echo canary",
		"version 0":                    `echo '{"AccessKeyId":"A","SecretAccessKey":"canary"}'`,
		"AccessKeyId":                  `echo '{"Version":1,"SecretAccessKey":"canary"}'`,
	} {
		_, err := awshost.CLI{Path: write(t, "aws", "#!/bin/sh\n"+program+"\n")}.Credentials(t.Context())
		wantError(t, err, want)
	}
	_, err = awshost.CLI{Path: "keyless-no-such-program"}.Credentials(t.Context())
	wantError(t, err, "install version 2")
}

func TestLongLivedKeysOfTheCLIAreReadAgainAfterAnHour(t *testing.T) {
	got, err := awshost.CLI{Path: write(t, "aws", "#!/bin/sh\necho '{\"Version\":1,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\"}'\n"), Env: []string{}}.Credentials(t.Context())
	if left := time.Until(got.Expiry); err != nil || left < 59*time.Minute || left > time.Hour {
		t.Errorf("%s left, %v", left, err)
	}
}
