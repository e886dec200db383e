package awssts_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awssts"
)

const (
	tenantID = "22222222-2222-2222-2222-222222222222"
	appID    = "11111111-1111-1111-1111-111111111111"
	audience = "api://" + appID
	callerID = "33333333-3333-3333-3333-333333333333"
	objectID = "44444444-4444-4444-4444-444444444444"
	roleARN  = "arn:aws:iam::123456789012:role/path/app"
	v1Issuer = "https://sts.windows.net/" + tenantID + "/"
	v2Issuer = "https://login.microsoftonline.com/" + tenantID + "/v2.0"
)

// jwt makes a token with a signature that nobody checks here.
func jwt(claims map[string]any) keyless.Token {
	raw, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return keyless.Token{Value: keyless.NewSecret(encode([]byte(`{"alg":"RS256"}`)) + "." + encode(raw) + "." + encode([]byte("signature")))}
}

func v1(aud any) keyless.Token {
	return jwt(map[string]any{"iss": v1Issuer, "aud": aud, "sub": objectID, "oid": objectID, "appid": callerID, "tid": tenantID, "ver": "1.0"})
}

func v2(aud any) keyless.Token {
	return jwt(map[string]any{"iss": v2Issuer, "aud": aud, "sub": objectID, "oid": objectID, "azp": callerID, "tid": tenantID, "ver": "2.0"})
}

// far plays STS in the process: it remembers each request and answers in turn;
// the last answer stands.
type far struct {
	answers []answer
	forms   []url.Values
	headers []http.Header
	urls    []string
	times   []time.Time
}

type answer struct {
	status int
	body   string
	header http.Header
	err    error
}

func (f *far) RoundTrip(r *http.Request) (*http.Response, error) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(raw))
	if err != nil {
		return nil, err
	}
	f.forms, f.headers, f.urls, f.times = append(f.forms, form), append(f.headers, r.Header), append(f.urls, r.URL.String()), append(f.times, time.Now())
	a := answer{status: http.StatusOK, body: success}
	if len(f.answers) > 0 {
		a = f.answers[min(len(f.forms), len(f.answers))-1]
	}
	if a.err != nil {
		return nil, a.err
	}
	header := a.header
	if header == nil {
		header = http.Header{"Content-Type": {"text/xml"}}
	}
	return &http.Response{StatusCode: a.status, Header: header, Body: io.NopCloser(strings.NewReader(a.body)), Request: r}, nil
}

func (f *far) client() *http.Client { return &http.Client{Transport: f} }

func says(status int, code, message string) *far {
	return &far{answers: []answer{{status: status, body: fault(code, message)}}}
}

func fault(code, message string) string {
	return fmt.Sprintf(`<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error>
  <RequestId>0f0e0d0c-0000-4000-8000-000000000001</RequestId>
</ErrorResponse>`, code, message)
}

// success is the example of the API reference, shortened.
const success = `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult>
    <SubjectFromWebIdentityToken>s</SubjectFromWebIdentityToken>
    <Audience>a</Audience>
    <AssumedRoleUser>
      <Arn>arn:aws:sts::123456789012:assumed-role/app/name</Arn>
      <AssumedRoleId>AROACLKWSDQRAOEXAMPLE:name</AssumedRoleId>
    </AssumedRoleUser>
    <Credentials>
      <SessionToken>canary-session-token</SessionToken>
      <SecretAccessKey>canary-secret-key</SecretAccessKey>
      <Expiration>2100-10-24T23:00:23Z</Expiration>
      <AccessKeyId>ASIAEXAMPLE</AccessKeyId>
    </Credentials>
  </AssumeRoleWithWebIdentityResult>
  <ResponseMetadata><RequestId>r</RequestId></ResponseMetadata>
</AssumeRoleWithWebIdentityResponse>`

func exchange(f *far) awssts.WebIdentity {
	return awssts.WebIdentity{RoleARN: roleARN, Region: "eu-west-1", Audience: audience, Client: f.client()}
}

// wantError demands an error of the exchange, without secrets.
func wantError(t *testing.T, err error, text string, temporary bool) keyless.Error {
	t.Helper()
	var e *keyless.Error
	if !errors.As(err, &e) || e.Hop != keyless.HopExchange || e.Op == "" {
		t.Errorf("%s: error %v (%T), want a *keyless.Error of the exchange", text, err, err)
		return keyless.Error{}
	}
	if e.Temporary != temporary {
		t.Errorf("%s: Temporary is %v: %v", text, e.Temporary, err)
	}
	whole := fmt.Sprintf("%v %+v %#v", err, *e, *e)
	if !strings.Contains(whole, text) {
		t.Errorf("error %q does not say %q", whole, text)
	}
	for _, secret := range []string{"canary", "eyJ", "hunter2"} {
		if strings.Contains(whole, secret) {
			t.Errorf("the secret %q is in %s", secret, whole)
		}
	}
	return *e
}
