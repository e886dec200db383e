package wire

import (
	"fmt"
	"html"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/keyless-id/keyless/internal/pattern"
)

const maxQuote = 400

// jwt matches a signed token wherever a far side may repeat it.
var jwt = pattern.Lazy(`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`)

// Quote makes text from a far side fit to print: one line, bounded, without
// control characters, JWTs or any of the secrets, plain or percent-encoded. The
// far side may well repeat the request in its error.
func Quote(text string, secrets ...string) string {
	for _, secret := range secrets {
		text = hide(text, secret)
	}
	text = jwt().ReplaceAllString(text, "[redacted]")
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == utf8.RuneError
	}), " ")
	if len(text) <= maxQuote {
		return text
	}
	cut := maxQuote
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// Excerpt is the answer's body, made fit to print with [Quote].
func (a *Answer) Excerpt(secrets ...string) string { return Quote(string(a.Body), secrets...) }

// hide removes the secret as it is and as it looks after percent, HTML or JSON
// encoding, or a mixture of them: a page that repeats a form has gone through some.
func hide(text, secret string) string {
	if len(secret) < 4 { // shorter ones would tear holes into ordinary words
		return text
	}
	text = strings.ReplaceAll(text, secret, "[redacted]")
	var expression strings.Builder
	for _, r := range secret {
		expression.WriteString(spellings(r))
	}
	encoded, err := regexp.Compile(expression.String())
	if err != nil { // too long for a pattern; such secrets are JWTs, which Quote knows
		return text
	}
	return encoded.ReplaceAllLiteralString(text, "[redacted]")
}

func spellings(r rune) string {
	plain := regexp.QuoteMeta(string(r))
	if unicode.IsLetter(r) && r < utf8.RuneSelf || unicode.IsDigit(r) {
		return plain
	}
	var percent strings.Builder
	for _, b := range []byte(string(r)) {
		fmt.Fprintf(&percent, "%%%02x", b)
	}
	forms := []string{
		plain, `\\` + plain, regexp.QuoteMeta(html.EscapeString(string(r))), "(?i:" + percent.String() + ")",
		fmt.Sprintf(`(?i:\\u%04x|&#x0*%x;)`, r, r), fmt.Sprintf("&#0*%d;", r),
	}
	switch r {
	case ' ':
		forms = append(forms, `\+`)
	case '"':
		forms = append(forms, "&quot;")
	case '\'':
		forms = append(forms, "&apos;")
	}
	return "(?:" + strings.Join(forms, "|") + ")"
}
