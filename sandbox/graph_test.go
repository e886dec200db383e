package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
	"github.com/keyless-id/keyless/trust"
)

const graphScope = "https://graph.microsoft.com/.default"

// adminToken is the administrator's, for one of Microsoft's APIs.
func (c *cloud) adminToken(t *testing.T, scope string) string {
	t.Helper()
	return c.secretToken(t, "client_id", sandbox.DemoAdminClientID, "client_secret", sandbox.DemoAdminAppSecret, "scope", scope)
}

// call sends JSON with a token.
func (c *cloud) call(t *testing.T, token, method, address, body string) answer {
	t.Helper()
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	return c.do(t, r)
}

// admin is a client of Microsoft Graph with a token.
type admin struct {
	*cloud
	token string
}

func (c *cloud) admin(t *testing.T) admin { return admin{c, c.adminToken(t, graphScope)} }

func (a admin) ask(t *testing.T, method, path, body string) answer {
	t.Helper()
	return a.call(t, a.token, method, a.graph+"/v1.0"+path, body)
}

// must is ask for what succeeds.
func (a admin) must(t *testing.T, status int, method, path, body string) map[string]any {
	t.Helper()
	got := a.ask(t, method, path, body)
	if got.status != status {
		t.Fatalf("%s %s: got %d %s, want %d", method, path, got.status, got.body, status)
	}
	if got.body == "" {
		return nil
	}
	return decode[map[string]any](t, got)
}

func wantGraphError(t *testing.T, a answer, status int, code string) {
	t.Helper()
	e := decode[struct {
		Error struct {
			Code, Message string
			InnerError    map[string]string
		}
	}](t, a).Error
	if a.status != status || e.Code != code || e.Message == "" || e.InnerError["request-id"] == "" {
		t.Errorf("got %d %s, want %d %s", a.status, a.body, status, code)
	}
}

const roleID = "5ef0d48b-9a01-4a8c-9f4c-0000000000a1"

func appBody(name string) string {
	return fmt.Sprintf(`{"displayName":%q,"signInAudience":"AzureADMyOrg","api":{"requestedAccessTokenVersion":1},"tags":["keyless"],"appRoles":[{"id":%q,
		"allowedMemberTypes":["Application"],"displayName":"AssumeRole","description":"May assume a role","value":"AssumeRole","isEnabled":true}]}`, name, roleID)
}

// registered is an application that stands for AWS.
type registered struct{ id, appID, uri, principal string }

func (a admin) register(t *testing.T, name string) registered {
	t.Helper()
	made := a.must(t, 201, "POST", "/applications", appBody(name))
	r := registered{id: made["id"].(string), appID: made["appId"].(string)}
	r.uri = "api://" + r.appID
	a.must(t, 204, "PATCH", "/applications/"+r.id, `{"identifierUris":["`+r.uri+`"]}`)
	r.principal = a.must(t, 201, "POST", "/servicePrincipals", `{"appId":"`+r.appID+`"}`)["id"].(string)
	return r
}

// tokenFor asks for a token as the demo's application.
func (c *cloud) tokenFor(t *testing.T, audience string) answer {
	t.Helper()
	return c.post(t, c.tokenURL(), secretForm("scope", audience+"/.default"))
}

func TestWhatGraphRegistersIsInForceInEntra(t *testing.T) {
	everyWay(t, func(t *testing.T, c *cloud) {
		t.Helper()
		a := c.admin(t)
		app := a.register(t, "aws")
		got := c.tokenFor(t, app.uri)
		claims := claimsOf(t, decode[accessToken](t, got).AccessToken)
		if claims["aud"] != app.uri || claims["iss"] != sandbox.DemoIssuer || claims["roles"] != nil {
			t.Errorf("before the assignment: %v", claims)
		}

		a.must(t, 204, "PATCH", "/servicePrincipals/"+app.principal, `{"appRoleAssignmentRequired":true}`)
		if got := c.tokenFor(t, app.uri); got.status != 400 || !strings.Contains(got.body, "AADSTS501051") {
			t.Errorf("without an assignment: %d %s", got.status, got.body)
		}
		given := a.must(t, 201, "POST", "/servicePrincipals/"+sandbox.DemoAppObjectID+"/appRoleAssignments",
			fmt.Sprintf(`{"principalId":%q,"resourceId":%q,"appRoleId":%q}`, sandbox.DemoAppObjectID, app.principal, roleID))
		claims = claimsOf(t, decode[accessToken](t, c.tokenFor(t, app.uri)).AccessToken)
		if fmt.Sprint(claims["roles"]) != "[AssumeRole]" {
			t.Errorf("with the assignment: %v", claims)
		}

		a.must(t, 204, "PATCH", "/applications(appId='"+app.appID+"')", `{"api":{"requestedAccessTokenVersion":2}}`)
		claims = claimsOf(t, decode[accessToken](t, c.tokenFor(t, app.uri)).AccessToken)
		if claims["aud"] != app.appID || claims["iss"] != sandbox.DemoV2Issuer || claims["azp"] != sandbox.DemoAppClientID {
			t.Errorf("version 2: %v", claims)
		}

		for _, row := range []struct{ principal, want string }{{app.principal, "AADSTS500014"}, {sandbox.DemoAppObjectID, "AADSTS7000112"}} {
			a.must(t, 204, "PATCH", "/servicePrincipals/"+row.principal, `{"accountEnabled":false}`)
			if got := c.tokenFor(t, app.uri); !strings.Contains(got.body, row.want) {
				t.Errorf("disabled: got %d %s, want %s", got.status, got.body, row.want)
			}
			a.must(t, 204, "PATCH", "/servicePrincipals/"+row.principal, `{"accountEnabled":true}`)
		}

		a.must(t, 204, "DELETE", "/servicePrincipals/"+app.principal+"/appRoleAssignedTo/"+given["id"].(string), "")
		if got := c.tokenFor(t, app.uri); !strings.Contains(got.body, "AADSTS501051") {
			t.Errorf("after the assignment: %d %s", got.status, got.body)
		}
		a.must(t, 204, "DELETE", "/applications/"+app.id, "")
		if got := c.tokenFor(t, app.uri); !strings.Contains(got.body, "AADSTS500011") {
			t.Errorf("after the application: %d %s", got.status, got.body)
		}
		wantGraphError(t, a.ask(t, "GET", "/servicePrincipals/"+app.principal, ""), 404, "Request_ResourceNotFound")
	})
}

func TestAFederatedCredentialOfGraphAcceptsAssertions(t *testing.T) {
	c := githubCloud(t, sandbox.Options{})
	a := c.admin(t)
	app := a.register(t, "ci")
	federated := func() answer {
		assertion := c.mint(t, githubClaims("aud", sandbox.ExchangeAudience), sandbox.Minting{})
		return c.post(t, c.tokenURL(), url.Values{
			"grant_type": {"client_credentials"}, "client_id": {app.appID}, "scope": {app.uri + "/.default"},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertion},
		})
	}
	if got := federated(); !strings.Contains(got.body, "AADSTS70025") {
		t.Errorf("before: %d %s", got.status, got.body)
	}
	subject := githubClaims()["sub"].(string)
	path := "/applications/" + app.id + "/federatedIdentityCredentials"
	made := a.must(t, 201, "POST", path, fmt.Sprintf(`{"name":"github","issuer":%q,"subject":%q,"audiences":[%q]}`, github, subject, sandbox.ExchangeAudience))
	if got := federated(); got.status != 200 {
		t.Errorf("with the credential: %d %s", got.status, got.body)
	}
	a.must(t, 204, "PATCH", path+"/"+made["id"].(string), `{"subject":"somebody"}`)
	if got := federated(); !strings.Contains(got.body, "AADSTS700213") {
		t.Errorf("for somebody else: %d %s", got.status, got.body)
	}
	if got := a.must(t, 200, "GET", path+"/github", ""); got["subject"] != "somebody" {
		t.Errorf("%v", got)
	}
	a.must(t, 204, "DELETE", path+"/github", "")
	if list := a.must(t, 200, "GET", path, "")["value"].([]any); len(list) != 0 {
		t.Errorf("%v", list)
	}
}

func TestOnlyTheAdministratorOfTheTenantIsObeyed(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	good := c.adminToken(t, graphScope)
	address := c.graph + "/v1.0/applications"
	forged, err := c.Claims(sandbox.DemoAdminObjectID, "https://graph.microsoft.com")
	if err != nil {
		t.Fatal(err)
	}
	late := time.Now().Add(-time.Hour).Unix()
	expired := map[string]any{}
	for name, value := range forged {
		expired[name] = value
	}
	expired["exp"], expired["nbf"] = late, late-100
	for name, row := range map[string]struct {
		token  string
		status int
		code   string
	}{
		"not an administrator": {c.secretToken(t, "scope", graphScope), 403, "Authorization_RequestDenied"},
		"another audience":     {c.adminToken(t, "https://management.azure.com/.default"), 401, "InvalidAuthenticationToken"},
		"bad signature":        {c.mint(t, forged, sandbox.Minting{Flaw: sandbox.BadSignature}), 401, "InvalidAuthenticationToken"},
		"foreign key":          {c.mint(t, forged, sandbox.Minting{Flaw: sandbox.ForeignKey}), 401, "InvalidAuthenticationToken"},
		"unsigned":             {c.mint(t, forged, sandbox.Minting{Flaw: sandbox.Unsigned}), 401, "InvalidAuthenticationToken"},
		"expired":              {c.mint(t, expired, sandbox.Minting{}), 401, "InvalidAuthenticationToken"},
		"no token":             {"", 401, "InvalidAuthenticationToken"},
	} {
		t.Run(name, func(t *testing.T) { wantGraphError(t, c.call(t, row.token, "GET", address, ""), row.status, row.code) })
	}
	if got := c.call(t, good, "GET", address, ""); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	for _, host := range []string{"graph.microsoft.us", "dod-graph.microsoft.us", "microsoftgraph.chinacloudapi.cn"} {
		token := c.adminToken(t, "https://"+host+"/.default")
		if got := c.call(t, token, "GET", "https://"+host+"/v1.0/organization", ""); got.status != 200 || !strings.Contains(got.body, sandbox.DemoTenantID) || !c.Knows(host) {
			t.Errorf("%s: %d %s", host, got.status, got.body)
		}
	}
}

func TestGraphRefusesInItsOwnWords(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	a := c.admin(t)
	app := a.register(t, "aws")
	plain := a.register(t, "plain")
	a.must(t, 204, "PATCH", "/applications/"+plain.id, `{"appRoles":[{"id":"`+roleID+`","allowedMemberTypes":["User"],"displayName":"a","description":"a","value":"a","isEnabled":false}]}`)
	assign := func(principal, resource, role string) string {
		return fmt.Sprintf(`{"principalId":%q,"resourceId":%q,"appRoleId":%q}`, principal, resource, role)
	}
	assignments := "/servicePrincipals/" + sandbox.DemoVMObjectID + "/appRoleAssignments"
	a.must(t, 201, "POST", assignments, assign(sandbox.DemoVMObjectID, app.principal, roleID))
	credentials := "/applications/" + app.id + "/federatedIdentityCredentials"
	credential := func(name, subject string) string {
		return fmt.Sprintf(`{"name":%q,"issuer":"https://example.com","subject":%q,"audiences":["api://AzureADTokenExchange"]}`, name, subject)
	}
	a.must(t, 201, "POST", credentials, credential("one", "s"))
	const bad = "Request_BadRequest"
	for name, row := range map[string]struct {
		status             int
		code               string
		method, path, body string
	}{
		"no name":                  {400, bad, "POST", "/applications", `{}`},
		"not JSON":                 {400, "BadRequest", "POST", "/applications", `{`},
		"an unknown property":      {400, bad, "POST", "/applications", `{"displayName":"a","owner":"me"}`},
		"a version of three":       {400, bad, "POST", "/applications", `{"displayName":"a","api":{"requestedAccessTokenVersion":3}}`},
		"a URI that is taken":      {400, bad, "PATCH", "/applications/" + plain.id, `{"identifierUris":["` + app.uri + `"]}`},
		"a URI twice":              {400, bad, "PATCH", "/applications/" + app.id, `{"identifierUris":["` + app.uri + `","` + app.uri + `"]}`},
		"a URI without a scheme":   {400, bad, "PATCH", "/applications/" + app.id, `{"identifierUris":["aws"]}`},
		"a URI of nobody":          {400, "HostNameNotOnVerifiedDomain", "PATCH", "/applications/" + app.id, `{"identifierUris":["urn:aws"]}`},
		"a role without id":        {400, bad, "PATCH", "/applications/" + plain.id, `{"appRoles":[{"value":"a"}]}`},
		"an enabled role taken":    {400, "CannotDeleteOrUpdateEnabledEntitlement", "PATCH", "/applications/" + app.id, `{"appRoles":[]}`},
		"nobody's application":     {404, "Request_ResourceNotFound", "GET", "/applications/" + roleID, ""},
		"to change":                {404, "Request_ResourceNotFound", "PATCH", "/applications/" + roleID, `{}`},
		"to delete":                {404, "Request_ResourceNotFound", "DELETE", "/applications/" + roleID, ""},
		"an unknown segment":       {400, "BadRequest", "GET", "/users", ""},
		"no application behind":    {400, "NoBackingApplicationObject", "POST", "/servicePrincipals", `{"appId":"` + roleID + `"}`},
		"a principal without app":  {400, bad, "POST", "/servicePrincipals", `{}`},
		"a second principal":       {409, "Request_MultipleObjectsWithSameKeyValue", "POST", "/servicePrincipals", `{"appId":"` + app.appID + `"}`},
		"a managed identity's":     {403, "Authorization_RequestDenied", "DELETE", "/servicePrincipals/" + sandbox.DemoVMObjectID, ""},
		"assigned twice":           {400, bad, "POST", assignments, assign(sandbox.DemoVMObjectID, app.principal, roleID)},
		"an unknown role":          {400, bad, "POST", assignments, assign(sandbox.DemoVMObjectID, app.principal, sandbox.DemoTenantID)},
		"no role where there are":  {400, bad, "POST", assignments, assign(sandbox.DemoVMObjectID, app.principal, "00000000-0000-0000-0000-000000000000")},
		"a role for users":         {400, bad, "POST", assignments, assign(sandbox.DemoVMObjectID, plain.principal, roleID)},
		"another principal's path": {400, bad, "POST", assignments, assign(sandbox.DemoAppObjectID, app.principal, roleID)},
		"assigned to nobody":       {404, "Request_ResourceNotFound", "POST", assignments, assign(sandbox.DemoVMObjectID, roleID, roleID)},
		"no such assignment":       {404, "Request_ResourceNotFound", "DELETE", assignments + "/x", ""},
		"a credential's name":      {409, "Request_MultipleObjectsWithSameKeyValue", "POST", credentials, credential("one", "other")},
		"a credential's subject":   {409, "Request_MultipleObjectsWithSameKeyValue", "POST", credentials, credential("two", "s")},
		"an odd name":              {400, bad, "POST", credentials, credential("-one", "t")},
		"two audiences":            {400, bad, "POST", credentials, strings.Replace(credential("two", "t"), `["`, `["a","`, 1)},
		"a name that changes":      {400, bad, "PATCH", credentials + "/one", `{"name":"two"}`},
		"no such credential":       {404, "Request_ResourceNotFound", "DELETE", credentials + "/two", ""},
		"a filter":                 {400, "BadRequest", "GET", "/applications?$filter=displayName+ne+'a'", ""},
		"a filter for nothing":     {400, "Request_UnsupportedQuery", "GET", "/applications?$filter=color+eq+'a'", ""},
		"a page too large":         {400, bad, "GET", "/applications?$top=1000", ""},
		"another tenant":           {404, "Request_ResourceNotFound", "GET", "/organization/" + roleID, ""},
	} {
		t.Run(name, func(t *testing.T) { wantGraphError(t, a.ask(t, row.method, row.path, row.body), row.status, row.code) })
	}
	for i := range 19 {
		a.must(t, 201, "POST", credentials, credential(fmt.Sprint("more-", i), fmt.Sprint(i)))
	}
	wantGraphError(t, a.ask(t, "POST", credentials, credential("more-19", "19")), 403, "Directory_QuotaExceeded")
	if got := c.tokenFor(t, app.uri); got.status != 200 {
		t.Errorf("a refusal changed something: %s", got.body)
	}
}

func TestListsAreFilteredAndPaged(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	a := c.admin(t)
	made := a.register(t, "Bob's API")
	names := func(path string) []string {
		t.Helper()
		var list []string
		for next := c.graph + "/v1.0" + path; next != ""; {
			page := decode[struct {
				Value []struct{ DisplayName string }
				Next  string `json:"@odata.nextLink"`
			}](t, c.call(t, a.token, "GET", next, ""))
			for _, entity := range page.Value {
				list = append(list, entity.DisplayName)
			}
			next = page.Next
		}
		slices.Sort(list)
		return list
	}
	all := []string{"Bob's API", "admin", "aws-federation", "aws-federation-v2", "deploy"}
	for _, path := range []string{"/applications", "/applications?$top=2", "/applications?$top=1&$select=id,displayName"} {
		if got := names(path); !slices.Equal(got, all) {
			t.Errorf("%s: got %q, want %q", path, got, all)
		}
	}
	for _, row := range []struct {
		list, filter string
		want         []string
	}{
		{"applications", "displayName eq 'bob''s api'", []string{"Bob's API"}},
		{"applications", "startswith(displayName,'aws')", []string{"aws-federation", "aws-federation-v2"}},
		{"applications", "appId eq '" + made.appID + "'", []string{"Bob's API"}},
		{"applications", "identifierUris/any(x:x eq '" + sandbox.DemoAudience + "')", []string{"aws-federation"}},
		{"applications", "tags/any(t:t eq 'keyless') and displayName eq 'nobody'", nil},
		{"servicePrincipals", "servicePrincipalType eq 'ManagedIdentity'", []string{"id-demo", "vm-demo"}},
		{"servicePrincipals", "alternativeNames/any(n:n eq '" + sandbox.DemoVMResourceID + "')", []string{"vm-demo"}},
		{"servicePrincipals", "appRoleAssignmentRequired eq true and startswith(displayName,'a')", []string{"aws-federation", "aws-federation-v2"}},
	} {
		if got := names("/" + row.list + "?$filter=" + url.QueryEscape(row.filter)); !slices.Equal(got, row.want) {
			t.Errorf("%s: got %q, want %q", row.filter, got, row.want)
		}
	}
	deploy := a.ask(t, "GET", "/applications(appId='"+sandbox.DemoAppClientID+"')", "")
	if strings.Count(deploy.body, `"secretText":null`) != 1 || strings.Contains(deploy.body, `"0001-`) || strings.Contains(deploy.body, sandbox.DemoAppSecret) {
		t.Errorf("the secrets of an application: %s", deploy.body)
	}
	assigned := a.must(t, 200, "GET", "/servicePrincipals(appId='"+sandbox.DemoAPIClientID+"')/appRoleAssignedTo", "")["value"].([]any)
	if len(assigned) != 3 || assigned[0].(map[string]any)["principalDisplayName"] == nil {
		t.Errorf("assigned: %v", assigned)
	}
	part := a.must(t, 200, "GET", "/servicePrincipals?$select=id&$top=1", "")["value"].([]any)[0].(map[string]any)
	if len(part) != 1 || part["id"] == nil {
		t.Errorf("selected: %v", part)
	}
}

func TestWhatWasCreatedIsNotFoundAtFirst(t *testing.T) {
	clock := time.Now()
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{Now: func() time.Time { return clock }, Replication: 5 * time.Second, Propagation: 10 * time.Second}))
	a := c.admin(t)
	made := a.must(t, 201, "POST", "/applications", appBody("aws"))
	id, appID := made["id"].(string), made["appId"].(string)
	principal := func() answer { return a.ask(t, "POST", "/servicePrincipals", `{"appId":"`+appID+`"}`) }
	uri := func() answer {
		return a.ask(t, "PATCH", "/applications/"+id, `{"identifierUris":["api://`+appID+`"]}`)
	}
	clock = clock.Add(4 * time.Second)
	wantGraphError(t, a.ask(t, "GET", "/applications/"+id, ""), 404, "Request_ResourceNotFound")
	wantGraphError(t, uri(), 404, "Request_ResourceNotFound")
	wantGraphError(t, principal(), 400, "NoBackingApplicationObject")
	clock = clock.Add(time.Second)
	if got := []int{uri().status, principal().status}; !slices.Equal(got, []int{204, 201}) {
		t.Errorf("when it was replicated: %d", got)
	}
	clock = clock.Add(9 * time.Second)
	if got := c.tokenFor(t, "api://"+appID); !strings.Contains(got.body, "AADSTS500011") {
		t.Errorf("before it is in force: %d %s", got.status, got.body)
	}
	clock = clock.Add(time.Second)
	if got := c.tokenFor(t, "api://"+appID); got.status != 200 {
		t.Errorf("in force: %d %s", got.status, got.body)
	}
}

func TestGraphAndARMBreakOnRequest(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	a := c.admin(t)
	for code, status := range map[string]int{"Directory_ConcurrencyViolation": 409, "Request_ResourceNotFound": 404, "Authorization_RequestDenied": 403} {
		c.SetFault(sandbox.Graph, sandbox.Fault{Code: code, Times: 1})
		wantGraphError(t, a.ask(t, "POST", "/applications", appBody("aws")), status, code)
	}
	c.SetFault(sandbox.Graph, sandbox.Fault{Status: 429, RetryAfter: time.Second, Times: 1})
	got := a.ask(t, "GET", "/applications", "")
	wantGraphError(t, got, 429, "TooManyRequests")
	if got.header.Get("Retry-After") != "1" {
		t.Errorf("%v", got.header)
	}
	c.SetFault(sandbox.ARM, sandbox.Fault{Status: 409, Code: "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity", Times: 1})
	if got := c.call(t, c.adminToken(t, armScope), "PUT", c.arm+sandbox.DemoAssignedResourceID+"/federatedIdentityCredentials/a"+armVersion, "{}"); got.status != 409 || !strings.Contains(got.body, "ConcurrentFederated") {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestManyAdministratorsOfATenantLoseNothing(t *testing.T) {
	everyWay(t, func(t *testing.T, c *cloud) {
		t.Helper()
		a := c.admin(t)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				app := a.register(t, fmt.Sprint("made-", i))
				if got := c.tokenFor(t, app.uri); got.status != 200 {
					t.Errorf("%d %s", got.status, got.body)
				}
				c.identityToken(t, sandbox.DemoAudience)
			})
		}
		all.Wait()
		if list := a.must(t, 200, "GET", "/applications?$filter=startswith(displayName,'made-')", "")["value"].([]any); len(list) != 8 {
			t.Errorf("%d of 8 applications are left", len(list))
		}
	})
}

// TestAFederationFromNothing makes what a plan makes, and takes it away again.
func TestAFederationFromNothing(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	a := c.admin(t)
	app := a.register(t, "aws")
	provider := trust.ProviderARN("", sandbox.DemoAccountID, sandbox.DemoIssuer)
	c.manage(t, "AddClientIDToOpenIDConnectProvider", "OpenIDConnectProviderArn", provider, "ClientID", app.uri)
	key := trust.ProviderKey(sandbox.DemoIssuer)
	document, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": map[string]any{
		"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity", "Principal": map[string]string{"Federated": provider},
		"Condition": map[string]any{"StringEquals": map[string]string{key + ":aud": app.uri, key + ":sub": sandbox.DemoAppObjectID}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	c.manage(t, "CreateRole", "RoleName", "made", "AssumeRolePolicyDocument", string(document))
	const arn = "arn:aws:iam::" + sandbox.DemoAccountID + ":role/made"
	token := decode[accessToken](t, c.tokenFor(t, app.uri)).AccessToken
	c.assume(t, arn, token)
	wantSTSError(t, c.post(t, c.sts, webForm(arn, c.identityToken(t, app.uri))), 403, "AccessDenied", "") // another subject

	c.manage(t, "DeleteRole", "RoleName", "made")
	a.must(t, 204, "DELETE", "/applications/"+app.id, "")
	wantSTSError(t, c.post(t, c.sts, webForm(arn, token)), 403, "AccessDenied", "")
}
