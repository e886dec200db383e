package sandbox_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

// hostEnv is the environment of a host by name.
func hostEnv(t *testing.T, s *sandbox.Sandbox, kind sandbox.HostKind) map[string]string {
	t.Helper()
	pairs, err := s.HostEnv(kind, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	return env
}

const forTheAPI = "&resource=" + "api%3A%2F%2F" + sandbox.DemoAPIClientID

func TestAppServiceAnswersInBothOfItsVersions(t *testing.T) {
	everyWay(t, func(t *testing.T, c *cloud) {
		t.Helper()
		env, old := hostEnv(t, c.Sandbox, sandbox.HostAppService), hostEnv(t, c.Sandbox, sandbox.HostAppService2017)
		for query, subject := range map[string]string{
			"": sandbox.DemoVMObjectID,
			"&client_id=" + sandbox.DemoAssignedClientID:                    sandbox.DemoAssignedObjectID,
			"&object_id=" + sandbox.DemoAssignedObjectID:                    sandbox.DemoAssignedObjectID,
			"&principal_id=" + sandbox.DemoAssignedObjectID:                 sandbox.DemoAssignedObjectID,
			"&mi_res_id=" + url.QueryEscape(sandbox.DemoAssignedResourceID): sandbox.DemoAssignedObjectID,
		} {
			a := c.get(t, env["IDENTITY_ENDPOINT"]+"?api-version=2019-08-01"+forTheAPI+query, "X-IDENTITY-HEADER", env["IDENTITY_HEADER"])
			values := decode[map[string]string](t, a)
			if a.status != 200 || claimsOf(t, values["access_token"])["sub"] != subject || values["client_id"] == "" || values["expires_in"] != "" {
				t.Errorf("%s: %d %v", query, a.status, values)
			}
		}
		a := c.get(t, old["MSI_ENDPOINT"]+"?api-version=2017-09-01"+forTheAPI+"&clientid="+sandbox.DemoAssignedClientID, "Secret", old["MSI_SECRET"])
		values := decode[map[string]string](t, a)
		if _, err := time.Parse("01/02/2006 15:04:05 -07:00", values["expires_on"]); err != nil || claimsOf(t, values["access_token"])["sub"] != sandbox.DemoAssignedObjectID {
			t.Errorf("%v: %d %v", err, a.status, values)
		}
	})
}

func TestAppServiceRefusesWhatItMust(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	env := hostEnv(t, c.Sandbox, sandbox.HostAppService)
	right := []string{"X-Identity-Header", env["IDENTITY_HEADER"]}
	for name, row := range map[string]struct {
		query  string
		header []string
		status int
		want   string
	}{
		"no header":          {"?api-version=2019-08-01" + forTheAPI, nil, 401, `"statusCode":401`},
		"a wrong header":     {"?api-version=2019-08-01" + forTheAPI, []string{"X-Identity-Header", "no"}, 401, `"statusCode":401`},
		"the header of 2017": {"?api-version=2019-08-01" + forTheAPI, []string{"Secret", env["IDENTITY_HEADER"]}, 401, `"statusCode":401`},
		"2017, no header":    {"?api-version=2017-09-01" + forTheAPI, right, 400, "Invalid secret token header"},
		"no version":         {"?x=y" + forTheAPI, right, 400, "api-version"},
		"another version":    {"?api-version=2018-02-01" + forTheAPI, right, 400, "api-version"},
		"unknown identity":   {"?api-version=2019-08-01&client_id=nobody" + forTheAPI, right, 400, "No Managed Identity found"},
		"unknown resource":   {"?api-version=2019-08-01&resource=api://no", right, 400, "AADSTS500011"},
		"no resource":        {"?api-version=2019-08-01", right, 400, "'resource' is missing"},
	} {
		if a := c.get(t, env["IDENTITY_ENDPOINT"]+row.query, row.header...); a.status != row.status || !strings.Contains(a.body, row.want) {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if a := c.post(t, env["IDENTITY_ENDPOINT"], nil); a.status != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", a.status)
	}
	if a := c.get(t, strings.TrimSuffix(env["IDENTITY_ENDPOINT"], "/msi/token")+"/elsewhere"); a.status != http.StatusNotFound {
		t.Errorf("elsewhere: %d", a.status)
	}
	c.SetFault(sandbox.AppService, sandbox.Fault{Status: 429, RetryAfter: time.Second})
	if a := c.get(t, env["IDENTITY_ENDPOINT"]); a.status != 429 || a.header.Get("Retry-After") != "1" {
		t.Errorf("%d %v", a.status, a.header)
	}
}

func TestCloudShellWantsAFormAndTheHeader(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	address := hostEnv(t, c.Sandbox, sandbox.HostCloudShell)["MSI_ENDPOINT"]
	ask := func(resource, metadata string) answer {
		r, err := http.NewRequest(http.MethodPost, address, strings.NewReader("resource="+url.QueryEscape(resource)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Metadata", metadata)
		return c.do(t, r)
	}
	a := ask(sandbox.DemoAudience, "true")
	if a.status != 200 || claimsOf(t, decode[map[string]string](t, a)["access_token"])["sub"] != sandbox.DemoVMObjectID {
		t.Errorf("%d %s", a.status, a.body)
	}
	for name, a := range map[string]answer{"no header": ask(sandbox.DemoAudience, ""), "unknown resource": ask("api://no", "true"), "GET": c.get(t, address)} {
		if a.status < 400 || a.status > 499 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}

func TestServiceFabricSpeaksTLSOnly(t *testing.T) {
	c := overSockets(t, newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	env := hostEnv(t, c.Sandbox, sandbox.HostServiceFabric)
	plain := strings.Replace(env["IDENTITY_ENDPOINT"], c.TLSURL(sandbox.AppService), c.URL(sandbox.AppService), 1)
	query := "?api-version=2019-07-01-preview" + forTheAPI
	if a := c.get(t, plain+query, "Secret", env["IDENTITY_HEADER"]); a.status != 400 || len(env["IDENTITY_SERVER_THUMBPRINT"]) != 40 {
		t.Errorf("%d %s, %v", a.status, a.body, env)
	}
	c.client = trustingClient(t, c.Sandbox, nil)
	if a := c.get(t, env["IDENTITY_ENDPOINT"]+query, "Secret", env["IDENTITY_HEADER"]); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	for name, a := range map[string]answer{
		"SecretHeaderNotFound":    c.get(t, env["IDENTITY_ENDPOINT"]+query),
		"InvalidApiVersion":       c.get(t, env["IDENTITY_ENDPOINT"]+"?api-version=1"+forTheAPI, "Secret", env["IDENTITY_HEADER"]),
		"ManagedIdentityNotFound": c.get(t, env["IDENTITY_ENDPOINT"]+"?api-version=2019-07-01-preview&resource=api://no", "Secret", env["IDENTITY_HEADER"]),
	} {
		if a.status != 400 || !strings.Contains(a.body, name) {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}

func TestArcLetsInWhoReadsItsFile(t *testing.T) {
	dir := t.TempDir()
	s := newSandbox(t, sandbox.Demo(), sandbox.Options{ArcTokenDir: dir})
	c := inProcess(s)
	address := hostEnv(t, s, sandbox.HostArc)["IDENTITY_ENDPOINT"] + "?api-version=2020-06-01" + forTheAPI
	challenge := func() string {
		a := c.get(t, address, "Metadata", "true")
		path, found := strings.CutPrefix(a.header.Get("Www-Authenticate"), "Basic realm=")
		if a.status != 401 || !found || filepath.Dir(path) != dir || filepath.Ext(path) != ".key" {
			t.Fatalf("%d %v", a.status, a.header)
		}
		key, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return "Basic " + string(key)
	}
	key := challenge()
	a := c.get(t, address+"&client_id="+sandbox.DemoAssignedClientID, "Metadata", "true", "Authorization", key)
	values := decode[map[string]string](t, a)
	if a.status != 200 || claimsOf(t, values["access_token"])["sub"] != sandbox.DemoAssignedObjectID || values["client_id"] != sandbox.DemoAssignedClientID {
		t.Errorf("%d %v", a.status, values)
	}
	for name, row := range map[string]struct {
		query, key string
		status     int
	}{
		"a key that was used": {"", key, 401},
		"a key of nobody":     {"", "Basic no", 401},
		"an unknown identity": {"&client_id=nobody", challenge(), 404},
		"a bad resource":      {"&resource=", challenge(), 200}, // the first one counts
	} {
		if a := c.get(t, address+row.query, "Metadata", "true", "Authorization", row.key); a.status != row.status {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if a := c.get(t, address); a.status != 400 {
		t.Errorf("without the header: %d", a.status)
	}
}

func TestArcLeavesNoFilesBehind(t *testing.T) {
	dir := t.TempDir()
	s := newSandbox(t, sandbox.Demo(), sandbox.Options{ArcTokenDir: dir})
	c := inProcess(s)
	files := func() int {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	address := hostEnv(t, s, sandbox.HostArc)["IDENTITY_ENDPOINT"] + "?api-version=2020-06-01" + forTheAPI
	for range 1100 {
		c.get(t, address, "Metadata", "true")
	}
	if got := files(); got == 0 || got > 1024 {
		t.Errorf("%d files wait", got)
	}
	if err := s.Close(); err != nil || files() != 0 {
		t.Errorf("%v, %d files", err, files())
	}
	s = newSandbox(t, sandbox.Demo(), sandbox.Options{})
	if _, err := s.HostEnv(sandbox.HostArc, ""); err == nil {
		t.Error("an agent without a folder")
	}
	if a := inProcess(s).get(t, address, "Metadata", "true"); a.status != 404 {
		t.Errorf("%d", a.status)
	}
	gone := newSandbox(t, sandbox.Demo(), sandbox.Options{ArcTokenDir: filepath.Join(dir, "gone")})
	if a := inProcess(gone).get(t, address, "Metadata", "true"); a.status != 500 {
		t.Errorf("%d", a.status)
	}
}

func projectedForm(t *testing.T, file string) url.Values {
	t.Helper()
	token, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return assertionForm(string(token))
}

func TestAServiceAccountsTokenMeetsItsFederatedCredential(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	env := hostEnv(t, c.Sandbox, sandbox.HostAKS)
	if env["AZURE_TENANT_ID"] != sandbox.DemoTenantID || env["AZURE_CLIENT_ID"] != sandbox.DemoAppClientID || env["AZURE_AUTHORITY_HOST"] != "https://login.microsoftonline.com/" {
		t.Errorf("%v", env)
	}
	file := env["AZURE_FEDERATED_TOKEN_FILE"]
	if a := c.post(t, c.tokenURL(), projectedForm(t, file)); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	right := sandbox.FIC{Issuer: sandbox.DemoClusterIssuer, Subject: sandbox.DemoServiceAccount, Audience: sandbox.ExchangeAudience}
	for code, change := range map[string]func(f *sandbox.FIC) time.Duration{
		"AADSTS700211": func(f *sandbox.FIC) time.Duration { f.Issuer = "https://other.example/"; return time.Hour },
		"AADSTS700212": func(f *sandbox.FIC) time.Duration { f.Audience = "sts.amazonaws.com"; return time.Hour },
		"AADSTS700213": func(f *sandbox.FIC) time.Duration { f.Subject += "x"; return time.Hour },
		"AADSTS700024": func(*sandbox.FIC) time.Duration { return -time.Hour },
	} {
		wrong := right
		life := change(&wrong)
		if err := c.ProjectToken(file, wrong, life); err != nil {
			t.Fatal(err)
		}
		if a := c.post(t, c.tokenURL(), projectedForm(t, file)); a.status < 400 || !strings.Contains(a.body, code) {
			t.Errorf("%s: %d %s", code, a.status, a.body)
		}
	}
	if err := c.ProjectToken(filepath.Join(file, "x"), right, time.Hour); err == nil {
		t.Error("written into a file")
	}
}

func TestAHostThatCannotBeIsSaid(t *testing.T) {
	w := sandbox.Demo()
	w.Issuers, w.Organizations = nil, nil
	s := newSandbox(t, w, sandbox.Options{})
	for _, kind := range []sandbox.HostKind{"mainframe", sandbox.HostArc, sandbox.HostServiceFabric, sandbox.HostAKS, sandbox.HostPipelines, sandbox.HostEC2, sandbox.HostContainer} {
		if env, err := s.HostEnv(kind, t.TempDir()); err == nil {
			t.Errorf("%s: %v", kind, env)
		}
	}
	if env, err := s.HostEnv(sandbox.HostVM, ""); err != nil || env != nil {
		t.Errorf("a machine that is not listened for: %v, %v", env, err)
	}
}
