package sandbox_test

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/keyless-id/keyless/sandbox"
)

// cloud is the sandbox as a client sees it: by sockets or in process.
type cloud struct {
	*sandbox.Sandbox
	client               *http.Client
	entra, imds, sts, s3 string
	dce, workspace, amp  string
	iam, graph, arm      string
}

func newSandbox(t *testing.T, w sandbox.World, o sandbox.Options) *sandbox.Sandbox {
	t.Helper()
	s, err := sandbox.New(w, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func inProcess(s *sandbox.Sandbox) *cloud {
	return &cloud{
		s, &http.Client{Transport: s.RoundTripper()}, "https://login.microsoftonline.com", "http://169.254.169.254",
		"https://sts.eu-west-1.amazonaws.com", "https://s3.eu-west-1.amazonaws.com",
		"https://demo-abcd.westeurope-1.ingest.monitor.azure.com", "https://demo-abcd.westeurope-1.metrics.ingest.monitor.azure.com",
		"https://aps-workspaces.us-east-1.amazonaws.com", "https://iam.amazonaws.com", "https://graph.microsoft.com", "https://management.azure.com",
	}
}

func overSockets(t *testing.T, s *sandbox.Sandbox) *cloud {
	t.Helper()
	if err := s.Listen(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return &cloud{
		s, client, s.URL(sandbox.Entra), s.URL(sandbox.IMDS), s.URL(sandbox.STS), s.URL(sandbox.S3),
		s.URL(sandbox.DCE), s.URL(sandbox.Workspace), s.URL(sandbox.AMP), s.URL(sandbox.IAM), s.URL(sandbox.Graph), s.URL(sandbox.ARM),
	}
}

// everyWay runs a test over sockets and in process.
func everyWay(t *testing.T, test func(t *testing.T, c *cloud)) {
	t.Helper()
	t.Run("in process", func(t *testing.T) { test(t, inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))) })
	t.Run("over sockets", func(t *testing.T) {
		test(t, overSockets(t, newSandbox(t, sandbox.Demo(), sandbox.Options{})))
	})
}

type answer struct {
	status int
	body   string
	header http.Header
}

func (c *cloud) do(t *testing.T, r *http.Request) answer {
	t.Helper()
	response, err := c.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, string(body), response.Header}
}

// roundTrip returns the error of a request, unwrapped by any client.
func (c *cloud) roundTrip(t *testing.T, r *http.Request) error {
	t.Helper()
	response, err := c.client.Transport.RoundTrip(r)
	if err == nil {
		response.Body.Close()
	}
	return err
}

func (c *cloud) post(t *testing.T, address string, form url.Values) answer {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.do(t, r)
}

func (c *cloud) get(t *testing.T, address string, header ...string) answer {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return c.do(t, r)
}

func decode[T any](t *testing.T, a answer) T {
	t.Helper()
	var into T
	var err error
	if strings.HasPrefix(a.header.Get("Content-Type"), "text/xml") {
		err = xml.Unmarshal([]byte(a.body), &into)
	} else {
		err = json.Unmarshal([]byte(a.body), &into)
	}
	if err != nil {
		t.Fatalf("%v in %d %q", err, a.status, a.body)
	}
	return into
}

func secretForm(change ...string) url.Values {
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {sandbox.DemoAppClientID}, "client_secret": {sandbox.DemoAppSecret},
		"scope": {sandbox.DemoAudience + "/.default openid offline_access profile"},
	}
	for i := 0; i < len(change); i += 2 {
		form.Set(change[i], change[i+1])
	}
	return form
}

func (c *cloud) tokenURL() string { return c.entra + "/" + sandbox.DemoTenantID + "/oauth2/v2.0/token" }

type accessToken struct {
	AccessToken string `json:"access_token"`
}

func (c *cloud) secretToken(t *testing.T, change ...string) string {
	t.Helper()
	a := c.post(t, c.tokenURL(), secretForm(change...))
	if a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return decode[accessToken](t, a).AccessToken
}

func (c *cloud) identityToken(t *testing.T, resource string) string {
	t.Helper()
	a := c.get(t, c.imds+"/metadata/identity/oauth2/token?api-version=2018-02-01&resource="+url.QueryEscape(resource), "Metadata", "true")
	if a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return decode[accessToken](t, a).AccessToken
}

func webForm(role, token string, change ...string) url.Values {
	form := url.Values{
		"Action": {"AssumeRoleWithWebIdentity"}, "Version": {"2011-06-15"}, "RoleArn": {role},
		"RoleSessionName": {"test"}, "WebIdentityToken": {token},
	}
	for i := 0; i < len(change); i += 2 {
		form.Set(change[i], change[i+1])
	}
	return form
}

type stsError struct {
	Code    string `xml:"Error>Code"`
	Message string `xml:"Error>Message"`
	ID      string `xml:"RequestId"`
}

type awsKeys struct {
	AccessKeyID     string `xml:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      string
}

type webResult struct {
	Keys     awsKeys `xml:"AssumeRoleWithWebIdentityResult>Credentials"`
	Subject  string  `xml:"AssumeRoleWithWebIdentityResult>SubjectFromWebIdentityToken"`
	Audience string  `xml:"AssumeRoleWithWebIdentityResult>Audience"`
	Provider string  `xml:"AssumeRoleWithWebIdentityResult>Provider"`
	Arn      string  `xml:"AssumeRoleWithWebIdentityResult>AssumedRoleUser>Arn"`
}

func (c *cloud) assume(t *testing.T, role, token string) awsKeys {
	t.Helper()
	a := c.post(t, c.sts+"/", webForm(role, token))
	if a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return decode[webResult](t, a).Keys
}

func TestAnIdentityOfAzureBecomesASessionOfAWS(t *testing.T) {
	everyWay(t, func(t *testing.T, c *cloud) {
		t.Helper()
		for name, token := range map[string]string{"secret": c.secretToken(t), "imds": c.identityToken(t, sandbox.DemoAudience)} {
			if keys := c.assume(t, sandbox.DemoRoleARN, token); keys.SessionToken == "" || !strings.HasPrefix(keys.AccessKeyID, "ASIA") {
				t.Errorf("%s: %+v", name, keys.Expiration)
			}
		}
	})
}

func TestARoleForSomeoneElseStaysClosed(t *testing.T) {
	everyWay(t, func(t *testing.T, c *cloud) {
		t.Helper()
		a := c.post(t, c.sts+"/", webForm(sandbox.DemoOtherARN, c.identityToken(t, sandbox.DemoAudience)))
		e := decode[stsError](t, a)
		if a.status != 403 || e.Code != "AccessDenied" || e.Message != "Not authorized to perform sts:AssumeRoleWithWebIdentity" {
			t.Fatalf("%d %s", a.status, a.body)
		}
		events := c.Log()
		failure := events[len(events)-1].Details["failure"]
		if want := `want "` + sandbox.DemoOtherObjectID + `", got "` + sandbox.DemoVMObjectID + `"`; !strings.Contains(failure, want) {
			t.Fatalf("failure %q does not say %q", failure, want)
		}
	})
}
