package sandbox

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func fuzzSandbox(f *testing.F) *Sandbox {
	f.Helper()
	s, err := New(Demo(), Options{})
	if err != nil {
		f.Fatal(err)
	}
	return s
}

func FuzzSTSForm(f *testing.F) {
	s := fuzzSandbox(f)
	for _, body := range []string{
		"Action=GetCallerIdentity&Version=2011-06-15",
		"Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=" + url.QueryEscape(DemoRoleARN) + "&RoleSessionName=ab&WebIdentityToken=e30.e30.e30&DurationSeconds=900",
		"Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=" + url.QueryEscape(DemoRoleARN) + "&RoleSessionName=ab&WebIdentityToken=eyJhbGciOiJSUzI1NiJ9.e30.AAAA&Policy={}",
	} {
		f.Add(body, "", "")
	}
	f.Add("Action=AssumeRole&Version=2011-06-15", "AWS4-HMAC-SHA256 Credential=a/20260101/r/sts/aws4_request, SignedHeaders=host, Signature=b", "20260101T000000Z")
	f.Fuzz(func(t *testing.T, body, authorization, date string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Authorization": {authorization}, "X-Amz-Date": {date}}
		w := httptest.NewRecorder()
		s.Handler(STS).ServeHTTP(w, r)
		if w.Code == http.StatusOK {
			t.Fatalf("%q is let in", body)
		}
	})
}

func FuzzSignature(f *testing.F) {
	s := fuzzSandbox(f)
	f.Add("AWS4-HMAC-SHA256 Credential=a/20260101/r/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=b", "20260101T000000Z", "/?X-Amz-Algorithm=AWS4-HMAC-SHA256")
	f.Add("", "", "/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a%2F20260101%2Fr%2Fs3%2Faws4_request&X-Amz-Date=20260101T000000Z&X-Amz-Expires=1&X-Amz-SignedHeaders=host&X-Amz-Signature=c")
	f.Fuzz(func(t *testing.T, authorization, date, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		r := &http.Request{Method: http.MethodGet, URL: u, Host: "s3.amazonaws.com", Header: http.Header{"Authorization": {authorization}, "X-Amz-Date": {date}}}
		sig, fault := parseSignature(r)
		if (sig == nil || fault != nil) == (fault == nil) {
			t.Fatal("neither a signature nor a fault")
		}
		if fault == nil {
			_ = canonicalRequest(r, sig, "x")
		}
		if who, fault := s.verifySignature(r, nil, "s3", time.Now()); fault == nil {
			t.Fatalf("let in as %v", who)
		}
	})
}

func FuzzTokenForm(f *testing.F) {
	s := fuzzSandbox(f)
	f.Add("grant_type=client_credentials&client_id=" + DemoAppClientID + "&client_secret=x&scope=api%3A%2F%2Fx%2F.default")
	f.Add("grant_type=client_credentials&client_id=" + DemoAppClientID + "&client_assertion=a.b.c&client_assertion_type=" + url.QueryEscape(assertionType))
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPost, "/"+DemoTenantID+"/oauth2/v2.0/token", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		s.Handler(Entra).ServeHTTP(w, r)
		if w.Code == http.StatusOK && !strings.Contains(body, url.QueryEscape(DemoAppSecret)) && !strings.Contains(body, DemoAppSecret) {
			t.Fatalf("%q is let in", body)
		}
	})
}
