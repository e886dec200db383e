package sandbox_test

import (
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

func (c *cloud) imdsToken(t *testing.T, query string, header ...string) answer {
	t.Helper()
	return c.get(t, c.imds+"/metadata/identity/oauth2/token?"+query, header...)
}

const goodQuery = "api-version=2018-02-01&resource=" + "api%3A%2F%2F" + sandbox.DemoAPIClientID

func TestIMDSChoosesByEverySelector(t *testing.T) {
	everyWay(t, func(t *testing.T, c *cloud) {
		t.Helper()
		for query, subject := range map[string]string{
			"":                                     sandbox.DemoVMObjectID,
			"&client_id=" + sandbox.DemoVMClientID: sandbox.DemoVMObjectID,
			"&object_id=" + sandbox.DemoAssignedObjectID:                     sandbox.DemoAssignedObjectID,
			"&msi_res_id=" + url.QueryEscape(sandbox.DemoAssignedResourceID): sandbox.DemoAssignedObjectID,
		} {
			a := c.imdsToken(t, goodQuery+query, "Metadata", "true")
			if a.status != 200 {
				t.Fatalf("%s: %s", query, a.body)
			}
			values := decode[map[string]string](t, a) // all strings, or this fails
			claims := claimsOf(t, values["access_token"])
			if claims["sub"] != subject || claims["appidacr"] != "2" || claims["idtyp"] != "app" || claims["xms_mirid"] == nil {
				t.Errorf("%s: %v", query, claims)
			}
			if life := claims["exp"].(float64) - claims["iat"].(float64); life != 86700 {
				t.Errorf("lifetime %v", life)
			}
			if values["resource"] != sandbox.DemoAudience || values["token_type"] != "Bearer" || values["expires_on"] != strconv.Itoa(int(claims["exp"].(float64))) {
				t.Errorf("%v %v", values["resource"], values["expires_on"])
			}
		}
	})
}

func TestIMDSRefusesWhatItMust(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	for name, row := range map[string]struct {
		query  string
		header []string
		want   string
	}{
		"no header":        {goodQuery, nil, "Required metadata header not specified"},
		"header not true":  {goodQuery, []string{"Metadata", "1"}, "Required metadata header not specified"},
		"forwarded":        {goodQuery, []string{"Metadata", "true", "X-Forwarded-For", "10.0.0.1"}, ""},
		"no version":       {"resource=x", []string{"Metadata", "true"}, ""},
		"bad version":      {"api-version=1&resource=x", []string{"Metadata", "true"}, ""},
		"no resource":      {"api-version=2018-02-01", []string{"Metadata", "true"}, ""},
		"unknown identity": {goodQuery + "&client_id=nobody", []string{"Metadata", "true"}, "Identity not found"},
		"unknown resource": {"api-version=2018-02-01&resource=api://no", []string{"Metadata", "true"}, ""},
	} {
		a := c.imdsToken(t, row.query, row.header...)
		e := decode[map[string]string](t, a)
		if a.status != 400 || e["error"] == "" || row.want != "" && e["error_description"] != row.want {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}

func TestIMDSAsksForASelectorWhenItCannotTell(t *testing.T) {
	w := sandbox.Demo()
	w.Tenants[0].Identities[0].SystemAssigned = false
	c := inProcess(newSandbox(t, w, sandbox.Options{}))
	if a := c.imdsToken(t, goodQuery, "Metadata", "true"); a.status != 400 {
		t.Errorf("%d %s", a.status, a.body)
	}
	w.Tenants[0].Identities = w.Tenants[0].Identities[1:]
	c = inProcess(newSandbox(t, w, sandbox.Options{}))
	if claims := claimsOf(t, c.identityToken(t, sandbox.DemoAudience)); claims["sub"] != sandbox.DemoAssignedObjectID {
		t.Error("the only identity is not meant")
	}
	w.Tenants[0].Identities = nil
	c = inProcess(newSandbox(t, w, sandbox.Options{}))
	if a := c.imdsToken(t, goodQuery, "Metadata", "true"); a.status != 400 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestIMDSHandsOutItsCachedTokenUntilNearItsEnd(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{Now: func() time.Time { return now }}))
	first := decode[map[string]string](t, c.imdsToken(t, goodQuery, "Metadata", "true"))
	now = now.Add(23 * time.Hour)
	second := decode[map[string]string](t, c.imdsToken(t, goodQuery, "Metadata", "true"))
	if first["access_token"] != second["access_token"] || first["expires_in"] != "86400" || second["expires_in"] != "3600" {
		t.Errorf("%s then %s", first["expires_in"], second["expires_in"])
	}
	now = now.Add(56 * time.Minute)
	third := decode[map[string]string](t, c.imdsToken(t, goodQuery, "Metadata", "true"))
	if third["access_token"] == second["access_token"] || third["expires_in"] != "86400" {
		t.Errorf("then %s", third["expires_in"])
	}
}

func TestTheSlashAtTheEndOfTheIMDSPathIsForgiven(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	if a := c.get(t, c.imds+"/metadata/identity/oauth2/token/?"+goodQuery, "Metadata", "true"); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	compute := c.imds + "/metadata/instance/compute?api-version=2021-02-01"
	if a := c.get(t, compute, "Metadata", "true"); a.status != 200 || decode[map[string]string](t, a)["location"] != "westeurope" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := c.get(t, compute); a.status != 400 {
		t.Errorf("%d without the header", a.status)
	}
	if c.Requests(sandbox.IMDS) != 1 {
		t.Errorf("%d token requests", c.Requests(sandbox.IMDS))
	}
}
