package sandbox_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

// ec2 is the demo on a host that has a role of the account.
func ec2(role string) sandbox.World {
	w := sandbox.Demo()
	w.Host.RoleARN, w.Host.ContainerToken = role, "container-token"
	return w
}

func ask(t *testing.T, c *cloud, method, address string, header ...string) answer {
	t.Helper()
	r, err := http.NewRequest(method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return c.do(t, r)
}

func TestInstanceMetadataWantsASession(t *testing.T) {
	now := time.Now()
	s := newSandbox(t, ec2(sandbox.DemoRoleARN), sandbox.Options{Now: func() time.Time { return now }})
	c := inProcess(s)
	const ttl, token = "X-aws-ec2-metadata-token-ttl-seconds", "X-aws-ec2-metadata-token"
	const list = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"
	for status, header := range map[int][]string{
		400: {ttl, "21601"}, 403: {ttl, "60", "X-Forwarded-For", "10.0.0.1"}, 200: {ttl, "60"},
	} {
		if got := ask(t, c, "PUT", "http://169.254.169.254/latest/api/token", header...); got.status != status {
			t.Errorf("%v: got %d", header, got.status)
		}
	}
	session := ask(t, c, "PUT", "http://169.254.169.254/latest/api/token", ttl, "60").body
	if got := ask(t, c, "GET", list); got.status != 401 {
		t.Errorf("version 1 answered %d", got.status)
	}
	if got := ask(t, c, "GET", list, token, session); got.status != 200 || got.body != "keyless-demo" {
		t.Errorf("got %d %s", got.status, got.body)
	}
	got := ask(t, c, "GET", list+"keyless-demo", token, session)
	if got.status != 200 || !strings.Contains(got.body, `"Code":"Success"`) {
		t.Errorf("got %d %s", got.status, got.body)
	}
	if got := ask(t, c, "GET", list+"other", token, session); got.status != 404 {
		t.Errorf("another role: %d", got.status)
	}
	now = now.Add(time.Minute)
	if got := ask(t, c, "GET", list, token, session); got.status != 401 {
		t.Errorf("an old session answered %d", got.status)
	}
	if s.Requests(sandbox.IMDS) != 0 || s.Requests(sandbox.EC2) == 0 {
		t.Errorf("%d requests to Azure, %d to AWS", s.Requests(sandbox.IMDS), s.Requests(sandbox.EC2))
	}
}

func TestAHostOfAzureHasNothingOfAWS(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	if got := ask(t, c, "PUT", "http://169.254.169.254/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60"); got.status != 404 {
		t.Errorf("the metadata service answered %d", got.status)
	}
	if got := ask(t, c, "GET", "http://169.254.170.2/v2/credentials/x"); got.status != 404 {
		t.Errorf("the container endpoint answered %d", got.status)
	}
}

func TestTheContainerEndpointWantsItsToken(t *testing.T) {
	c := inProcess(newSandbox(t, ec2(sandbox.DemoRoleARN), sandbox.Options{}))
	if got := ask(t, c, "GET", "http://169.254.170.2/v2/credentials/x", "Authorization", "container-token"); got.status != 200 || !strings.Contains(got.body, "SecretAccessKey") {
		t.Errorf("got %d %s", got.status, got.body)
	}
	if got := ask(t, c, "GET", "http://169.254.170.23/v2/credentials/x", "Authorization", "x"); got.status != 401 || !strings.Contains(got.body, "AccessDenied") {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

// webIdentityToken asks STS with the credentials of the instance.
func webIdentityToken(t *testing.T, c *cloud, host string, change ...string) answer {
	t.Helper()
	var keys struct{ AccessKeyID, SecretAccessKey, Token string }
	got := ask(t, c, "GET", "http://169.254.170.2/v2/credentials/x", "Authorization", "container-token")
	if err := json.Unmarshal([]byte(got.body), &keys); err != nil {
		t.Fatal(err)
	}
	form := url.Values{"Action": {"GetWebIdentityToken"}, "Version": {"2011-06-15"}, "Audience.member.1": {"api://AzureADTokenExchange"}, "SigningAlgorithm": {"RS256"}}
	for i := 0; i < len(change); i += 2 {
		form.Set(change[i], change[i+1])
	}
	body := form.Encode()
	r, err := http.NewRequest(http.MethodPost, "https://"+host+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	signer{awsKeys{keys.AccessKeyID, keys.SecretAccessKey, keys.Token, ""}, "sts", "eu-west-1", time.Now()}.sign(r, body)
	return c.do(t, r)
}

func TestSTSIssuesTokensForOthers(t *testing.T) {
	c := inProcess(newSandbox(t, ec2(sandbox.DemoRoleARN), sandbox.Options{}))
	const sts = "sts.eu-west-1.amazonaws.com"
	if got := webIdentityToken(t, c, sts); got.status != 200 || !strings.Contains(got.body, "<WebIdentityToken>eyJ") {
		t.Errorf("got %d %s", got.status, got.body)
	}
	for name, change := range map[string][]string{
		"too long": {"DurationSeconds", "3601"}, "too short": {"DurationSeconds", "59"}, "another algorithm": {"SigningAlgorithm", "RS512"},
		"no number": {"DurationSeconds", "x"}, "no audience": {"Audience.member.1", ""},
	} {
		if got := webIdentityToken(t, c, sts, change...); got.status != 400 {
			t.Errorf("%s: got %d %s", name, got.status, got.body)
		}
	}
	if got := webIdentityToken(t, c, "sts.amazonaws.com"); got.status != 400 || !strings.Contains(got.body, "global endpoint") {
		t.Errorf("the global endpoint: %d %s", got.status, got.body)
	}
	w := ec2(sandbox.DemoRoleARN)
	w.Accounts[0].OutboundIssuer = ""
	c = inProcess(newSandbox(t, w, sandbox.Options{}))
	wantSTSError(t, webIdentityToken(t, c, sts), 403, "OutboundWebIdentityFederationDisabled", "")
}
