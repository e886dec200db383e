package awshost

import (
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/keyless-id/keyless/internal/wire"
)

func FuzzCredentialsAnswer(f *testing.F) {
	f.Add([]byte(`{"Code":"Success","AccessKeyId":"A","SecretAccessKey":"B","Token":"C","Expiration":"2026-01-01T00:00:00Z","AccountId":"123456789012"}`))
	f.Add([]byte(`{"Code":"AssumeRoleUnauthorizedAccess","Message":"no"}`))
	f.Add([]byte(`<html>`))
	f.Fuzz(func(t *testing.T, body []byte) {
		e := endpoint{op: opContainer, secrets: []string{"hunter2~"}, hint: containerHint}
		credentials, err := e.read(&wire.Answer{Status: 200, Header: http.Header{}, Body: body}, time.Now())
		if err == nil {
			if credentials.AccessKeyID == "" || credentials.SecretAccessKey.IsZero() || credentials.SessionToken.IsZero() || credentials.Expiry.IsZero() {
				t.Errorf("got %+v", credentials)
			}
			return
		}
		if strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) }) || len(err.Error()) > 4096 || strings.Contains(err.Error(), "hunter2~") {
			t.Errorf("not one printable line without secrets: %q", err)
		}
	})
}

func FuzzContainerAddress(f *testing.F) {
	f.Add("/v2/x", "")
	f.Add("", "http://127.0.0.1.example/")
	f.Add("", "http://[fe80::1%25eth0]/")
	f.Fuzz(func(t *testing.T, relative, full string) {
		u, err := Container{RelativeURI: relative, FullURI: full}.address()
		if err != nil {
			return
		}
		if u.User != nil || u.Scheme != "https" && !allowedHost(u.Hostname()) || relative != "" && u.Host != "169.254.170.2" {
			t.Errorf("%q %q led to %s", relative, full, u)
		}
	})
}
