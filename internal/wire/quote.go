package wire

import (
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

const maxQuote = 400

// jwt matches a signed token wherever a far side may repeat it.
var jwt = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`)

// Quote makes text from a far side fit to print: one line, bounded, without
// control characters, JWTs or any of the secrets, plain or percent-encoded. The
// far side may well repeat the request in its error.
func Quote(text string, secrets ...string) string {
	for _, secret := range secrets {
		text = hide(text, secret)
	}
	text = jwt.ReplaceAllString(text, "[redacted]")
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

func hide(text, secret string) string {
	if len(secret) < 4 { // shorter ones would tear holes into ordinary words
		return text
	}
	text = strings.ReplaceAll(text, secret, "[redacted]")
	text = strings.ReplaceAll(text, url.QueryEscape(secret), "[redacted]")
	return strings.ReplaceAll(text, url.PathEscape(secret), "[redacted]")
}
