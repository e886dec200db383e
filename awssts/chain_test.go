package awssts_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awssts"
)

const secondARN = "arn:aws:iam::210987654321:role/second"

// assumed is the answer of AssumeRole for the second role.
var assumed = strings.NewReplacer(
	"AssumeRoleWithWebIdentity", "AssumeRole",
	"123456789012:assumed-role/app", "210987654321:assumed-role/second",
	"ASIAEXAMPLE", "ASIASECOND",
).Replace(success)

func firstCredentials() keyless.Credentials {
	return keyless.Credentials{
		AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: keyless.NewSecret("canary-secret-key"),
		SessionToken: keyless.NewSecret("canary-session-token"), Expiry: time.Now().Add(time.Hour),
	}
}

func second(f *far) awssts.AssumeRole {
	return awssts.AssumeRole{RoleARN: secondARN, Region: "eu-central-1", Client: f.client()}
}

func TestTheSecondRoleIsAssumedBySignature(t *testing.T) {
	f := &far{answers: []answer{{status: 200, body: assumed}}}
	a := second(f)
	a.ExternalID, a.Duration, a.SessionName = "partner:1/x", time.Hour, "mine"
	got, err := a.Assume(t.Context(), firstCredentials())
	if err != nil {
		t.Fatal(err)
	}
	if got.AccessKeyID != "ASIASECOND" || got.AccountID != "210987654321" {
		t.Errorf("got %+v", got)
	}
	for name, want := range map[string]string{
		"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": secondARN, "ExternalId": "partner:1/x", "DurationSeconds": "3600", "RoleSessionName": "mine",
	} {
		if got := f.forms[0].Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	authorization := f.headers[0].Get("Authorization")
	if !strings.Contains(authorization, "Credential=ASIAEXAMPLE/") || !strings.Contains(authorization, "/eu-central-1/sts/aws4_request") ||
		f.headers[0].Get("X-Amz-Security-Token") != "canary-session-token" || f.urls[0] != "https://sts.eu-central-1.amazonaws.com/" {
		t.Errorf("asked %q with %v", f.urls[0], f.headers[0])
	}
}

func TestTheSignatureIsForTheRegionThatAnswers(t *testing.T) {
	for _, c := range []struct{ arn, region, endpoint, want string }{
		{secondARN, "", "", "/us-east-1/"},
		{"arn:aws-cn:iam::210987654321:role/second", "", "", "/cn-northwest-1/"},
		{"arn:minio:iam:::role/dummy-internal", "", "http://127.0.0.1:9000", "/us-east-1/"},
		{secondARN, "eu-west-3", "http://127.0.0.1:9000", "/eu-west-3/"},
	} {
		f := &far{answers: []answer{{status: 200, body: assumed}}}
		a := second(f)
		a.RoleARN, a.Region, a.Endpoint = c.arn, c.region, c.endpoint
		if _, err := a.Assume(t.Context(), firstCredentials()); err != nil {
			t.Fatal(err)
		}
		if got := f.headers[0].Get("Authorization"); !strings.Contains(got, c.want) {
			t.Errorf("%+v: signed %q", c, got)
		}
	}
}

func TestAChainGoesThroughAllRolesUnderOneName(t *testing.T) {
	f := &far{answers: []answer{{status: 200, body: success}, {status: 200, body: assumed}, {status: 200, body: assumed}}}
	third := second(f)
	third.SessionName = "own"
	got, err := awssts.Chain(exchange(f), second(f), third).Exchange(t.Context(), v1(audience))
	if err != nil || got.AccountID != "210987654321" || len(f.forms) != 3 {
		t.Fatalf("%d requests: %v", len(f.forms), err)
	}
	first := f.forms[0].Get("RoleSessionName")
	if f.forms[1].Get("RoleSessionName") != first || f.forms[2].Get("RoleSessionName") != "own" {
		t.Errorf("session names %q, %q, %q", first, f.forms[1].Get("RoleSessionName"), f.forms[2].Get("RoleSessionName"))
	}
	if !strings.Contains(f.headers[2].Get("Authorization"), "Credential=ASIASECOND/") {
		t.Error("the third role is not assumed with the second's credentials")
	}
	f.forms = nil
	named := exchange(f)
	named.SessionName = "given"
	if _, err := awssts.Chain(named, second(f)).Exchange(t.Context(), v1(audience)); err != nil || f.forms[1].Get("RoleSessionName") != "given" {
		t.Errorf("session name %q, %v", f.forms[1].Get("RoleSessionName"), err)
	}
}

func TestAChainStopsAtTheFirstRefusal(t *testing.T) {
	f := says(403, "AccessDenied", "no")
	_, err := awssts.Chain(exchange(f), second(f)).Exchange(t.Context(), v1(audience))
	if e := wantError(t, err, "AccessDenied", false); e.Op != "AssumeRoleWithWebIdentity" || len(f.forms) != 1 {
		t.Errorf("%d requests: %v", len(f.forms), err)
	}
}

func TestMistakesInAChainAreSaidBeforeTheFirstRequest(t *testing.T) {
	for want, change := range map[string]func(*awssts.AssumeRole){
		"one hour at most":            func(a *awssts.AssumeRole) { a.Duration = time.Hour + time.Second },
		"duration 14m0s":              func(a *awssts.AssumeRole) { a.Duration = 14 * time.Minute },
		"no role ARN":                 func(a *awssts.AssumeRole) { a.RoleARN = "" },
		`external id "a b"`:           func(a *awssts.AssumeRole) { a.ExternalID = "a b" },
		"external id \"x":             func(a *awssts.AssumeRole) { a.ExternalID = strings.Repeat("x", 1225) },
		"is in partition aws-us-gov,": func(a *awssts.AssumeRole) { a.Region = "us-gov-west-1" },
	} {
		f := &far{}
		a := second(f)
		change(&a)
		_, err := awssts.Chain(exchange(f), a).Exchange(t.Context(), v1(audience))
		if e := wantError(t, err, "", false); e.Op != "AssumeRole" || len(f.forms) != 0 || !strings.Contains(err.Error(), want) {
			t.Errorf("%d requests: %v, want %q", len(f.forms), err, want)
		}
	}
	_, err := second(&far{}).Assume(t.Context(), keyless.Credentials{})
	wantError(t, err, "AssumeRole", false)
}

func TestErrorsOfTheSecondRole(t *testing.T) {
	for code, want := range map[string]string{
		"AccessDenied": secondARN, "ExpiredToken": "no longer valid", "SignatureDoesNotMatch": "clock", "ValidationError": "one hour at most",
	} {
		_, err := second(says(403, code, "canary-session-token canary-secret-key")).Assume(t.Context(), firstCredentials())
		if e := wantError(t, err, code, false); e.Code != code || !strings.Contains(e.Hint, want) {
			t.Errorf("%s: code %q, hint %q", code, e.Code, e.Hint)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		f := &far{answers: []answer{{err: errors.New("reset")}, {status: 503}, {status: 200, body: assumed}}}
		if _, err := second(f).Assume(t.Context(), firstCredentials()); err != nil || len(f.forms) != 3 {
			t.Errorf("%d requests: %v", len(f.forms), err)
		}
		if f.headers[0].Get("Authorization") == f.headers[2].Get("Authorization") && f.times[0] != f.times[2] && f.times[2].Sub(f.times[0]) > time.Second {
			t.Error("an old signature was sent again")
		}
	})
}
