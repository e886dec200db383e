package sandbox_test

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

type s3Error struct {
	XMLName xml.Name `xml:"Error"`
	Code    string
	Message string
}

func wantS3Error(t *testing.T, a answer, status int, code string) {
	t.Helper()
	if e := decode[s3Error](t, a); a.status != status || e.Code != code {
		t.Errorf("got %d %s, want %d %s", a.status, a.body, status, code)
	}
}

type s3Listing struct {
	Keys      []string `xml:"Contents>Key"`
	Prefixes  []string `xml:"CommonPrefixes>Prefix"`
	KeyCount  int
	Truncated bool   `xml:"IsTruncated"`
	Next      string `xml:"NextContinuationToken"`
	Marker    string `xml:"NextMarker"`
}

func TestTheWholeStory(t *testing.T) {
	everyWay(t, func(t *testing.T, c *cloud) {
		t.Helper()
		for _, token := range []string{c.secretToken(t), c.identityToken(t, sandbox.DemoAudience)} {
			s := c.s3Signer(c.assume(t, sandbox.DemoRoleARN, token))
			if a := c.signedGet(t, s, "/"); a.status != 200 || !strings.Contains(a.body, "<Name>"+sandbox.DemoBucket+"</Name>") {
				t.Fatalf("%d %s", a.status, a.body)
			}
			l := decode[s3Listing](t, c.signedGet(t, s, "/"+sandbox.DemoBucket+"?list-type=2"))
			if want := []string{"hello.txt", "logs/2026/first.log", "report.csv"}; !reflect.DeepEqual(l.Keys, want) || l.KeyCount != 3 {
				t.Fatalf("%+v", l)
			}
			a := c.signedGet(t, s, "/"+sandbox.DemoBucket+"/hello.txt")
			if a.body != "Hello from the other cloud.\n" || a.header.Get("ETag") == "" {
				t.Fatalf("%d %s", a.status, a.body)
			}
		}
		if c.Requests(sandbox.Entra) != 1 || c.Requests(sandbox.IMDS) != 1 || c.Requests(sandbox.STS) != 2 || c.Requests(sandbox.S3) != 6 {
			t.Error(c.Requests(sandbox.Entra), c.Requests(sandbox.IMDS), c.Requests(sandbox.STS), c.Requests(sandbox.S3))
		}
	})
}

func TestS3RefusesStrangersAndSaysWhy(t *testing.T) {
	now := time.Now()
	c := inProcess(newSandbox(t, vendorWorld(), sandbox.Options{Now: func() time.Time { return now }}))
	good := c.s3Signer(c.session(t))
	good.at = now
	const object = "/" + sandbox.DemoBucket + "/hello.txt"
	vendor := good
	vendor.keys = vendorKeys
	wantS3Error(t, c.signedGet(t, vendor, object), 403, "AccessDenied")
	wantS3Error(t, c.signedGet(t, good, "/vendor-bucket/b"), 403, "AccessDenied")
	wantS3Error(t, c.signedGet(t, good, "/no-such-bucket/b"), 404, "NoSuchBucket")
	wantS3Error(t, c.signedGet(t, good, "/"+sandbox.DemoBucket+"/nothing"), 404, "NoSuchKey")
	wantS3Error(t, c.get(t, c.s3+object), 403, "AccessDenied")
	for name, row := range map[string]struct {
		change func(s *signer)
		status int
		code   string
	}{
		"secret":  {func(s *signer) { s.keys.SecretAccessKey = "x" }, 403, "SignatureDoesNotMatch"},
		"key":     {func(s *signer) { s.keys.AccessKeyID = "x" }, 403, "InvalidAccessKeyId"},
		"token":   {func(s *signer) { s.keys.SessionToken = "x" }, 400, "InvalidToken"},
		"time":    {func(s *signer) { s.at = now.Add(-time.Hour) }, 403, "RequestTimeTooSkewed"},
		"service": {func(s *signer) { s.service = "sts" }, 400, "AuthorizationHeaderMalformed"},
	} {
		s := good
		row.change(&s)
		t.Run(name, func(t *testing.T) {
			wantS3Error(t, c.signedGet(t, s, object, "X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"), row.status, row.code)
		})
	}
	wantS3Error(t, c.signedGet(t, good, object, "X-Amz-Content-Sha256", strings.Repeat("0", 64)), 400, "XAmzContentSHA256Mismatch")
	now = now.Add(2 * time.Hour)
	good.at = now
	wantS3Error(t, c.signedGet(t, good, object), 400, "ExpiredToken")
}

func TestAHeaderOutsideTheSignatureIsRefused(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	r, err := http.NewRequest(http.MethodGet, c.s3+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	c.s3Signer(c.session(t)).sign(r, "")
	r.Header.Set("X-Amz-Acl", "public-read")
	wantS3Error(t, c.do(t, r), 403, "AccessDenied")
}

func TestPresignedURLs(t *testing.T) {
	now := time.Now()
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{Now: func() time.Time { return now }}))
	s := c.s3Signer(c.session(t))
	s.at = now
	address := s.presign(c.s3+"/"+sandbox.DemoBucket+"/report.csv?response-content-type=text%2Fplain&x=a+b", "600")
	if a := c.get(t, address); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	wantS3Error(t, c.get(t, strings.Replace(address, "report.csv", "hello.txt", 1)), 403, "SignatureDoesNotMatch")
	wantS3Error(t, c.get(t, strings.Replace(address, "X-Amz-Expires=600", "X-Amz-Expires=6000", 1)), 403, "SignatureDoesNotMatch")
	wantS3Error(t, c.get(t, s.presign(c.s3+"/", "604801")), 400, "AuthorizationHeaderMalformed")
	now = now.Add(11 * time.Minute)
	wantS3Error(t, c.get(t, address), 403, "AccessDenied")
}

func TestBucketsAreFoundByPathAndByHost(t *testing.T) {
	c := inProcess(newSandbox(t, vendorWorld(), sandbox.Options{}))
	s := c.s3Signer(vendorKeys)
	for _, address := range []string{
		"https://s3.eu-central-1.amazonaws.com/vendor-bucket/b", "https://vendor-bucket.s3.eu-central-1.amazonaws.com/b",
		"https://vendor-bucket.s3.amazonaws.com/b", "https://vendor-bucket.s3.dualstack.eu-central-1.amazonaws.com/b",
		"https://s3-fips.us-east-1.amazonaws.com/vendor-bucket/b", "https://s3.cn-north-1.amazonaws.com.cn/vendor-bucket/b",
	} {
		if a := c.signedTo(t, s, address); a.body != "3" {
			t.Errorf("%s: %d %s", address, a.status, a.body)
		}
	}
	if a := c.signedGet(t, s, "/vendor-bucket/a%20b/%C3%BC%2B.txt"); a.body != "odd name" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := c.signedGet(t, s, "/vendor-bucket?location="); !strings.Contains(a.body, ">eu-central-1</LocationConstraint>") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestHeadAnswersWithoutABody(t *testing.T) {
	everyWay(t, func(t *testing.T, c *cloud) {
		t.Helper()
		s := c.s3Signer(c.session(t))
		for path, status := range map[string]int{
			"/" + sandbox.DemoBucket: 200, "/" + sandbox.DemoBucket + "/hello.txt": 200, "/" + sandbox.DemoBucket + "/none": 404, "/none-there": 404,
		} {
			r, err := http.NewRequest(http.MethodHead, c.s3+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			s.sign(r, "")
			if a := c.do(t, r); a.status != status || a.body != "" {
				t.Errorf("%s: %d %q", path, a.status, a.body)
			}
		}
	})
}

func TestListingsPageAndRollUp(t *testing.T) {
	c := inProcess(newSandbox(t, vendorWorld(), sandbox.Options{}))
	s := c.s3Signer(vendorKeys)
	l := decode[s3Listing](t, c.signedGet(t, s, "/vendor-bucket?delimiter=%2F&list-type=2"))
	if !reflect.DeepEqual(l.Keys, []string{"b"}) || !reflect.DeepEqual(l.Prefixes, []string{"a b/", "a/", "c/"}) || l.KeyCount != 4 {
		t.Errorf("%+v", l)
	}
	l = decode[s3Listing](t, c.signedGet(t, s, "/vendor-bucket?encoding-type=url&list-type=2&prefix=a%20"))
	if !reflect.DeepEqual(l.Keys, []string{"a%20b/%C3%BC%2B.txt"}) {
		t.Errorf("%+v", l)
	}
	var all []string
	for token := ""; ; {
		query := url.Values{"list-type": {"2"}, "max-keys": {"2"}}
		if token != "" {
			query.Set("continuation-token", token)
		}
		page := decode[s3Listing](t, c.signedGet(t, s, "/vendor-bucket?"+query.Encode()))
		all = append(all, page.Keys...)
		if token = page.Next; !page.Truncated {
			break
		}
	}
	if len(all) != 5 {
		t.Errorf("%q", all)
	}
	first := decode[s3Listing](t, c.signedGet(t, s, "/vendor-bucket?delimiter=%2F&max-keys=2"))
	second := decode[s3Listing](t, c.signedGet(t, s, "/vendor-bucket?delimiter=%2F&marker="+url.QueryEscape(first.Marker)))
	if !first.Truncated || !reflect.DeepEqual(second.Keys, []string{"b"}) || !reflect.DeepEqual(second.Prefixes, []string{"c/"}) {
		t.Errorf("%+v then %+v", first, second)
	}
	wantS3Error(t, c.signedGet(t, s, "/vendor-bucket?list-type=2&max-keys=x"), 400, "InvalidArgument")
}

func TestNothingCanBeWritten(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	r, err := http.NewRequest(http.MethodPut, c.s3+"/"+sandbox.DemoBucket+"/new", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	c.s3Signer(c.session(t)).sign(r, "x")
	wantS3Error(t, c.do(t, r), 405, "MethodNotAllowed")
}
