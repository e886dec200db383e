package transport

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

const (
	wanted  = `{"access_token":{"nbf":{"essential":true,"value":"1700000000"}},"x":"??>>~~"}`
	another = `{"access_token":{"acrs":{"essential":true,"value":"c1"}}}`
)

func TestAClaimsChallengeIsFoundWhereverItIs(t *testing.T) {
	std, url := base64.StdEncoding.EncodeToString([]byte(wanted)), base64.URLEncoding.EncodeToString([]byte(wanted))
	if std == url || !strings.HasSuffix(std, "=") {
		t.Fatalf("%s does not tell the alphabets apart", std)
	}
	other := base64.StdEncoding.EncodeToString([]byte(another))
	for name, c := range map[string]struct {
		lines []string
		want  string
	}{
		"Microsoft Graph's":   {[]string{`Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", client_id="00000003-0000-0000-c000-000000000000", error="insufficient_claims", claims="` + std + `"`}, wanted},
		"without padding":     {[]string{`Bearer error="insufficient_claims", claims="` + strings.TrimRight(std, "=") + `"`}, wanted},
		"for addresses":       {[]string{`Bearer error="insufficient_claims", claims="` + url + `"`}, wanted},
		"both":                {[]string{`Bearer error="insufficient_claims", claims="` + strings.TrimRight(url, "=") + `"`}, wanted},
		"the other order":     {[]string{`Bearer claims="` + std + `",error="insufficient_claims"`}, wanted},
		"case and blanks":     {[]string{`  bearer ERROR = "insufficient_claims" ,  Claims="` + std + `"`}, wanted},
		"not quoted":          {[]string{`Bearer error=insufficient_claims, claims=` + std}, wanted},
		"the second line":     {[]string{`Basic realm="x"`, `Bearer error="insufficient_claims", claims="` + std + `"`}, wanted},
		"the second on it":    {[]string{`Negotiate YII/abc==, Bearer error="insufficient_claims", claims="` + std + `", Basic realm="a, b"`}, wanted},
		"a quote in a string": {[]string{`Bearer error_description="say \"Bearer claims=\\", error="insufficient_claims", claims="` + std + `"`}, wanted},
		"a bad one before":    {[]string{`Bearer error="insufficient_claims", claims="!"`, `Bearer error="insufficient_claims", claims="` + std + `"`}, wanted},
		"the first of two":    {[]string{`Bearer error="insufficient_claims", claims="` + std + `", claims="` + other + `"`}, wanted},

		"none":                 {nil, ""},
		"nothing":              {[]string{"", ",,", "Bearer", "Bearer ", `="x"`}, ""},
		"another error":        {[]string{`Bearer error="invalid_token", claims="` + std + `"`}, ""},
		"no error":             {[]string{`Bearer claims="` + std + `"`}, ""},
		"a step-up":            {[]string{`Bearer error="insufficient_user_authentication", acr_values="myACR", claims="` + std + `"`}, ""},
		"another scheme":       {[]string{`PoP error="insufficient_claims", claims="` + std + `"`}, ""},
		"of two challenges":    {[]string{`Bearer error="insufficient_claims", Basic claims="` + std + `"`}, ""},
		"within a string":      {[]string{`Bearer realm="error=insufficient_claims, claims=` + std + `"`}, ""},
		"no claims":            {[]string{`Bearer error="insufficient_claims"`}, ""},
		"empty claims":         {[]string{`Bearer error="insufficient_claims", claims=""`}, ""},
		"not base64":           {[]string{`Bearer error="insufficient_claims", claims="{}"`}, ""},
		"not JSON":             {[]string{`Bearer error="insufficient_claims", claims="` + base64.StdEncoding.EncodeToString([]byte("hello")) + `"`}, ""},
		"not an object":        {[]string{`Bearer error="insufficient_claims", claims="` + base64.StdEncoding.EncodeToString([]byte("null")) + `"`}, ""},
		"a list":               {[]string{`Bearer error="insufficient_claims", claims="` + base64.StdEncoding.EncodeToString([]byte("[1]")) + `"`}, ""},
		"a string that is cut": {[]string{`Bearer error="insufficient_claims", claims="` + std}, ""},
		"endless":              {[]string{`Bearer error="insufficient_claims", claims="` + base64.StdEncoding.EncodeToString([]byte(`{"x":"`+strings.Repeat("x", maxClaims)+`"}`)) + `"`}, ""},
	} {
		if got := claimsChallenge(http.Header{"Www-Authenticate": c.lines}); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func FuzzChallenge(f *testing.F) {
	f.Add(`Bearer realm="", error="insufficient_claims", claims="eyJhIjp7fX0="`)
	f.Add(`Negotiate YII==, Bearer error=insufficient_claims,claims=eyJhIjp7fX0`)
	f.Add(`a b="\", c`)
	f.Add("Bearer \x00=\"\xff\", =, ==")
	f.Fuzz(func(t *testing.T, line string) {
		for _, c := range challenges(line) {
			if c.scheme == "" || strings.ContainsAny(c.scheme, " ,=\"") {
				t.Errorf("scheme %q", c.scheme)
			}
			for name, value := range c.params {
				if name == "" || len(value) > len(line) {
					t.Errorf("%q = %q", name, value)
				}
			}
		}
		got := claimsChallenge(http.Header{"Www-Authenticate": {line}})
		if got == "" {
			return
		}
		if !json.Valid([]byte(got)) || !strings.Contains(line, "insufficient_claims") {
			t.Errorf("%q", got)
		}
		again := `Basic realm="x", Bearer claims="` + base64.RawURLEncoding.EncodeToString([]byte(got)) + `", error="insufficient_claims"`
		if len(got) < maxClaims/2 && claimsChallenge(http.Header{"Www-Authenticate": {again}}) != got {
			t.Errorf("%q is not found again", got)
		}
	})
}
