package wire

import (
	"encoding/json"
	"html"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

func TestASecretIsHiddenHoweverItIsEncoded(t *testing.T) {
	const secret = `hunter2~&"<ö>'+ /=%41\hunter3`
	raw, err := json.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"plain":             secret,
		"form":              url.QueryEscape(secret),
		"path":              url.PathEscape(secret),
		"lower-case form":   strings.ToLower(url.QueryEscape(secret)),
		"page":              html.EscapeString(secret),
		"JSON":              string(raw),
		"Go":                strconv.Quote(secret),
		"Go, ASCII":         strconv.QuoteToASCII(secret),
		"form in a page":    html.EscapeString(url.QueryEscape(secret)),
		"twice":             secret + " and " + url.QueryEscape(secret),
		"spaces as percent": strings.ReplaceAll(url.QueryEscape(secret), "+", "%20"),
	} {
		got := Quote("before "+text+" after", secret)
		if strings.Contains(got, "hunter") || !strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, " after") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestALongSecretIsHidden(t *testing.T) {
	secret := strings.Repeat("hunter2.", 2500)
	if got := Quote("echo "+url.QueryEscape(secret), secret); strings.Contains(got, "hunter2") {
		t.Errorf("%q", got)
	}
}
