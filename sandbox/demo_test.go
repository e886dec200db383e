package sandbox_test

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

func TestTheDemoPlaysEveryHost(t *testing.T) {
	c := overSockets(t, newSandbox(t, ec2(sandbox.DemoHostARN), sandbox.Options{ArcTokenDir: t.TempDir()}))
	for _, kind := range sandbox.HostKinds() {
		if env := hostEnv(t, c.Sandbox, kind); len(env) == 0 {
			t.Errorf("%s: nothing in the environment", kind)
		}
	}
}

// jobToken asks as a job does; without a connection for the token of the pipeline.
func jobToken(t *testing.T, c *cloud, connection string) string {
	t.Helper()
	env := hostEnv(t, c.Sandbox, sandbox.HostPipelines)
	address := env["SYSTEM_OIDCREQUESTURI"] + "?api-version=7.1&serviceConnectionId=" + connection
	a := ask(t, c, http.MethodPost, address, "Authorization", "Bearer "+env["SYSTEM_ACCESSTOKEN"])
	if a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return decode[struct{ OIDCToken string }](t, a).OIDCToken
}

func TestTheDemosJobReachesBothClouds(t *testing.T) {
	everyWay(t, func(t *testing.T, c *cloud) {
		t.Helper()
		for _, connection := range []string{sandbox.DemoConnectionID, sandbox.DemoOldConnectionID} {
			token := jobToken(t, c, connection)
			c.assume(t, sandbox.DemoJobRoleARN, token)
			if a := c.post(t, c.tokenURL(), assertionForm(token)); a.status != 200 {
				t.Errorf("%s: %d %s", connection, a.status, a.body)
			}
			wantSTSError(t, c.post(t, c.sts, webForm(sandbox.DemoRoleARN, token)), 403, "AccessDenied", "")
		}
		pipeline := jobToken(t, c, "")
		wantSTSError(t, c.post(t, c.sts, webForm(sandbox.DemoJobRoleARN, pipeline)), 403, "AccessDenied", "")
		wantRefusal(t, c.post(t, c.tokenURL(), assertionForm(pipeline)), 401, 700213, "invalid_client")
	})
}

func TestTheDemosPodReachesAWSByTheTokenOfItsCluster(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	file := filepath.Join(t.TempDir(), "token")
	project := func(subject, audience string) string {
		if err := c.ProjectToken(file, sandbox.FIC{Issuer: sandbox.DemoClusterIssuer, Subject: subject, Audience: audience}, time.Hour); err != nil {
			t.Fatal(err)
		}
		token, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(token)
	}
	first := project(sandbox.DemoServiceAccount, sandbox.DemoPodAudience)
	c.assume(t, sandbox.DemoPodRoleARN, first)
	second := project(sandbox.DemoServiceAccount, sandbox.DemoPodAudience)
	c.assume(t, sandbox.DemoPodRoleARN, second)
	if first == second {
		t.Error("the file was not rotated")
	}
	other := project(sandbox.DemoServiceAccount+"x", sandbox.DemoPodAudience)
	wantSTSError(t, c.post(t, c.sts, webForm(sandbox.DemoPodRoleARN, other)), 403, "AccessDenied", "")
	exchange := project(sandbox.DemoServiceAccount, sandbox.ExchangeAudience)
	wantSTSError(t, c.post(t, c.sts, webForm(sandbox.DemoPodRoleARN, exchange)), 400, "InvalidIdentityToken", "")
}

// tokenOfAWS is what STS says about the role of the host.
func tokenOfAWS(t *testing.T, c *cloud) string {
	t.Helper()
	a := webIdentityToken(t, c, "sts.eu-west-1.amazonaws.com")
	var result struct {
		Token string `xml:"GetWebIdentityTokenResult>WebIdentityToken"`
	}
	if err := xml.Unmarshal([]byte(a.body), &result); err != nil || result.Token == "" {
		t.Fatalf("%v: %d %s", err, a.status, a.body)
	}
	return result.Token
}

func TestARoleOfAWSStandsForAnApplicationAndAManagedIdentity(t *testing.T) {
	c := inProcess(newSandbox(t, ec2(sandbox.DemoHostARN), sandbox.Options{}))
	for client, subject := range map[string]string{
		sandbox.DemoAppClientID: sandbox.DemoAppObjectID, sandbox.DemoAssignedClientID: sandbox.DemoAssignedObjectID,
	} {
		form := assertionForm(tokenOfAWS(t, c))
		form.Set("client_id", client)
		a := c.post(t, c.tokenURL(), form)
		if a.status != 200 || claimsOf(t, decode[accessToken](t, a).AccessToken)["sub"] != subject {
			t.Errorf("%s: %d %s", client, a.status, a.body)
		}
	}
}

func TestAManagedIdentityIsRefusedAsAnApplicationIs(t *testing.T) {
	right, alone := ec2(sandbox.DemoHostARN), ec2(sandbox.DemoHostARN)
	alone.Tenants[0].Identities[1].FederatedCredentials = nil
	elsewhere := ec2(sandbox.DemoHostARN)
	elsewhere.Tenants[0].Identities[1].FederatedCredentials[0].Issuer = github
	elsewhereFor := ec2(sandbox.DemoHostARN)
	elsewhereFor.Tenants[0].Identities[1].FederatedCredentials[0].Audience = "api://other"
	for name, row := range map[string]struct {
		world        sandbox.World
		client       string
		status, code int
		class        string
	}{
		"another role":       {ec2(sandbox.DemoRoleARN), sandbox.DemoAssignedClientID, 401, 700213, "invalid_client"},
		"another issuer":     {elsewhere, sandbox.DemoAssignedClientID, 401, 700211, "invalid_client"},
		"another audience":   {elsewhereFor, sandbox.DemoAssignedClientID, 401, 700212, "invalid_client"},
		"no credentials":     {alone, sandbox.DemoAssignedClientID, 400, 70025, "invalid_request"},
		"assigned by system": {right, sandbox.DemoVMClientID, 400, 700016, "unauthorized_client"},
	} {
		t.Run(name, func(t *testing.T) {
			c := inProcess(newSandbox(t, row.world, sandbox.Options{}))
			form := assertionForm(tokenOfAWS(t, c))
			form.Set("client_id", row.client)
			wantRefusal(t, c.post(t, c.tokenURL(), form), row.status, row.code, row.class)
		})
	}
	c := inProcess(newSandbox(t, right, sandbox.Options{}))
	wantRefusal(t, c.post(t, c.tokenURL(), secretForm("client_id", sandbox.DemoAssignedClientID)), 401, 7000215, "invalid_client")
}

// hostRequest is one that the far side answers with 200.
func hostRequest(t *testing.T, hop sandbox.Hop) *http.Request {
	t.Helper()
	method, address, name, value := http.MethodGet, "http://169.254.170.2/v2/credentials/x", "Authorization", "container-token"
	switch hop {
	case sandbox.Pipelines:
		method, address, value = http.MethodPost, "https://dev.azure.com/demo/demo/_apis/distributedtask/hubs/build/plans/1/jobs/2/oidctoken?api-version=7.1", "Bearer "+sandbox.DemoJobToken
	case sandbox.EC2:
		method, address, name, value = http.MethodPut, "http://169.254.169.254/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60"
	}
	r, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(name, value)
	return r
}

func TestJobsAndHostsOfAWSFailInTheirOwnWords(t *testing.T) {
	c := inProcess(newSandbox(t, ec2(sandbox.DemoHostARN), sandbox.Options{}))
	for _, row := range []struct {
		hop    sandbox.Hop
		fault  sandbox.Fault
		status int
		text   string
	}{
		{sandbox.Pipelines, sandbox.Fault{Status: 500}, 500, `"typeKey":"VssServiceException"`},
		{sandbox.Pipelines, sandbox.Fault{Code: "RequestBlockedException", Status: 429, RetryAfter: time.Second}, 429, "RequestBlockedException"},
		{sandbox.Pipelines, sandbox.Fault{Body: "<html>sign in</html>"}, 200, "<html>"},
		{sandbox.EC2, sandbox.Fault{Status: 503, RetryAfter: time.Second}, 503, "503 - Service Unavailable"},
		{sandbox.EC2, sandbox.Fault{Status: 401}, 401, "401 - Unauthorized"},
		{sandbox.Container, sandbox.Fault{Code: "InternalServerError"}, 500, `"Code":"InternalServerError"`},
		{sandbox.Container, sandbox.Fault{Status: 429, Code: "Throttled", RetryAfter: time.Second}, 429, "Throttled"},
	} {
		row.fault.Times = 1
		c.SetFault(row.hop, row.fault)
		a := c.do(t, hostRequest(t, row.hop))
		if a.status != row.status || !strings.Contains(a.body, row.text) {
			t.Errorf("%s %+v: %d %s", row.hop, row.fault, a.status, a.body)
		}
		if asked := row.fault.RetryAfter > 0; asked != (a.header.Get("Retry-After") == "1") {
			t.Errorf("%s %+v: Retry-After %q", row.hop, row.fault, a.header.Get("Retry-After"))
		}
		if a = c.do(t, hostRequest(t, row.hop)); a.status != 200 {
			t.Errorf("%s is still broken: %d %s", row.hop, a.status, a.body)
		}
	}
}

func TestJobsAndHostsOfAWSCanBeLateCutOffAndReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(newSandbox(t, ec2(sandbox.DemoHostARN), sandbox.Options{}))
		for _, hop := range []sandbox.Hop{sandbox.Pipelines, sandbox.EC2, sandbox.Container} {
			c.SetFault(hop, sandbox.Fault{Delay: time.Minute, Times: 1})
			start := time.Now()
			if a := c.do(t, hostRequest(t, hop)); a.status != 200 || time.Since(start) != time.Minute {
				t.Errorf("%s: %d after %v", hop, a.status, time.Since(start))
			}
			whole := len(c.do(t, hostRequest(t, hop)).body)
			c.SetFault(hop, sandbox.Fault{Truncate: true, Times: 1})
			if a := c.do(t, hostRequest(t, hop)); a.status != 200 || len(a.body) >= whole {
				t.Errorf("%s: %d bytes of %d", hop, len(a.body), whole)
			}
			c.SetFault(hop, sandbox.Fault{Reset: true, Times: 1})
			if err := c.roundTrip(t, hostRequest(t, hop)); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
				t.Errorf("%s: %v", hop, err)
			}
		}
	})
}

func TestEveryHopThatIsListedCanBeBroken(t *testing.T) {
	c := inProcess(newSandbox(t, ec2(sandbox.DemoHostARN), sandbox.Options{}))
	for _, hop := range sandbox.Hops() {
		c.SetFault(hop, sandbox.Fault{Status: 503})
	}
	for _, hop := range []sandbox.Hop{sandbox.Pipelines, sandbox.EC2, sandbox.Container} {
		if a := c.do(t, hostRequest(t, hop)); a.status != 503 {
			t.Errorf("%s: %d %s", hop, a.status, a.body)
		}
	}
}
