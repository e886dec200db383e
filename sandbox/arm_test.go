package sandbox_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/keyless-id/keyless/sandbox"
)

const (
	armScope   = "https://management.azure.com/.default"
	armVersion = "?api-version=2024-11-30"
	armGroup   = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/demo"
	madeID     = armGroup + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/made"
)

func (c *cloud) manager(t *testing.T) func(method, path, body string) answer {
	t.Helper()
	token := c.adminToken(t, armScope)
	return func(method, path, body string) answer {
		t.Helper()
		return c.call(t, token, method, c.arm+path, body)
	}
}

func wantARMError(t *testing.T, a answer, status int, code string) {
	t.Helper()
	e := decode[struct {
		Error struct{ Code, Message string }
	}](t, a).Error
	if a.status != status || e.Code != code || e.Message == "" {
		t.Errorf("got %d %s, want %d %s", a.status, a.body, status, code)
	}
}

func fic(issuer, subject string) string {
	return fmt.Sprintf(`{"properties":{"issuer":%q,"subject":%q,"audiences":[%q]}}`, issuer, subject, sandbox.ExchangeAudience)
}

func TestAnIdentityOfARMProvesItselfToEntra(t *testing.T) {
	c := githubCloud(t, sandbox.Options{})
	ask := c.manager(t)
	made := ask("PUT", madeID+armVersion, `{"location":"westeurope","tags":{"a":"b"}}`)
	identity := decode[struct {
		ID, Name, Location string
		Tags               map[string]string
		Properties         struct{ TenantID, PrincipalID, ClientID string }
	}](t, made)
	if made.status != 201 || identity.ID != madeID || identity.Tags["a"] != "b" || identity.Properties.TenantID != sandbox.DemoTenantID {
		t.Fatalf("%d %s", made.status, made.body)
	}
	if again := ask("PUT", madeID+armVersion, `{"location":"westeurope"}`); again.status != 200 || !strings.Contains(again.body, identity.Properties.ClientID) {
		t.Errorf("again: %d %s", again.status, again.body)
	}
	federated := func() answer {
		return c.post(t, c.tokenURL(), url.Values{
			"grant_type": {"client_credentials"}, "client_id": {identity.Properties.ClientID}, "scope": {"https://monitor.azure.com/.default"},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
			"client_assertion":      {c.mint(t, githubClaims("aud", sandbox.ExchangeAudience), sandbox.Minting{})},
		})
	}
	credential := madeID + "/federatedIdentityCredentials/github" + armVersion
	for _, row := range []struct {
		subject string
		status  int
		want    string
	}{{githubClaims()["sub"].(string), 201, "access_token"}, {"somebody", 200, "AADSTS700213"}} {
		if got := ask("PUT", credential, fic(github, row.subject)); got.status != row.status {
			t.Errorf("%d %s", got.status, got.body)
		}
		if got := federated(); !strings.Contains(got.body, row.want) {
			t.Errorf("got %d %s, want %s", got.status, got.body, row.want)
		}
	}
	principal := c.admin(t).must(t, 200, "GET", "/servicePrincipals/"+identity.Properties.PrincipalID, "")
	if principal["servicePrincipalType"] != "ManagedIdentity" || fmt.Sprint(principal["alternativeNames"]) != "[isExplicit=True "+madeID+"]" {
		t.Errorf("%v", principal)
	}
	for _, path := range []string{credential, madeID + armVersion} {
		if got := []int{ask("DELETE", path, "").status, ask("DELETE", path, "").status}; got[0] != 200 || path == madeID+armVersion && got[1] != 204 {
			t.Errorf("%s: %d", path, got)
		}
	}
	if got := federated(); !strings.Contains(got.body, "AADSTS700016") {
		t.Errorf("after the end: %d %s", got.status, got.body)
	}
	c.admin(t).ask(t, "GET", "/servicePrincipals/"+identity.Properties.PrincipalID, "")
}

func TestAnIdentityThatIsDeletedIsGoneFromItsHost(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	address := c.imds + "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=" + url.QueryEscape(sandbox.DemoAudience) + "&client_id=" + sandbox.DemoAssignedClientID
	if got := c.get(t, address, "Metadata", "true"); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if got := c.manager(t)("DELETE", sandbox.DemoAssignedResourceID+armVersion, ""); got.status != 200 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if got := c.get(t, address, "Metadata", "true"); got.status != 400 || !strings.Contains(got.body, "Identity not found") {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestARMShowsWhoTheHostIs(t *testing.T) {
	everyWay(t, func(t *testing.T, c *cloud) {
		t.Helper()
		ask := c.manager(t)
		host := decode[struct {
			Identity struct {
				Type, PrincipalID string
				UserAssigned      map[string]struct{ ClientID string } `json:"userAssignedIdentities"`
			}
		}](t, ask("GET", sandbox.DemoVMResourceID+"?api-version=2024-07-01", "")).Identity
		if host.PrincipalID != sandbox.DemoVMObjectID || host.UserAssigned[sandbox.DemoAssignedResourceID].ClientID != sandbox.DemoAssignedClientID {
			t.Errorf("%+v", host)
		}
		for _, path := range []string{armGroup, "/subscriptions/00000000-0000-0000-0000-000000000001"} {
			list := ask("GET", path+"/providers/Microsoft.ManagedIdentity/userAssignedIdentities"+armVersion, "")
			if list.status != 200 || strings.Count(list.body, `"clientId"`) != 1 {
				t.Errorf("%s: %d %s", path, list.status, list.body)
			}
		}
		if got := ask("GET", sandbox.DemoAssignedResourceID+"/federatedIdentityCredentials"+armVersion, ""); strings.Count(got.body, sandbox.DemoOutboundIssuer) != 1 {
			t.Errorf("%d %s", got.status, got.body)
		}
		if got := ask("GET", "/subscriptions?api-version=2022-12-01", ""); got.status != 200 || !strings.Contains(got.body, `"Enabled"`) {
			t.Errorf("%d %s", got.status, got.body)
		}
	})
}

func TestARMRefusesInItsOwnWords(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	ask := c.manager(t)
	own := sandbox.DemoAssignedResourceID + "/federatedIdentityCredentials/"
	if got := ask("PUT", own+"one"+armVersion, fic("https://example.com", "s")); got.status != 201 {
		t.Fatal(got.body)
	}
	for name, row := range map[string]struct {
		status             int
		code               string
		method, path, body string
	}{
		"no version":               {400, "MissingApiVersionParameter", "GET", madeID, ""},
		"an unknown version":       {400, "NoRegisteredProviderFound", "GET", madeID + "?api-version=2020-01-01", ""},
		"credentials before 2022":  {400, "NoRegisteredProviderFound", "GET", own + "one?api-version=2018-11-30", ""},
		"no such identity":         {404, "ResourceNotFound", "GET", madeID + armVersion, ""},
		"no such credential":       {404, "ResourceNotFound", "GET", own + "two" + armVersion, ""},
		"no such machine":          {404, "ResourceNotFound", "GET", strings.Replace(sandbox.DemoVMResourceID, "vm-demo", "vm", 1) + armVersion, ""},
		"a credential of nobody's": {404, "ResourceNotFound", "PUT", madeID + "/federatedIdentityCredentials/one" + armVersion, fic("https://example.com", "s")},
		"another subscription":     {404, "SubscriptionNotFound", "GET", strings.Replace(madeID, "000000000001", "000000000002", 1) + armVersion, ""},
		"another group":            {404, "ResourceGroupNotFound", "PUT", strings.Replace(madeID, "/demo/", "/other/", 1) + armVersion, `{"location":"westeurope"}`},
		"no location":              {400, "LocationRequired", "PUT", madeID + armVersion, `{}`},
		"not JSON":                 {400, "InvalidRequestContent", "PUT", madeID + armVersion, `{`},
		"the same subject":         {409, "Conflict", "PUT", own + "two" + armVersion, fic("https://example.com", "s")},
		"no subject":               {400, "BadRequest", "PUT", own + "two" + armVersion, fic("https://example.com", "")},
		"a method":                 {405, "MethodNotAllowed", "PATCH", madeID + armVersion, `{}`},
	} {
		t.Run(name, func(t *testing.T) { wantARMError(t, ask(row.method, row.path, row.body), row.status, row.code) })
	}
	for i := range 18 {
		if got := ask("PUT", fmt.Sprint(own, "more-", i, armVersion), fic("https://example.com", fmt.Sprint(i))); got.status != 201 {
			t.Fatal(got.body)
		}
	}
	wantARMError(t, ask("PUT", own+"more-18"+armVersion, fic("https://example.com", "18")), 400, "BadRequest")
	wantARMError(t, c.call(t, c.secretToken(t, "scope", armScope), "DELETE", c.arm+sandbox.DemoAssignedResourceID+armVersion, ""), 403, "AuthorizationFailed")
	wantARMError(t, c.call(t, c.adminToken(t, graphScope), "DELETE", c.arm+sandbox.DemoAssignedResourceID+armVersion, ""), 401, "InvalidAuthenticationTokenAudience")
	wantARMError(t, c.call(t, "", "DELETE", c.arm+sandbox.DemoAssignedResourceID+armVersion, ""), 401, "InvalidAuthenticationToken")
}
