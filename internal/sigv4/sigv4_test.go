package sigv4_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/keyless-id/keyless/internal/sigv4"
)

// The request, keys and signature are of "post-x-www-form-urlencoded", one of the
// cases of the AWS Signature Version 4 test suite.
func TestTheSignatureIsThatOfTheTestSuiteOfAWS(t *testing.T) {
	const body = "Param1=value1"
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://example.amazonaws.com/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.ContentLength = 0 // the suite signs no Content-Length
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	sigv4.Sign(request, []byte(body),
		sigv4.Keys{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"},
		sigv4.Scope{Service: "service", Region: "us-east-1", Time: time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)})
	const want = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
	if got := request.Header.Get("Authorization"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if request.Header.Get("X-Amz-Date") != "20150830T123600Z" || request.Header.Get("X-Amz-Security-Token") != "" {
		t.Errorf("headers: %v", request.Header)
	}
}

func TestASessionTokenIsSignedAndSent(t *testing.T) {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://sts.eu-west-1.amazonaws.com/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	sigv4.Sign(request, nil, sigv4.Keys{AccessKeyID: "ASIA", SecretAccessKey: "s", SessionToken: "hunter2"},
		sigv4.Scope{Service: "sts", Region: "eu-west-1", Time: time.Now()})
	if request.Header.Get("X-Amz-Security-Token") != "hunter2" || !strings.Contains(request.Header.Get("Authorization"), "x-amz-security-token") {
		t.Errorf("headers: %v", request.Header)
	}
}

// OpenSearch Serverless wants the hash as a header and does not want the length signed;
// no other service differs so.
func TestServerlessGetsTheHashAndNoSignedLength(t *testing.T) {
	for service, want := range map[string]bool{"aoss": true, "es": false, "aps": false} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://x.eu-west-1.amazonaws.com/", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		sigv4.Sign(request, []byte("{}"), sigv4.Keys{AccessKeyID: "ASIA", SecretAccessKey: "s"}, sigv4.Scope{Service: service, Region: "eu-west-1", Time: time.Now()})
		signed := request.Header.Get("Authorization")
		if got := request.Header.Get("X-Amz-Content-Sha256") == hashOf([]byte("{}")) && strings.Contains(signed, "x-amz-content-sha256"); got != want {
			t.Errorf("%s: the hash is there and signed: %v, want %v", service, got, want)
		}
		if got := !strings.Contains(signed, "content-length"); got != want {
			t.Errorf("%s: the length is left out: %v, want %v", service, got, want)
		}
	}
}
