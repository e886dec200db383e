package awssts_test

import (
	"context"
	"errors"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awssts"
	"github.com/keyless-id/keyless/internal/sourcetest"
)

func TestTheRequestIsOneUnsignedForm(t *testing.T) {
	f := &far{}
	e := exchange(f)
	e.Duration, e.Policy, e.PolicyARNs = 2*time.Hour, `{"Version":"2012-10-17","Statement":[]}`, []string{"arn:aws:iam::aws:policy/ReadOnlyAccess", "arn:aws:iam::123456789012:policy/x"}
	subject := v1(audience)
	if _, err := e.Exchange(t.Context(), subject); err != nil {
		t.Fatal(err)
	}
	if len(f.urls) != 1 || f.urls[0] != "https://sts.eu-west-1.amazonaws.com/" {
		t.Errorf("asked %q", f.urls)
	}
	for name, want := range map[string]string{
		"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleArn": roleARN, "WebIdentityToken": subject.Value.Reveal(),
		"DurationSeconds": "7200", "Policy": e.Policy, "PolicyArns.member.1.arn": e.PolicyARNs[0], "PolicyArns.member.2.arn": e.PolicyARNs[1],
	} {
		if got := f.forms[0].Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"Authorization", "X-Amz-Security-Token", "X-Amz-Date"} {
		if f.headers[0].Get(name) != "" {
			t.Errorf("the request has the header %s", name)
		}
	}
}

func TestTheAnswerIsRead(t *testing.T) {
	f := &far{}
	got, err := exchange(f).Exchange(t.Context(), v1(audience))
	if err != nil {
		t.Fatal(err)
	}
	if got.AccessKeyID != "ASIAEXAMPLE" || got.SecretAccessKey.Reveal() != "canary-secret-key" || got.SessionToken.Reveal() != "canary-session-token" || got.AccountID != "123456789012" {
		t.Errorf("got %+v", got)
	}
	if want := time.Date(2100, 10, 24, 23, 0, 23, 0, time.UTC); !got.Expiry.Equal(want) || time.Since(got.Obtained) > time.Minute {
		t.Errorf("obtained %v, expiry %v", got.Obtained, got.Expiry)
	}
}

func TestTheAccountOfAnEmptyUserIsTheRoles(t *testing.T) {
	body := strings.Replace(success, "arn:aws:sts::123456789012:assumed-role/app/name", "", 1)
	for arn, want := range map[string]string{roleARN: "123456789012", "arn:minio:iam:::role/dummy-internal": ""} {
		f := &far{answers: []answer{{status: 200, body: body}}}
		e := exchange(f)
		e.RoleARN, e.Endpoint = arn, "http://127.0.0.1:9000"
		got, err := e.Exchange(t.Context(), v1(audience))
		if err != nil || got.AccountID != want {
			t.Errorf("%s: account %q, %v", arn, got.AccountID, err)
		}
		if f.urls[0] != "http://127.0.0.1:9000/" {
			t.Errorf("asked %q", f.urls[0])
		}
	}
}

func TestMistakesAreSaidBeforeAsking(t *testing.T) {
	for want, change := range map[string]func(*awssts.WebIdentity){
		"no role ARN":                 func(w *awssts.WebIdentity) { w.RoleARN = "" },
		`role ARN "arn:aws:iam::1234`: func(w *awssts.WebIdentity) { w.RoleARN = "arn:aws:iam::1234:role/some-name" },
		`want arn:aws:iam`:            func(w *awssts.WebIdentity) { w.RoleARN = "arn:aws:iam::123456789012:user/some" },
		`role ARN "arn:minio`:         func(w *awssts.WebIdentity) { w.RoleARN = "arn:minio:iam:::role/dummy" },
		`"aws-mars" is unknown`:       func(w *awssts.WebIdentity) { w.RoleARN = "arn:aws-mars:iam::123456789012:role/app" },
		"20 to 2048":                  func(w *awssts.WebIdentity) { w.RoleARN = "arn:aws" },
		"region \"cn-north-1\" is in": func(w *awssts.WebIdentity) { w.Region = "cn-north-1" },
		"region \"europe\"":           func(w *awssts.WebIdentity) { w.Region = "europe" },
		"region \"x.evil.example/\"":  func(w *awssts.WebIdentity) { w.Region = "x.evil.example/" },
		"duration 14m0s":              func(w *awssts.WebIdentity) { w.Duration = 14 * time.Minute },
		"duration 12h0m1s":            func(w *awssts.WebIdentity) { w.Duration = 12*time.Hour + time.Second },
		"duration 15m0.5s":            func(w *awssts.WebIdentity) { w.Duration = 15*time.Minute + 500*time.Millisecond },
		"duration -1h0m0s":            func(w *awssts.WebIdentity) { w.Duration = -time.Hour },
		`session name "a b"`:          func(w *awssts.WebIdentity) { w.SessionName = "a b" },
		`session name "a"`:            func(w *awssts.WebIdentity) { w.SessionName = "a" },
		"session policy: not JSON":    func(w *awssts.WebIdentity) { w.Policy = "{" },
		"policy of 2049 characters":   func(w *awssts.WebIdentity) { w.Policy = `"` + strings.Repeat("x", 2047) + `"` },
		"11 policy ARNs":              func(w *awssts.WebIdentity) { w.PolicyARNs = make([]string, 11) },
		`policy ARN "ReadOnly"`:       func(w *awssts.WebIdentity) { w.PolicyARNs = []string{"ReadOnly"} },
		"plain http":                  func(w *awssts.WebIdentity) { w.Endpoint = "http://sts.example" },
	} {
		f := &far{}
		e := exchange(f)
		change(&e)
		if e.Validate() == nil {
			t.Errorf("%s: Validate finds nothing", want)
		}
		_, err := e.Exchange(t.Context(), v1(audience))
		if err == nil || !strings.Contains(err.Error(), want) || keyless.IsTemporary(err) {
			t.Errorf("error %v, want %q", err, want)
		}
		if len(f.forms) != 0 {
			t.Errorf("%s: asked all the same", want)
		}
	}
}

func TestTheSessionIsNamedAfterTheIdentity(t *testing.T) {
	const subject = "sc://org/my project/connection"
	mirid := "/subscriptions/x/resourceGroups/y/providers/Microsoft.Compute/virtualMachines/it-vm"
	for name, c := range map[string]struct {
		claims map[string]any
		want   string
	}{
		"virtual machine": {map[string]any{"aud": audience, "sub": objectID, "xms_mirid": mirid}, `^it-vm-[0-9a-f]{8}$`},
		"object id":       {map[string]any{"aud": audience, "sub": objectID}, `^` + objectID + `-[0-9a-f]{8}$`},
		"pipeline":        {map[string]any{"aud": audience, "sub": subject}, `^sc-org-my-project-connection-[0-9a-f]{8}$`},
		"application":     {map[string]any{"aud": audience, "appid": callerID}, `^` + callerID + `-[0-9a-f]{8}$`},
		"long":            {map[string]any{"aud": audience, "sub": strings.Repeat("/x", 90) + "/end"}, `^[\w+=,.@-]*-end-[0-9a-f]{8}$`},
		"nothing":         {map[string]any{"aud": audience}, `^keyless-[0-9a-f]{8}$`},
		"no letter":       {map[string]any{"aud": audience, "sub": "ü/ß"}, `^keyless-[0-9a-f]{8}$`},
	} {
		f := &far{}
		for range 2 {
			if _, err := exchange(f).Exchange(t.Context(), jwt(c.claims)); err != nil {
				t.Fatal(err)
			}
		}
		got := f.forms[0].Get("RoleSessionName")
		if !regexp.MustCompile(c.want).MatchString(got) || len(got) > 64 || got != f.forms[1].Get("RoleSessionName") {
			t.Errorf("%s: %q, want %s", name, got, c.want)
		}
	}
	f := &far{}
	e := exchange(f)
	e.SessionName = "mine"
	if _, err := e.Exchange(t.Context(), v1(audience)); err != nil || f.forms[0].Get("RoleSessionName") != "mine" {
		t.Errorf("%v, %v", f.forms, err)
	}
}

func TestTheRetryTable(t *testing.T) {
	const key = "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements"
	for name, c := range map[string]struct {
		answer answer
		again  bool
	}{
		"issuer unreachable":  {answer{status: 400, body: fault("IDPCommunicationError", "x")}, true},
		"keys not retrieved":  {answer{status: 400, body: fault("InvalidIdentityToken", key)}, true},
		"throttled":           {answer{status: 400, body: fault("Throttling", "Rate exceeded")}, true},
		"429":                 {answer{status: 429, body: "slow"}, true},
		"slow down":           {answer{status: 503, body: fault("SlowDown", "x")}, true},
		"500":                 {answer{status: 500, body: ""}, true},
		"page of a gateway":   {answer{status: 502, body: "<html>bad gateway</html>"}, true},
		"connection broke":    {answer{err: errors.New("reset")}, true},
		"cut off":             {answer{status: 200, body: success[:700]}, true},
		"cut off early":       {answer{status: 200, body: success[:120]}, true},
		"no provider":         {answer{status: 400, body: fault("InvalidIdentityToken", "No OpenIDConnect provider found in your account for "+v1Issuer)}, false},
		"incorrect audience":  {answer{status: 400, body: fault("InvalidIdentityToken", "Incorrect token audience")}, false},
		"expired":             {answer{status: 400, body: fault("ExpiredTokenException", "Token expired")}, false},
		"denied":              {answer{status: 403, body: fault("AccessDenied", "Not authorized")}, false},
		"validation":          {answer{status: 400, body: fault("ValidationError", "x")}, false},
		"region disabled":     {answer{status: 403, body: fault("RegionDisabledException", "x")}, false},
		"rejected claim":      {answer{status: 403, body: fault("IDPRejectedClaim", "x")}, false},
		"page":                {answer{status: 200, body: "<html><p>log in</html>"}, false},
		"page, cut off":       {answer{status: 200, body: "<html><p>log in"}, false},
		"JSON":                {answer{status: 200, body: `{"access_token":"canary"}`}, false},
		"nothing":             {answer{status: 200, body: ""}, false},
		"other XML":           {answer{status: 200, body: "<GetCallerIdentityResponse/>"}, false},
		"no key":              {answer{status: 200, body: strings.Replace(success, "canary-secret-key", "", 1)}, false},
		"no session token":    {answer{status: 200, body: strings.Replace(success, "canary-session-token", "", 1)}, false},
		"strange expiry":      {answer{status: 200, body: strings.Replace(success, "2100-10-24", "tomorrow", 1)}, false},
		"another 200":         {answer{status: 206, body: success}, false},
		"redirect":            {answer{status: 307, header: http.Header{"Location": {"https://elsewhere.example"}}}, false},
		"404 without a body":  {answer{status: 404, body: ""}, false},
		"404 with credential": {answer{status: 404, body: success}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &far{answers: []answer{c.answer}}
				_, err := exchange(f).Exchange(t.Context(), v1(audience))
				e := wantError(t, err, "AssumeRoleWithWebIdentity", c.again)
				if want := map[bool]int{true: 3, false: 1}[c.again]; len(f.forms) != want {
					t.Errorf("asked %d times, want %d", len(f.forms), want)
				}
				if e.Hint == "" {
					t.Errorf("no hint for %v", err)
				}
				f = &far{answers: []answer{c.answer, {status: 200, body: success}}}
				if _, err := exchange(f).Exchange(t.Context(), v1(audience)); c.again && err != nil {
					t.Errorf("no recovery: %v", err)
				}
			})
		})
	}
}

func TestExpiredTokensHaveTheCodeThatFederateKnows(t *testing.T) {
	for _, code := range []string{"ExpiredTokenException", "ExpiredToken"} { // AWS, MinIO
		_, err := exchange(says(400, code, "expired")).Exchange(t.Context(), v1(audience))
		if e := wantError(t, err, "expired", false); e.Code != keyless.CodeExpiredToken {
			t.Errorf("%s: code %q", code, e.Code)
		}
	}
}

func TestRetryAfterAndTheCallersContextAreObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := answer{status: 429, body: fault("Throttling", "x"), header: http.Header{"Retry-After": {"9"}}}
		f := &far{answers: []answer{busy}}
		_, err := exchange(f).Exchange(t.Context(), v1(audience))
		if e := wantError(t, err, "Throttling", true); e.RetryAfter != 9*time.Second || len(f.times) != 3 || f.times[1].Sub(f.times[0]) < 9*time.Second {
			t.Errorf("after %s, at %v", e.RetryAfter, f.times)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		started := time.Now()
		f = &far{answers: []answer{busy}}
		_, err = exchange(f).Exchange(ctx, v1(audience))
		if wantError(t, err, "Throttling", true); time.Since(started) != 0 || len(f.forms) != 1 {
			t.Errorf("asked %d times in %s", len(f.forms), time.Since(started))
		}
	})
}

func TestAFarSideThatRepeatsTheRequestLeaksNothing(t *testing.T) {
	subject := v1(audience)
	echo := html.EscapeString(subject.Value.Reveal())
	for _, body := range []string{fault("ValidationError", "bad: "+echo), "<html>WebIdentityToken=" + echo + "</html>", fault(echo, "x"), strings.Replace(fault("AccessDenied", "x"), "0f0e0d0c", echo, 1)} {
		_, err := exchange(&far{answers: []answer{{status: 400, body: body}}}).Exchange(t.Context(), subject)
		wantError(t, err, "AssumeRoleWithWebIdentity", false)
	}
}

func TestHintsNameWhatTheTokenHas(t *testing.T) {
	for name, c := range map[string]struct {
		code, message string
		subject       keyless.Token
		want          []string
	}{
		"denied, v1":     {"AccessDenied", "Not authorized", v1(audience), []string{`iss="` + v1Issuer + `"`, `aud="` + audience + `"`, `sub="` + objectID + `"`}},
		"denied, v2":     {"AccessDenied", "Not authorized", v2(appID), []string{`azp="` + callerID + `"`, "oaud"}},
		"no provider":    {"InvalidIdentityToken", "No OpenIDConnect provider found in your account for " + v1Issuer, v1(audience), []string{"account 123456789012", v1Issuer, "with the slash"}},
		"no v2 provider": {"InvalidIdentityToken", "No OpenIDConnect provider found in your account for " + v2Issuer, v2(appID), []string{v2Issuer, "without a slash"}},
		"audience, v1":   {"InvalidIdentityToken", "Incorrect token audience", v1(audience), []string{"client ids", audience}},
		"audience, v2":   {"InvalidIdentityToken", "Incorrect token audience", v2(appID), []string{"azp", callerID, appID, "requestedAccessTokenVersion"}},
		"thumbprint":     {"InvalidIdentityToken", "OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint", v1(audience), []string{"private CA"}},
		"other":          {"InvalidIdentityToken", "odd", v1(audience), []string{"iss="}},
		"too long":       {"ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.", v1(audience), []string{"maximum session duration"}},
		"region":         {"RegionDisabledException", "x", v1(audience), []string{"eu-west-1"}},
		"policy":         {"MalformedPolicyDocument", "x", v1(audience), []string{"grammar"}},
		"packed":         {"PackedPolicyTooLarge", "x", v1(audience), []string{"shorter"}},
	} {
		_, err := exchange(says(400, c.code, c.message)).Exchange(t.Context(), c.subject)
		e := wantError(t, err, c.code, false)
		for _, want := range c.want {
			if !strings.Contains(e.Hint, want) {
				t.Errorf("%s: hint %q does not say %q", name, e.Hint, want)
			}
		}
	}
}

func TestASkewedClockIsTheHint(t *testing.T) {
	header := http.Header{"Date": {time.Now().Add(-10 * time.Minute).UTC().Format(http.TimeFormat)}}
	for _, code := range []string{"ExpiredTokenException", "InvalidIdentityToken"} {
		f := &far{answers: []answer{{status: 400, body: fault(code, "x"), header: header}}}
		_, err := exchange(f).Exchange(t.Context(), v1(audience))
		if e := wantError(t, err, code, false); !strings.Contains(e.Hint, "ahead of the far side's") {
			t.Errorf("%s: hint %q", code, e.Hint)
		}
	}
}

func TestTheProxyOfTheEnvironmentReachesSTS(t *testing.T) {
	connections := sourcetest.UnderProxy(t, func(ctx context.Context) {
		_, _ = awssts.WebIdentity{RoleARN: roleARN, Audience: audience}.Exchange(ctx, v1(audience))
	})
	if connections == 0 {
		t.Error("the proxy was not asked")
	}
}
