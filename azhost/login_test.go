package azhost_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyless-id/keyless/azhost"
)

// plays puts a program into the folder that notes its arguments and runs the script.
func plays(t *testing.T, dir, name, script string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	text := "#!/bin/sh\nprintf '%s ' \"$@\" >" + path + ".args\n" + script + "\n"
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func arguments(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path + ".args")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheAzureCLIIsAskedForAToken(t *testing.T) {
	local := time.Now().Add(time.Hour).Truncate(time.Microsecond)
	for name, answer := range map[string]string{
		"new": fmt.Sprintf(`{"accessToken":"a.b.c","expiresOn":"1999-01-01 00:00:00.000000","expires_on":%d,"tokenType":"Bearer"}`, local.Unix()),
		"old": fmt.Sprintf(`{"accessToken":"a.b.c","expiresOn":%q,"tokenType":"Bearer"}`, local.Format("2006-01-02 15:04:05.000000")),
	} {
		cli := azhost.AzureCLI{Resource: resource, TenantID: tenantID, Path: plays(t, t.TempDir(), "az", "echo '"+answer+"'")}
		token, err := cli.Token(t.Context())
		if err != nil || token.Value.Reveal() != "a.b.c" || token.Expiry.Sub(local).Abs() > time.Second || token.Obtained.IsZero() {
			t.Errorf("%s: %v, %+v", name, err, token)
		}
		if got := arguments(t, cli.Path); got != "account get-access-token --output json --resource "+resource+" --tenant "+tenantID+" " {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestTheAzureDeveloperCLIIsAskedForAToken(t *testing.T) {
	cli := azhost.AzureDeveloperCLI{Resource: resource, Path: plays(t, t.TempDir(), "azd", `echo '{"token":"a.b.c","expiresOn":"2100-01-01T00:00:00Z"}'`)}
	token, err := cli.Token(t.Context())
	if err != nil || token.Value.Reveal() != "a.b.c" || token.Expiry.Year() != 2100 {
		t.Errorf("%v, %+v", err, token)
	}
	if got := arguments(t, cli.Path); got != "auth token --output json --no-prompt --scope "+resource+"/.default " {
		t.Error(got)
	}
}

func TestWhyNobodyIsSignedIn(t *testing.T) {
	for script, want := range map[string]struct{ code, hint string }{
		`echo "ERROR: Please run 'az login' to setup account." >&2; exit 1`:                         {"NotSignedIn", "az login"},
		`echo "ERROR: AADSTS65001: The user has not consented to use the application." >&2; exit 1`: {"AADSTS65001", "pre-authorize"},
		`echo "ERROR: AADSTS700082: The refresh token has expired due to inactivity." >&2; exit 1`:  {"AADSTS700082", "sign in again: az login"},
		`echo "ModuleNotFoundError: No module named 'azure'" >&2; exit 1`:                           {"", "by hand"},
		`echo "<html>"`: {"", ""},
		`echo '{"accessToken":"","expires_on":4102444800}'`:                        {"", ""},
		`echo '{"accessToken":"hunter2\n","expires_on":4102444800}'`:               {"", ""},
		`echo '{"accessToken":"hunter2","expiresOn":"soon"}'`:                      {"", ""},
		`echo '{"accessToken":"hunter2","expires_on":"soon","expiresOn":"later"}'`: {"", ""},
	} {
		path := plays(t, t.TempDir(), "az", script)
		_, err := azhost.AzureCLI{Resource: resource, Path: path}.Token(t.Context())
		e := wantErrorOf(t, err, "az account get-access-token", "", false)
		if e.Code != want.code || !strings.Contains(e.Hint, want.hint) {
			t.Errorf("%s: code %q, hint %q", script, e.Code, e.Hint)
		}
		if strings.Contains(fmt.Sprintf("%+v %s", err, e.Hint), "hunter2") {
			t.Errorf("%s: the token is in %v", script, err)
		}
	}
	_, err := azhost.AzureDeveloperCLI{Resource: resource, Path: filepath.Join(t.TempDir(), "azd")}.Token(t.Context())
	wantErrorOf(t, err, "azd auth token", "no such file", false)
}

func TestOneWhoGivesUpIsNotToldToSignIn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := azhost.AzureCLI{Resource: resource, Path: plays(t, t.TempDir(), "az", "sleep 60")}.Token(ctx)
	wantErrorOf(t, err, "az account get-access-token", "", true)
}

// Wrappers of the programs are shell scripts and batch files.
func TestArgumentsThatAScriptCouldMistakeAreRefused(t *testing.T) {
	for _, bad := range []string{"-x", "a&b", "a;b", "$(a)", `a"b`, "%PATH%"} {
		for _, source := range []interface{ Validate() error }{
			azhost.AzureCLI{Resource: resource, TenantID: bad},
			azhost.AzureCLI{Resource: resource, Subscription: bad},
			azhost.AzureDeveloperCLI{Resource: resource, TenantID: bad},
		} {
			if source.Validate() == nil {
				t.Errorf("%+v is taken", source)
			}
		}
		if (azhost.AzureCLI{Resource: "api://" + bad}).Validate() == nil && bad != "-x" {
			t.Errorf("%q is taken", bad)
		}
	}
	if err := (azhost.AzureCLI{Resource: resource, Subscription: "My Subscription 1"}).Validate(); err != nil {
		t.Error(err)
	}
	if (azhost.AzureCLI{Resource: resource, TenantID: tenantID, Subscription: "s"}).Validate() == nil {
		t.Error("tenant and subscription are taken together")
	}
}

// Each line is a developer's machine; nothing of Azure is on it.
func TestDetectionEndsWithWhoeverIsSignedIn(t *testing.T) {
	const (
		stranger = `echo "Please run 'az login' to setup account." >&2; exit 1`
		az       = `echo '{"accessToken":"from.the.az","expires_on":4102444800}'`
		azd      = `echo '{"token":"from.the.azd","expiresOn":"2100-01-01T00:00:00Z"}'`
	)
	for name, c := range map[string]struct {
		az, azd string
		narrow  string
		kind    azhost.Kind
		token   string
	}{
		"az":                       {az: az, kind: azhost.KindAzureCLI, token: "from.the.az"},
		"both":                     {az: az, azd: azd, kind: azhost.KindAzureCLI, token: "from.the.az"},
		"azd":                      {azd: azd, kind: azhost.KindAzureDeveloperCLI, token: "from.the.azd"},
		"signed in with azd":       {az: stranger, azd: azd, kind: azhost.KindAzureCLI, token: "from.the.azd"},
		"not signed in with azd":   {az: stranger, azd: "exit 1", kind: azhost.KindAzureCLI},
		"signed in with neither":   {az: stranger, kind: azhost.KindAzureCLI},
		"only azd is wanted":       {az: az, azd: azd, narrow: "AzureDeveloperCLICredential", kind: azhost.KindAzureDeveloperCLI, token: "from.the.azd"},
		"only az is wanted":        {az: stranger, azd: azd, narrow: "AzureCliCredential", kind: azhost.KindAzureCLI},
		"developers are wanted":    {az: az, narrow: "dev", kind: azhost.KindAzureCLI, token: "from.the.az"},
		"nobody is to be asked":    {az: az, narrow: "prod"},
		"no credential of ours is": {az: az, narrow: "VisualStudioCodeCredential"},
		"nothing":                  {},
	} {
		dir := t.TempDir()
		t.Setenv("PATH", dir)
		for program, script := range map[string]string{"az": c.az, "azd": c.azd} {
			if script != "" {
				plays(t, dir, program, script)
			}
		}
		found, err := detector(map[string]string{"AZURE_TOKEN_CREDENTIALS": c.narrow, "AZURE_TENANT_ID": tenantID}, fails(context.DeadlineExceeded)).Detect(t.Context())
		if found.Kind != c.kind || (err == nil) != (c.kind != "") {
			t.Errorf("%s: %v, %+v", name, err, found)
		}
		if err == nil {
			wantLogin(t, name, found, c.token)
		}
	}
}

func wantLogin(t *testing.T, name string, found azhost.Detected, want string) {
	t.Helper()
	source, err := found.Source(resource, azhost.Identity{})
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	token, err := source.Token(t.Context())
	if token.Value.Reveal() != want || (err == nil) != (want != "") {
		t.Errorf("%s: %v, %q", name, err, token.Value.Reveal())
	}
	if _, err := found.Source(resource, azhost.Identity{ClientID: clientID}); err == nil {
		t.Errorf("%s: another identity than the person's", name)
	}
}
