package sandbox_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

// receiver is one of the two of Azure Monitor.
type receiver struct {
	hop  sandbox.Hop
	base func(c *cloud) string
	path string
	body string
	kind []string // headers that say what the body is
}

func receivers() []receiver {
	return []receiver{
		{sandbox.DCE, func(c *cloud) string { return c.dce }, logsPath, "[{}]", []string{"Content-Type", "application/json"}},
		{sandbox.Workspace, func(c *cloud) string { return c.workspace }, writePath, packed(series(1, "up", 1, 1)), snappyV1},
	}
}

func (x receiver) send(t *testing.T, c *cloud, path, token string) answer {
	t.Helper()
	return c.send(t, x.base(c)+path, x.body, append([]string{"Authorization", "Bearer " + token}, x.kind...)...)
}

// taken is how much the receiver has let in.
func (x receiver) taken(c *cloud) int { return c.RowCount(sandbox.DemoStream) + c.Samples("") }

func TestAPublisherMayWriteByEitherFormOfTheAudience(t *testing.T) {
	everyWay(t, func(t *testing.T, c *cloud) {
		t.Helper()
		for _, x := range receivers() {
			for _, token := range []string{
				c.identityToken(t, monitorResource), c.identityToken(t, monitorResource+"/"),
				c.secretToken(t, "scope", monitorResource+"/.default"), c.secretToken(t, "scope", monitorResource+"//.default"),
			} {
				if a := x.send(t, c, x.path, token); a.status != http.StatusNoContent {
					t.Errorf("%s: %d %s", x.hop, a.status, a.body)
				}
			}
		}
	})
}

func TestATokenThatIsNotForAzureMonitorIsRefused(t *testing.T) {
	w := sandbox.Demo()
	w.Issuers = append(w.Issuers, sandbox.Issuer{URL: "https://other.example"})
	c := inProcess(newSandbox(t, w, sandbox.Options{}))
	claims := func(change ...any) map[string]any {
		all, err := c.Claims(sandbox.DemoVMObjectID, monitorResource)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(change); i += 2 {
			all[change[i].(string)] = change[i+1]
		}
		return all
	}
	ago := func(d time.Duration) int64 { return time.Now().Add(-d).Unix() }
	const bad, tenant, audience = "InvalidAuthenticationToken", "InvalidAuthenticationTokenTenant", "InvalidAuthenticationTokenAudience"
	tokens := map[string]struct{ token, code string }{
		"none":           {"", bad},
		"no JWT":         {"x", bad},
		"bad signature":  {c.mint(t, claims(), sandbox.Minting{Flaw: sandbox.BadSignature}), bad},
		"foreign key":    {c.mint(t, claims(), sandbox.Minting{Flaw: sandbox.ForeignKey}), bad},
		"unknown key":    {c.mint(t, claims(), sandbox.Minting{Flaw: sandbox.UnknownKey}), bad},
		"no key id":      {c.mint(t, claims(), sandbox.Minting{Flaw: sandbox.NoKeyID}), bad},
		"unsigned":       {c.mint(t, claims(), sandbox.Minting{Flaw: sandbox.Unsigned}), bad},
		"symmetric":      {c.mint(t, claims(), sandbox.Minting{Flaw: sandbox.SymmetricAbuse}), bad},
		"expired":        {c.mint(t, claims("exp", ago(time.Hour)), sandbox.Minting{}), bad},
		"not yet valid":  {c.mint(t, claims("nbf", ago(-time.Hour)), sandbox.Minting{}), bad},
		"other issuer":   {c.mint(t, claims("iss", "https://other.example"), sandbox.Minting{}), tenant},
		"other tenant":   {c.mint(t, claims("tid", sandbox.DemoOtherObjectID), sandbox.Minting{}), tenant},
		"no tenant":      {c.mint(t, claims("tid", nil), sandbox.Minting{}), tenant},
		"other audience": {c.identityToken(t, "https://management.azure.com"), audience},
		"own API":        {c.identityToken(t, sandbox.DemoAudience), audience},
		"two slashes":    {c.mint(t, claims("aud", monitorResource+"//"), sandbox.Minting{}), audience},
		"its subdomain":  {c.mint(t, claims("aud", monitorResource+".example"), sandbox.Minting{}), audience},
	}
	for _, x := range receivers() {
		if a := x.send(t, c, x.path, c.mint(t, claims(), sandbox.Minting{})); a.status != http.StatusNoContent {
			t.Fatalf("%s: a sound token: %d %s", x.hop, a.status, a.body)
		}
		before := x.taken(c)
		for name, row := range tokens {
			t.Run(string(x.hop)+"/"+name, func(t *testing.T) {
				a := x.send(t, c, x.path, row.token)
				wantMonitorError(t, a, 401, row.code)
				if !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer ") {
					t.Errorf("%v", a.header)
				}
			})
		}
		wantMonitorError(t, c.send(t, x.base(c)+x.path, x.body, x.kind...), 401, "AuthenticationFailed")
		if n := x.taken(c); n != before {
			t.Errorf("%s: %d let in by refused requests", x.hop, n-before)
		}
	}
}

func TestWhoIsNoPublisherOfTheRuleMayNotWrite(t *testing.T) {
	w := sandbox.Demo()
	const other = "3f2c8a10-0000-4000-8000-000000000002"
	w.Tenants = append(w.Tenants, sandbox.Tenant{ID: other, Identities: []sandbox.ManagedIdentity{{Name: "vm", ClientID: "x", ObjectID: sandbox.DemoVMObjectID}}})
	c := inProcess(newSandbox(t, w, sandbox.Options{}))
	assigned, err := c.Claims(sandbox.DemoAssignedObjectID, monitorResource)
	if err != nil {
		t.Fatal(err)
	}
	nobody, err := c.Claims(sandbox.DemoVMObjectID, monitorResource)
	if err != nil {
		t.Fatal(err)
	}
	delete(nobody, "oid")
	namesake, err := c.Claims(sandbox.DemoVMObjectID, monitorResource)
	if err != nil {
		t.Fatal(err)
	}
	namesake["tid"], namesake["iss"] = other, "https://sts.windows.net/"+other+"/"
	for _, x := range receivers() {
		for name, claims := range map[string]map[string]any{"another identity": assigned, "no object id": nobody, "another tenant": namesake} {
			t.Run(string(x.hop)+"/"+name, func(t *testing.T) {
				wantMonitorError(t, x.send(t, c, x.path, c.mint(t, claims, sandbox.Minting{})), 403, "OperationFailed")
			})
		}
		if n := x.taken(c); n != 0 {
			t.Errorf("%s: %d let in", x.hop, n)
		}
	}
}

func TestAnAddressThatIsNotTheRulesIsRefused(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	token := c.identityToken(t, monitorResource)
	other := strings.NewReplacer(sandbox.DemoRuleID, "dcr-00000000000000000000000000000000", sandbox.DemoMetricsRuleID, "dcr-00000000000000000000000000000000")
	swapped := strings.NewReplacer(sandbox.DemoRuleID, sandbox.DemoMetricsRuleID, sandbox.DemoMetricsRuleID, sandbox.DemoRuleID)
	for _, x := range receivers() {
		for name, row := range map[string]struct {
			path   string
			status int
			code   string
		}{
			"no version":      {x.path[:strings.Index(x.path, "?")], 400, "MissingApiVersionParameter"},
			"odd version":     {strings.Replace(x.path, "=20", "=19", 1), 400, "InvalidApiVersion"},
			"unknown rule":    {other.Replace(x.path), 404, "NotFound"},
			"another's":       {swapped.Replace(x.path), 400, "InvalidStream"},
			"unknown stream":  {strings.NewReplacer(sandbox.DemoStream, "Custom-No_CL", sandbox.MetricsStream, "Custom-No_CL").Replace(x.path), 400, "InvalidStream"},
			"further path":    {strings.Replace(x.path, "?", "/x?", 1), 404, "NotFound"},
			"no stream":       {"/dataCollectionRules/" + sandbox.DemoRuleID + "?api-version=2023-01-01", 404, "NotFound"},
			"nothing":         {"/", 404, "NotFound"},
			"the other's end": {strings.Replace(strings.Replace(x.path, "/api/v1/write", "", 1), "_CL?", "_CL/api/v1/write?", 1), 404, "NotFound"},
		} {
			t.Run(string(x.hop)+"/"+name, func(t *testing.T) {
				wantMonitorError(t, x.send(t, c, row.path, token), row.status, row.code)
			})
		}
		wantMonitorError(t, c.get(t, x.base(c)+x.path, "Authorization", "Bearer "+token), 405, "MethodNotAllowed")
		if a := x.send(t, c, x.path, token); a.status != http.StatusNoContent {
			t.Errorf("%s: the right one: %d %s", x.hop, a.status, a.body)
		}
	}
}

func TestARoleWorksOnceItHasSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := rulesWorld(func(r *sandbox.DCR) { r.Publishers[0].Propagation = 30 * time.Minute })
		c := inProcess(newSandbox(t, w, sandbox.Options{}))
		app := c.secretToken(t, "scope", monitorResource+"/.default")
		for _, x := range receivers() {
			wantMonitorError(t, x.send(t, c, x.path, c.identityToken(t, monitorResource)), 403, "OperationFailed")
			if a := x.send(t, c, x.path, app); a.status != http.StatusNoContent { // whose role has spread long ago
				t.Errorf("%s: %d %s", x.hop, a.status, a.body)
			}
		}
		time.Sleep(30*time.Minute - 1) // the bubble's time
		for _, x := range receivers() {
			wantMonitorError(t, x.send(t, c, x.path, c.identityToken(t, monitorResource)), 403, "OperationFailed")
		}
		time.Sleep(time.Nanosecond)
		for _, x := range receivers() {
			if a := x.send(t, c, x.path, c.identityToken(t, monitorResource)); a.status != http.StatusNoContent {
				t.Errorf("%s: %d %s", x.hop, a.status, a.body)
			}
		}
	})
}

func TestTheReceiversHaveClocksOfTheirOwn(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	token := c.secretToken(t, "scope", monitorResource+"/.default")
	for _, x := range receivers() {
		c.SetSkew(x.hop, 2*time.Hour)
		wantMonitorError(t, x.send(t, c, x.path, token), 401, "InvalidAuthenticationToken")
		c.SetSkew(x.hop, 0)
		if a := x.send(t, c, x.path, token); a.status != http.StatusNoContent {
			t.Errorf("%s: %d %s", x.hop, a.status, a.body)
		}
	}
}

func TestNoTokenGetsIntoTheLog(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	token := c.identityToken(t, monitorResource)
	for _, x := range receivers() {
		x.send(t, c, x.path, token)
		x.send(t, c, x.path, token+"x")
		events := c.Log()
		if last := events[len(events)-2]; last.Hop != x.hop || last.Outcome != "ok" || last.Details["caller"] != sandbox.DemoVMObjectID {
			t.Errorf("%+v", last)
		}
		if last := events[len(events)-1]; last.Hop != x.hop || last.Outcome != "InvalidAuthenticationToken" || last.Details["caller"] != "" {
			t.Errorf("%+v", last)
		}
		for _, event := range events {
			for name, value := range event.Details {
				if strings.Contains(value, token[:40]) {
					t.Errorf("%s has the token", name)
				}
			}
		}
	}
}
