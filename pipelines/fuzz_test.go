package pipelines

import (
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/jwtpeek"
	"github.com/keyless-id/keyless/internal/wire"
)

func FuzzOIDCAnswer(f *testing.F) {
	f.Add([]byte(`{"oidcToken":"eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjQxMDI0NDQ4MDB9.c2ln"}`), 200)
	f.Add([]byte(`{"$id":"1","message":"There is no explicit reference to service connection","typeKey":"E"}`), 400)
	f.Add([]byte(`<html>`), 203)
	f.Add([]byte(``), 401)
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		token, err := Job{AccessToken: keyless.NewSecret("hunter2~")}.read(&wire.Answer{Status: status, Header: http.Header{}, Body: body}, time.Now())
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

func FuzzSubject(f *testing.F) {
	f.Add("/eid1/c/pub/t/MyIRAFVEd2aImaq7zN3u_w/a/rISbSSETf0KqFyZ8ppdXmA/sc/44444444-4444-4444-4444-444444444444/55555555-5555-5555-5555-555555555555")
	f.Add("sc://org/project/connection")
	f.Fuzz(func(t *testing.T, subject string) {
		id := identify(jwtpeek.Claims{Issuer: olderIssuer, Subject: subject})
		if id.Kind != KindUnknown && (id.Organization == "" || id.Project == "" || id.Name == "") {
			t.Errorf("%q is %+v", subject, id)
		}
		id = identify(jwtpeek.Claims{Subject: subject})
		if id.Kind != KindEntra {
			return
		}
		again, err := Subject(id.TenantID, id.OrganizationID, id.ConnectionID)
		if err != nil || !strings.EqualFold(again, subject) {
			t.Errorf("%q came back as %q, %v", subject, again, err)
		}
	})
}
