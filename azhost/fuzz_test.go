package azhost

import (
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/wire"
)

func FuzzIMDSAnswer(f *testing.F) {
	f.Add([]byte(`{"access_token":"a.b.c","expires_in":"86399","expires_on":"4102444800","token_type":"Bearer"}`), 200)
	f.Add([]byte(`{"error":"invalid_request","error_description":"Identity not found"}`), 400)
	f.Add([]byte(`unreachable`), 403)
	f.Add([]byte(``), 410)
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		fuzzAnswer(t, ManagedIdentity{}.endpoint(), body, status)
	})
}

func FuzzAppServiceAnswer(f *testing.F) {
	f.Add([]byte(`{"access_token":"a.b.c","expires_on":"1/2/2100 3:04:05 PM +00:00","resource":"r","token_type":"Bearer"}`), 200)
	f.Add([]byte(`{"statusCode":400,"message":"No Managed Identity found"}`), 400)
	f.Add([]byte(`{"error":{"code":"SecretHeaderNotFound","message":"hunter2"}}`), 400)
	f.Add([]byte(`Invalid secret token header: hunter2`), 401)
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		fuzzAnswer(t, AppService{Header: keyless.NewSecret("hunter2")}.endpoint(), body, status)
		fuzzAnswer(t, ServiceFabric{Header: keyless.NewSecret("hunter2")}.endpoint(nil), body, status)
	})
}

func fuzzAnswer(t *testing.T, e endpoint, body []byte, status int) {
	t.Helper()
	token, err := e.read(&wire.Answer{Status: status, Header: http.Header{}, Body: body}, time.Now())
	if err == nil {
		if status != 200 || token.Value.IsZero() || token.Expiry.IsZero() {
			t.Errorf("status %d gave %+v", status, token)
		}
		return
	}
	if strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) }) || len(err.Error()) > 4096 {
		t.Errorf("not one printable line: %q", err)
	}
	if v := judge(err, 80*time.Second); v.Again {
		t.Errorf("again after 80 s: %v", err)
	}
}
