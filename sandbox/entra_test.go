package sandbox_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

type entraError struct {
	Error         string `json:"error"`
	Description   string `json:"error_description"`
	Codes         []int  `json:"error_codes"`
	TraceID       string `json:"trace_id"`
	CorrelationID string `json:"correlation_id"`
	Timestamp     string `json:"timestamp"`
	URI           string `json:"error_uri"`
}

// wantRefusal checks the whole form of a refusal by the token endpoint.
func wantRefusal(t *testing.T, a answer, status, code int, name string) {
	t.Helper()
	e := decode[entraError](t, a)
	if a.status != status || e.Error != name || len(e.Codes) != 1 || e.Codes[0] != code {
		t.Fatalf("got %d %s, want %d %d %s", a.status, a.body, status, code, name)
	}
	if !strings.HasPrefix(e.Description, fmt.Sprintf("AADSTS%d: ", code)) || !strings.Contains(e.Description, "Trace ID: "+e.TraceID) || e.CorrelationID == "" ||
		e.URI != fmt.Sprintf("https://login.microsoftonline.com/error?code=%d", code) {
		t.Errorf("%s", a.body)
	}
	if _, err := time.Parse("2006-01-02 15:04:05Z", e.Timestamp); err != nil {
		t.Error(err)
	}
	if strings.Contains(a.body, sandbox.DemoAppSecret) {
		t.Error("the answer repeats the secret")
	}
}

func TestEveryBadTokenRequestHasItsCode(t *testing.T) {
	w := sandbox.Demo()
	w.Tenants[0].Apps[2].Secrets = append(w.Tenants[0].Apps[2].Secrets, sandbox.AppSecret{Value: "old", Expiry: time.Now().Add(-time.Hour)})
	w.Tenants[0].Apps = append(w.Tenants[0].Apps, sandbox.App{Name: "outsider", ClientID: "outsider", ObjectID: "o-outsider", Secrets: []sandbox.AppSecret{{Value: "x"}}})
	c := inProcess(newSandbox(t, w, sandbox.Options{}))
	const scope = sandbox.DemoAudience
	for _, row := range []struct {
		change []string
		status int
		code   int
		name   string
	}{
		{[]string{"client_secret", "wrong"}, 401, 7000215, "invalid_client"},
		{[]string{"client_secret", "old"}, 401, 7000222, "invalid_client"},
		{[]string{"client_secret", ""}, 401, 7000218, "invalid_client"},
		{[]string{"client_id", "nobody"}, 400, 700016, "unauthorized_client"},
		{[]string{"client_id", ""}, 400, 900144, "invalid_request"},
		{[]string{"grant_type", ""}, 400, 900144, "invalid_request"},
		{[]string{"grant_type", "password"}, 400, 70003, "unsupported_grant_type"},
		{[]string{"scope", "api://nothing/.default"}, 400, 500011, "invalid_resource"},
		{[]string{"scope", scope}, 400, 1002012, "invalid_scope"},
		{[]string{"scope", scope + "/.default https://graph.microsoft.com/.default"}, 400, 70011, "invalid_scope"},
		{[]string{"scope", "openid"}, 400, 70011, "invalid_scope"},
		{[]string{"scope", ""}, 400, 900144, "invalid_request"},
		{[]string{"client_id", "outsider", "client_secret", "x"}, 400, 501051, "invalid_grant"},
		{[]string{"client_assertion", "x.y.z"}, 400, 900144, "invalid_request"},
		{[]string{"client_assertion", "x.y.z", "client_assertion_type", assertionType}, 401, 50027, "invalid_client"},
	} {
		wantRefusal(t, c.post(t, c.tokenURL(), secretForm(row.change...)), row.status, row.code, row.name)
	}
	wantRefusal(t, c.post(t, c.entra+"/other-tenant/oauth2/v2.0/token", secretForm()), 400, 90002, "invalid_request")
	wantRefusal(t, c.get(t, c.tokenURL()), 400, 900561, "invalid_request")
	wantRefusal(t, c.get(t, c.entra+"/other-tenant/v2.0/.well-known/openid-configuration"), 400, 90002, "invalid_request")
}

func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func wantClaims(t *testing.T, claims, want map[string]any) {
	t.Helper()
	for name, value := range want {
		if fmt.Sprint(claims[name]) != fmt.Sprint(value) {
			t.Errorf("%s: got %v, want %v", name, claims[name], value)
		}
	}
	for _, name := range []string{"aio", "rh", "uti", "iat", "nbf", "exp"} {
		if claims[name] == nil {
			t.Errorf("no %s", name)
		}
	}
}

func TestTheResourceDecidesTheVersionOfTheToken(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	v1 := claimsOf(t, c.secretToken(t))
	wantClaims(t, v1, map[string]any{
		"aud": sandbox.DemoAudience, "iss": sandbox.DemoIssuer, "ver": "1.0", "appid": sandbox.DemoAppClientID, "appidacr": "1", "idp": sandbox.DemoIssuer,
		"sub": sandbox.DemoAppObjectID, "oid": sandbox.DemoAppObjectID, "tid": sandbox.DemoTenantID, "roles": "[AssumeRole]", "azp": nil, "xms_mirid": nil,
	})
	v2 := claimsOf(t, c.secretToken(t, "scope", sandbox.DemoV2Audience+"/.default"))
	wantClaims(t, v2, map[string]any{
		"aud": sandbox.DemoV2APIClientID, "iss": sandbox.DemoV2Issuer, "ver": "2.0", "azp": sandbox.DemoAppClientID, "azpacr": "1",
		"sub": sandbox.DemoAppObjectID, "appid": nil,
	})
	if life := v1["exp"].(float64) - v1["nbf"].(float64); life != 3900 {
		t.Errorf("lifetime %v", life)
	}
	byID := claimsOf(t, c.secretToken(t, "scope", sandbox.DemoAPIClientID+"/.default"))
	if byID["aud"] != sandbox.DemoAPIClientID {
		t.Errorf("aud %v is not as requested", byID["aud"])
	}
}

func TestNumbersAreNumbersOnlyOnTheNewEndpoint(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	modern := decode[map[string]any](t, c.post(t, c.tokenURL(), secretForm()))
	if modern["expires_in"] != 3599.0 || modern["ext_expires_in"] != 3599.0 || modern["token_type"] != "Bearer" {
		t.Error(modern["expires_in"])
	}
	form := secretForm("resource", sandbox.DemoAudience)
	form.Del("scope")
	if modern["refresh_in"] != nil {
		t.Error("a hint that nobody asked for")
	}
	old := decode[map[string]any](t, c.post(t, c.entra+"/"+sandbox.DemoTenantID+"/oauth2/token", form))
	if old["expires_in"] != "3599" || old["resource"] != sandbox.DemoAudience || old["expires_on"] == "" {
		t.Error(old["expires_in"], old["resource"])
	}
}

func TestTheClientMayComeInTheBasicHeader(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	for secret, status := range map[string]int{sandbox.DemoAppSecret: 200, "wrong": 401} {
		form := secretForm()
		form.Del("client_id")
		form.Del("client_secret")
		r, err := http.NewRequest(http.MethodPost, c.tokenURL(), strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(sandbox.DemoAppClientID, secret)
		if a := c.do(t, r); a.status != status {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
}

func TestDiscoveryNamesTheRealIssuerAndTheCallersBase(t *testing.T) {
	everyWay(t, func(t *testing.T, c *cloud) {
		t.Helper()
		for path, issuer := range map[string]string{"": sandbox.DemoIssuer, "/v2.0": sandbox.DemoV2Issuer} {
			document := decode[map[string]any](t, c.get(t, c.entra+"/"+sandbox.DemoTenantID+path+"/.well-known/openid-configuration"))
			if document["issuer"] != issuer {
				t.Errorf("issuer %v", document["issuer"])
			}
			for _, name := range []string{"token_endpoint", "jwks_uri", "authorization_endpoint"} {
				if address, _ := document[name].(string); !strings.HasPrefix(address, c.entra+"/") {
					t.Errorf("%s %q is not under %s", name, address, c.entra)
				}
			}
			if a := c.get(t, document["jwks_uri"].(string)); a.status != 200 || len(keysOf(t, a)) != 1 {
				t.Errorf("%d %s", a.status, a.body)
			}
		}
		instance := decode[map[string]any](t, c.get(t, c.entra+"/common/discovery/instance?api-version=1.1&authorization_endpoint="+c.entra+"/"+sandbox.DemoTenantID+"/oauth2/v2.0/authorize"))
		if instance["tenant_discovery_endpoint"] != c.entra+"/"+sandbox.DemoTenantID+"/v2.0/.well-known/openid-configuration" {
			t.Error(instance["tenant_discovery_endpoint"])
		}
	})
}

func keysOf(t *testing.T, a answer) []map[string]any {
	t.Helper()
	return decode[struct {
		Keys []map[string]any `json:"keys"`
	}](t, a).Keys
}

func TestRotationShowsOldAndNewKeys(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	old := c.secretToken(t)
	c.RotateKeys()
	fresh := c.secretToken(t)
	address := c.entra + "/common/discovery/keys"
	if n := len(keysOf(t, c.get(t, address))); n != 2 {
		t.Errorf("%d keys", n)
	}
	c.assume(t, sandbox.DemoRoleARN, old)
	c.assume(t, sandbox.DemoRoleARN, fresh)

	identity := c.identityToken(t, sandbox.DemoAudience)
	c.RotateKeys()
	c.DropOldKeys()
	if keys := keysOf(t, c.get(t, address)); len(keys) != 1 || keys[0]["kid"] != keys[0]["x5t"] || keys[0]["alg"] != nil {
		t.Errorf("%v", keys)
	}
	wantSTSError(t, c.post(t, c.sts, webForm(sandbox.DemoRoleARN, old)), 400, "InvalidIdentityToken", noKey)
	wantSTSError(t, c.post(t, c.sts, webForm(sandbox.DemoRoleARN, identity)), 400, "InvalidIdentityToken", noKey)
	c.assume(t, sandbox.DemoRoleARN, c.identityToken(t, sandbox.DemoAudience))
}

func TestTheRefreshHintIsGivenWhereTheWorldHasOne(t *testing.T) {
	w := sandbox.Demo()
	w.Tenants[0].RefreshIn = 30 * time.Minute
	c := inProcess(newSandbox(t, w, sandbox.Options{}))
	if hint := decode[map[string]any](t, c.post(t, c.tokenURL(), secretForm()))["refresh_in"]; hint != 1800.0 {
		t.Errorf("entra: %v", hint)
	}
	if hint := decode[map[string]any](t, c.imdsToken(t, goodQuery, "Metadata", "true"))["refresh_in"]; hint != "1800" {
		t.Errorf("imds: %v", hint)
	}
}
