package awssts

import (
	"strings"
	"testing"
	"time"
	"unicode"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/jwtpeek"
	"github.com/keyless-id/keyless/internal/wire"
)

func FuzzSTSAnswer(f *testing.F) {
	f.Add([]byte(`<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>a</AccessKeyId><SecretAccessKey>b</SecretAccessKey><SessionToken>c</SessionToken><Expiration>2026-01-01T00:00:00Z</Expiration></Credentials><AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/a/b</Arn></AssumedRoleUser></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`), 200)
	f.Add([]byte(`<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error><RequestId>r</RequestId></ErrorResponse>`), 403)
	f.Add([]byte(`<AssumeRoleResponse><AssumeRoleResult>`), 200)
	f.Add([]byte(`<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>`), 200)
	f.Add([]byte(`<html>`), 502)
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		w := WebIdentity{RoleARN: "arn:aws:iam::123456789012:role/app"}
		c := call{role: w.role(), action: actionWebIdentity, hint: func(e *keyless.Error) string { return w.hint(e, jwtpeek.Claims{}) }}
		credentials, err := read(c, &wire.Answer{Status: status, Body: body}, time.Now(), c.parse)
		if err == nil {
			if status != 200 || credentials.AccessKeyID == "" || credentials.SecretAccessKey.IsZero() || credentials.SessionToken.IsZero() || credentials.Expiry.IsZero() {
				t.Errorf("status %d gave %+v", status, credentials)
			}
			return
		}
		if strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) }) || len(err.Error()) > 4096 {
			t.Errorf("not one printable line: %q", err)
		}
	})
}

func FuzzOutboundAnswer(f *testing.F) {
	f.Add([]byte(`<GetWebIdentityTokenResponse><GetWebIdentityTokenResult><WebIdentityToken>eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjQxMDI0NDQ4MDB9.c2ln</WebIdentityToken><Expiration>2026-01-01T00:00:00Z</Expiration></GetWebIdentityTokenResult></GetWebIdentityTokenResponse>`), 200)
	f.Add([]byte(`<ErrorResponse><Error><Code>OutboundWebIdentityFederationDisabled</Code></Error></ErrorResponse>`), 403)
	f.Add([]byte(`<GetWebIdentityTokenResponse>`), 200)
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		c := GetWebIdentityToken{}.call(keyless.Credentials{SecretAccessKey: keyless.NewSecret("hunter2~")})
		token, err := read(c, &wire.Answer{Status: status, Body: body}, time.Now(), parseOutbound)
		if err == nil {
			if status != 200 || token.Value.IsZero() || token.Expiry.IsZero() {
				t.Errorf("status %d gave %+v", status, token)
			}
			return
		}
		if strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) }) || len(err.Error()) > 4096 || strings.Contains(err.Error(), "hunter2~") {
			t.Errorf("not one printable line without secrets: %q", err)
		}
	})
}

func FuzzSessionName(f *testing.F) {
	f.Add("sc://org/project/connection", "/subscriptions/x/virtualMachines/vm")
	f.Add("", "")
	f.Add(strings.Repeat("ü-", 100), "///")
	f.Fuzz(func(t *testing.T, subject, mirid string) {
		got := sessionName(jwtpeek.Claims{Subject: subject, All: map[string]any{"xms_mirid": mirid}})
		if !name().MatchString(got) {
			t.Errorf("session name %q", got)
		}
	})
}
