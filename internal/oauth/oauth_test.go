package oauth_test

import (
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/keyless-id/keyless/internal/oauth"
	"github.com/keyless-id/keyless/internal/wire"
)

var obtained = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func TestLifetimesInAllSpellings(t *testing.T) {
	for body, want := range map[string][2]time.Duration{
		`{"access_token":"a","expires_in":3599}`:                                             {3599 * time.Second, 0},
		`{"access_token":"a","expires_in":"3599"}`:                                           {3599 * time.Second, 0},
		`{"access_token":"a","expires_in":3599.0}`:                                           {3599 * time.Second, 0},
		`{"access_token":"a","token_type":"bearer","expires_in":86399,"refresh_in":"43199"}`: {86399 * time.Second, 43199 * time.Second},
		`{"access_token":"a","expires_on":"1767272400"}`:                                     {time.Hour, 0},
		`{"access_token":"a","expires_on":1767272400,"expires_in":"86399"}`:                  {time.Hour, 0},
		`{"access_token":"a","expires_on":1767272400,"expires_in":60,"refresh_in":null}`:     {time.Minute, 0},
		`{"access_token":"a","expires_in":60,"refresh_in":60}`:                               {time.Minute, 0},
		`{"access_token":"a","expires_in":60,"refresh_in":-1}`:                               {time.Minute, 0},
		`{"access_token":"a","expires_in":60,"refresh_in":1e15}`:                             {time.Minute, 0},
		`{"access_token":"a","expires_on":1767265200}`:                                       {-time.Hour, 0},
	} {
		got, err := oauth.Token([]byte(body), obtained)
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		if got.Expiry.Sub(obtained) != want[0] || got.Obtained != obtained || got.Value.Reveal() != "a" {
			t.Errorf("%s: expiry %v", body, got.Expiry)
		}
		if want[1] == 0 != got.RefreshAt.IsZero() || want[1] != 0 && got.RefreshAt.Sub(obtained) != want[1] {
			t.Errorf("%s: refresh at %v", body, got.RefreshAt)
		}
	}
}

func TestWhatIsNoTokenIsRefusedAndNotQuoted(t *testing.T) {
	for body, want := range map[string]string{
		``:                             "not JSON",
		`hunter2`:                      "not JSON",
		`"hunter2"`:                    "unexpected JSON string",
		`{"access_token":"hunter2`:     "cut off",
		`{"access_token":["hunter2"]}`: "unexpected JSON",
		`{"access_token":""}`:          "empty access_token",
		`{"access_token":"hunter2 x"}`: "spaces",
		`{"access_token":"hunter2\n"}`: "spaces",
		`{"access_token":"hunter2ü"}`:  "spaces",
		`{"access_token":"hunter2"}`:   "how long",
		`{"access_token":"hunter2","token_type":"pop","expires_in":1}`: "not Bearer",
		`{"access_token":"hunter2","expires_in":"soon"}`:               "number of seconds",
		`{"access_token":"hunter2","expires_in":"NaN"}`:                "number of seconds",
		`{"access_token":"hunter2","expires_in":-1}`:                   "impossible",
		`{"access_token":"hunter2","expires_in":1e14}`:                 "impossible",
		`{"access_token":"hunter2","expires_on":1e15}`:                 "impossible",
		`{"access_token":"hunter2","expires_on":-1}`:                   "impossible",
	} {
		_, err := oauth.Token([]byte(body), obtained)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
}

func TestEveryDateThatPlatformsWrite(t *testing.T) {
	for text, want := range map[string]time.Time{
		`"01/02/2026 13:04:05 +00:00"`:    time.Date(2026, 1, 2, 13, 4, 5, 0, time.UTC), // App Service of 2017 on Linux
		`"1/2/2026 1:04:05 PM +00:00"`:    time.Date(2026, 1, 2, 13, 4, 5, 0, time.UTC), // the same on Windows
		`"1/10/2026 12:04:05 AM +00:00"`:  time.Date(2026, 1, 10, 0, 4, 5, 0, time.UTC),
		`"09/14/2026 00:00:00 PM +00:00"`: time.Date(2026, 9, 14, 12, 0, 0, 0, time.UTC), // Microsoft's own example
		`"09/14/2026 13:00:00 PM +00:00"`: time.Date(2026, 9, 14, 13, 0, 0, 0, time.UTC),
		`"01/02/2026 13:04:05 +02:00"`:    time.Date(2026, 1, 2, 11, 4, 5, 0, time.UTC),
		`"01/02/2026 13:04:05"`:           time.Date(2026, 1, 2, 13, 4, 5, 0, time.UTC),
		`"2026-01-02 13:04:05"`:           time.Date(2026, 1, 2, 13, 4, 5, 0, time.UTC),
		`"2026-01-02T13:04:05Z"`:          time.Date(2026, 1, 2, 13, 4, 5, 0, time.UTC),
		`"2026-01-02T13:04:05.7+01:00"`:   time.Date(2026, 1, 2, 12, 4, 5, 0, time.UTC),
		`"1767359045"`:                    time.Unix(1767359045, 0),
		`1767359045`:                      time.Unix(1767359045, 0),
	} {
		token, err := oauth.Token([]byte(`{"access_token":"a","expires_on":`+text+`}`), obtained)
		if err != nil || !token.Expiry.Equal(want) {
			t.Errorf("%s: %v, %v, want %v", text, token.Expiry, err, want)
		}
	}
	for _, text := range []string{`"02-01-2026"`, `"13/13/2026 00:00:00"`, `"tomorrow"`, `""`, `true`, `{}`, `"hunter2"`} {
		_, err := oauth.Token([]byte(`{"access_token":"a","expires_on":`+text+`}`), obtained)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestDescriptionsOfAllKinds(t *testing.T) {
	for name, c := range map[string]struct{ body, code, message string }{
		"one line":       {`{"error":"e","error_description":"AADSTS90002: Tenant not found. Trace ID: a Correlation ID: b Timestamp: c"}`, "AADSTS90002", "Tenant not found."},
		"lines":          {"{\"error\":\"e\",\"error_description\":\"AADSTS90002: Tenant not found.\\r\\nTrace ID: a\\r\\nCorrelation ID: b\"}", "AADSTS90002", "Tenant not found."},
		"code elsewhere": {`{"error":"e","error_description":"Odd.","error_codes":[90002]}`, "AADSTS90002", "Odd."},
		"no code":        {`{"error":"invalid_request","error_description":"Identity not found"}`, "invalid_request", "Identity not found"},
		"only a name":    {`{"error":"invalid_request"}`, "invalid_request", "invalid_request"},
		"strange codes":  {`{"error":"e","error_description":"Odd.","error_codes":"many"}`, "e", "Odd."},
		"with an id":     {`{"error":"e","error_description":"Odd.","trace_id":"0f0e0d0c-1"}`, "e", "Odd. (trace 0f0e0d0c-1)"},
		"forged ids":     {`{"error":"e","error_description":"Odd.","trace_id":"a b c d e f g h","correlation_id":"x"}`, "e", "Odd."},
	} {
		f, ok := oauth.ParseFailure([]byte(c.body))
		if !ok || f.Code() != c.code || f.Message() != c.message {
			t.Errorf("%s: %v, code %q, message %q", name, ok, f.Code(), f.Message())
		}
	}
	for _, body := range []string{"", "{}", "[]", "<html>", `{"error":{"code":"x"}}`} {
		if f, ok := oauth.ParseFailure([]byte(body)); ok {
			t.Errorf("%s: %+v", body, f)
		}
	}
}

func FuzzTokenAnswer(f *testing.F) {
	f.Add([]byte(`{"token_type":"Bearer","expires_in":3599,"access_token":"a.b.c","refresh_in":"1"}`), 200)
	f.Add([]byte(`{"access_token":"a","expires_on":"1767272400"}`), 200)
	f.Add([]byte(`{"error":"e","error_description":"AADSTS90002: x Trace ID: y","error_codes":[1]}`), 400)
	f.Add([]byte(`{"access_token":"a","expires_on":"1/2/2026 1:04:05 PM +00:00"}`), 200)
	f.Add([]byte("<html>"), 502)
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		answer := &wire.Answer{Status: status, Header: http.Header{}, Body: body}
		token, err := oauth.Token(body, obtained)
		if err == nil {
			if value := token.Value.Reveal(); value == "" || strings.ContainsAny(value, " \r\n") {
				t.Errorf("token %q", value)
			}
			if token.Expiry.IsZero() || token.Expiry.Sub(obtained) > 400*24*time.Hour || token.RefreshAt.After(token.Expiry) {
				t.Errorf("expiry %v, refresh at %v", token.Expiry, token.RefreshAt)
			}
			return
		}
		for _, e := range []error{oauth.Error("op", answer, "hunter2"), oauth.Garbage("op", answer, err, "hunter2")} {
			text := e.Error()
			if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) || len(text) > 4096 || strings.Contains(text, "hunter2") {
				t.Errorf("not fit to print: %q", text)
			}
		}
	})
}
