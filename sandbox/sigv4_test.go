package sandbox_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
	"github.com/keyless-id/keyless/trust"
)

var whoAmI = url.Values{"Action": {"GetCallerIdentity"}, "Version": {"2011-06-15"}}

type callerIdentity struct {
	Arn     string `xml:"GetCallerIdentityResult>Arn"`
	UserID  string `xml:"GetCallerIdentityResult>UserId"`
	Account string `xml:"GetCallerIdentityResult>Account"`
}

func (c *cloud) session(t *testing.T) awsKeys {
	t.Helper()
	return c.assume(t, sandbox.DemoRoleARN, c.identityToken(t, sandbox.DemoAudience))
}

func TestAGoodSignatureSaysWhoItIs(t *testing.T) {
	everyWay(t, func(t *testing.T, c *cloud) {
		t.Helper()
		s := c.stsSigner(c.session(t))
		want := "arn:aws:sts::111122223333:assumed-role/keyless-demo/test"
		who := decode[callerIdentity](t, c.signedPost(t, s, whoAmI))
		if who.Arn != want || who.Account != sandbox.DemoAccountID || !strings.HasPrefix(who.UserID, "AROA") || !strings.HasSuffix(who.UserID, ":test") {
			t.Errorf("%+v", who)
		}
		who = decode[callerIdentity](t, c.get(t, s.presign(c.sts+"/?"+whoAmI.Encode(), "60")))
		if who.Arn != want {
			t.Errorf("presigned: %+v", who)
		}
	})
}

func TestABadSignatureIsRefused(t *testing.T) {
	now := time.Now()
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{Now: func() time.Time { return now }}))
	good := c.stsSigner(c.session(t))
	good.at = now
	for name, row := range map[string]struct {
		change func(s *signer)
		status int
		code   string
	}{
		"wrong secret":      {func(s *signer) { s.keys.SecretAccessKey += "x" }, 403, "SignatureDoesNotMatch"},
		"unknown key":       {func(s *signer) { s.keys.AccessKeyID = "ASIAUNKNOWN" }, 403, "InvalidClientTokenId"},
		"no session token":  {func(s *signer) { s.keys.SessionToken = "" }, 403, "InvalidClientTokenId"},
		"foreign token":     {func(s *signer) { s.keys.SessionToken += "x" }, 403, "InvalidClientTokenId"},
		"too old":           {func(s *signer) { s.at = now.Add(-16 * time.Minute) }, 403, "SignatureDoesNotMatch"},
		"of the future":     {func(s *signer) { s.at = now.Add(16 * time.Minute) }, 403, "SignatureDoesNotMatch"},
		"another service":   {func(s *signer) { s.service = "iam" }, 403, "SignatureDoesNotMatch"},
		"just old enough":   {func(s *signer) { s.at = now.Add(-14 * time.Minute) }, 200, ""},
		"just early enough": {func(s *signer) { s.at = now.Add(14 * time.Minute) }, 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := good
			row.change(&s)
			a := c.signedPost(t, s, whoAmI)
			if a.status != row.status || row.code != "" && decode[stsError](t, a).Code != row.code {
				t.Errorf("%d %s", a.status, a.body)
			}
			if strings.Contains(a.body, good.keys.SecretAccessKey) || strings.Contains(a.body, good.keys.SessionToken) {
				t.Error("the answer repeats a secret")
			}
		})
	}
	wantSTSError(t, c.post(t, c.sts, whoAmI), 403, "MissingAuthenticationToken", "")
	wantSTSError(t, c.get(t, c.sts+"/?"+whoAmI.Encode(), "Authorization", "AWS4-HMAC-SHA256 Credential=x"), 403, "IncompleteSignature", "")
	wantSTSError(t, c.get(t, strings.Replace(good.presign(c.sts+"/?"+whoAmI.Encode(), "60"), "Expires=60", "Expires=61", 1)), 403, "SignatureDoesNotMatch", "")
	late := good
	late.at = now.Add(-2 * time.Minute)
	wantSTSError(t, c.get(t, late.presign(c.sts+"/?"+whoAmI.Encode(), "60")), 400, "RequestExpired", "")

	now = now.Add(time.Hour)
	good.at = now
	wantSTSError(t, c.signedPost(t, good, whoAmI), 403, "ExpiredToken", "")
}

func TestABodyThatChangedAfterSigningIsRefused(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	r, err := http.NewRequest(http.MethodPost, c.sts+"/", strings.NewReader(whoAmI.Encode()+"&Extra=1"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	c.stsSigner(c.session(t)).sign(r, whoAmI.Encode())
	wantSTSError(t, c.do(t, r), 403, "SignatureDoesNotMatch", "")
}

func roleForm(role string, change ...string) url.Values {
	form := url.Values{"Action": {"AssumeRole"}, "Version": {"2011-06-15"}, "RoleArn": {role}, "RoleSessionName": {"chain"}}
	for i := 0; i < len(change); i += 2 {
		form.Set(change[i], change[i+1])
	}
	return form
}

func TestARoleIsChainedForAnHourAtMost(t *testing.T) {
	everyWay(t, func(t *testing.T, c *cloud) {
		t.Helper()
		s := c.stsSigner(c.session(t))
		a := c.signedPost(t, s, roleForm(sandbox.DemoChainedARN))
		type result struct {
			Keys awsKeys `xml:"AssumeRoleResult>Credentials"`
			Arn  string  `xml:"AssumeRoleResult>AssumedRoleUser>Arn"`
		}
		chained := decode[result](t, a)
		if chained.Arn != "arn:aws:sts::111122223333:assumed-role/keyless-demo-chained/chain" {
			t.Fatalf("%d %s", a.status, a.body)
		}
		if who := decode[callerIdentity](t, c.signedPost(t, c.stsSigner(chained.Keys), whoAmI)); who.Arn != chained.Arn {
			t.Errorf("%+v", who)
		}
		wantSTSError(t, c.signedPost(t, s, roleForm(sandbox.DemoChainedARN, "DurationSeconds", "3601")), 400, "ValidationError",
			"The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining")
		a = c.signedPost(t, s, roleForm(sandbox.DemoOtherARN))
		wantSTSError(t, a, 403, "AccessDenied", "User: arn:aws:sts::111122223333:assumed-role/keyless-demo/test is not authorized to perform: sts:AssumeRole on resource: "+sandbox.DemoOtherARN)
		wantSTSError(t, c.signedPost(t, c.stsSigner(chained.Keys), roleForm(sandbox.DemoChainedARN)), 403, "AccessDenied", "")
	})
}

// vendorWorld has a second account, whose user may assume a role of the first by
// an external id.
func vendorWorld() sandbox.World {
	w := sandbox.Demo()
	w.Accounts[0].Roles = append(w.Accounts[0].Roles, sandbox.Role{Name: "vendor", MaxSession: 12 * time.Hour, TrustPolicy: `{"Version":"2012-10-17","Statement":{"Effect":"Allow",
		"Principal":{"AWS":"arn:aws:iam::444455556666:root"},"Action":["sts:AssumeRole","sts:TagSession"],"Condition":{"StringEquals":{"sts:ExternalId":"12345"}}}}`})
	w.Accounts = append(w.Accounts, sandbox.Account{
		ID:      "444455556666",
		Users:   []sandbox.AccessKey{{UserName: "vera", AccessKeyID: "AKIAVENDOR", SecretAccessKey: "vendor-key"}},
		Buckets: []sandbox.Bucket{{Name: "vendor-bucket", Region: "eu-central-1", Objects: map[string]string{"a b/ü+.txt": "odd name", "a/1": "1", "a/2": "2", "b": "3", "c/d": "4"}}},
	})
	return w
}

var vendorKeys = awsKeys{AccessKeyID: "AKIAVENDOR", SecretAccessKey: "vendor-key"}

func TestAnotherAccountNeedsItsExternalID(t *testing.T) {
	c := inProcess(newSandbox(t, vendorWorld(), sandbox.Options{}))
	s := c.stsSigner(vendorKeys)
	const vendor = "arn:aws:iam::111122223333:role/vendor"
	if who := decode[callerIdentity](t, c.signedPost(t, s, whoAmI)); who.Arn != "arn:aws:iam::444455556666:user/vera" {
		t.Errorf("%+v", who)
	}
	if a := c.signedPost(t, s, roleForm(vendor, "ExternalId", "12345", "DurationSeconds", "43200", "Tags.member.1.Key", "k", "Tags.member.1.Value", "v")); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	wantSTSError(t, c.signedPost(t, s, roleForm(vendor)), 403, "AccessDenied", "")
	wantSTSError(t, c.signedPost(t, s, roleForm(vendor, "ExternalId", "54321")), 403, "AccessDenied", "")
	wantSTSError(t, c.signedPost(t, s, roleForm(vendor, "ExternalId", "12345", "SourceIdentity", "vera")), 403, "AccessDenied", "")
	wantSTSError(t, c.signedPost(t, c.stsSigner(c.session(t)), roleForm(vendor, "ExternalId", "12345")), 403, "AccessDenied", "")
}

func TestTheLogShowsTheVerdictAndNoSecret(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	token := c.secretToken(t)
	keys := c.assume(t, sandbox.DemoRoleARN, token)
	c.signedPost(t, c.stsSigner(keys), whoAmI)
	var decisions []*trust.Decision
	for _, e := range c.Log() {
		if e.Decision != nil {
			decisions = append(decisions, e.Decision)
		}
		for name, value := range e.Details {
			for _, secret := range []string{token, keys.SecretAccessKey, keys.SessionToken, sandbox.DemoAppSecret} {
				if strings.Contains(value, secret) {
					t.Errorf("%s %s holds a secret", e.Op, name)
				}
			}
		}
	}
	if len(decisions) != 1 || !decisions[0].Allowed || len(decisions[0].Statements[0].Conditions) != 2 {
		t.Errorf("%d decisions", len(decisions))
	}
}
