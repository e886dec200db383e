package oauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/pattern"
	"github.com/keyless-id/keyless/internal/wire"
)

// Failure is an error answer (RFC 6749 section 5.2) with what Entra adds to it.
type Failure struct {
	Name        string `json:"error"`
	Description string `json:"error_description"`
	Codes       []int  `json:"error_codes"`
	Trace       string `json:"trace_id"`
	Correlation string `json:"correlation_id"`
}

// ParseFailure reads an error answer; false: it is none.
func ParseFailure(body []byte) (Failure, bool) {
	var f Failure
	if json.Unmarshal(body, &f) != nil {
		// One member of an unexpected type must not hide the others.
		f = loose(body)
	}
	return f, f.Name != "" || f.Description != ""
}

func loose(body []byte) Failure {
	var members map[string]any
	_ = json.Unmarshal(body, &members) // what does not parse has no members
	text := func(name string) string { value, _ := members[name].(string); return value }
	return Failure{Name: text("error"), Description: text("error_description"), Trace: text("trace_id"), Correlation: text("correlation_id")}
}

var aadsts = pattern.Lazy(`^AADSTS(\d{4,9})\s*:\s*`)

// Code is the AADSTS code where there is one, else the OAuth error.
func (f Failure) Code() string {
	if number := f.number(); number != 0 {
		return "AADSTS" + strconv.Itoa(number)
	}
	return wire.Quote(f.Name)
}

func (f Failure) number() int {
	if found := aadsts().FindStringSubmatch(f.Description); found != nil {
		number, _ := strconv.Atoi(found[1])
		return number
	}
	if len(f.Codes) > 0 && f.Codes[0] > 0 {
		return f.Codes[0]
	}
	return 0
}

// Mentioned returns the first AADSTS code in what another program says, and its hint;
// both are empty if there is none.
func Mentioned(text string) (code, hint string) {
	at := strings.Index(text, "AADSTS")
	if at < 0 {
		return "", ""
	}
	number := Failure{Description: text[at:]}.number()
	if number == 0 {
		return "", ""
	}
	return "AADSTS" + strconv.Itoa(number), Hint(number)
}

// tail is what Entra appends to every description, on lines of its own or not.
var tail = pattern.Lazy(`(?s)(\s+(Trace ID|Correlation ID|Timestamp): .*|[\r\n].*)$`)

// Message is the first line of the description, and the ids that Microsoft's
// support asks for.
func (f Failure) Message(secrets ...string) string {
	text := aadsts().ReplaceAllString(strings.TrimSpace(f.Description), "")
	text = wire.Quote(tail().ReplaceAllString(text, ""), secrets...)
	if text == "" {
		text = wire.Quote(f.Name, secrets...)
	}
	return text + f.ids(secrets)
}

var id = pattern.Lazy(`^[0-9A-Za-z-]{8,64}$`)

func (f Failure) ids(secrets []string) string {
	var parts []string
	for _, part := range [][2]string{{"trace ", f.Trace}, {"correlation ", f.Correlation}} {
		if id().MatchString(part[1]) {
			parts = append(parts, part[0]+wire.Quote(part[1], secrets...))
		}
	}
	if parts == nil {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// temporary are codes that go away by themselves, whatever the status.
func (f Failure) temporary() bool {
	return f.Name == "temporarily_unavailable" || f.number() == 90033
}

// Error words an error answer of a token endpoint. Its hint is empty for codes
// that need none or are unknown.
func Error(op string, a *wire.Answer, secrets ...string) *keyless.Error {
	e := &keyless.Error{
		Hop: keyless.HopSource, Op: op,
		Temporary:  a.Status == http.StatusTooManyRequests || a.Status == http.StatusRequestTimeout || a.Status >= 500,
		RetryAfter: a.RetryAfter(),
	}
	f, ok := ParseFailure(a.Body)
	if !ok {
		e.Code, e.Message, e.Hint = "HTTP "+strconv.Itoa(a.Status), excerpt(a, secrets), statusHint(a.Status)
		return e
	}
	e.Code, e.Message, e.Hint = f.Code(), f.Message(secrets...), Hint(f.number())
	e.Temporary = e.Temporary || f.temporary()
	if e.Hint == "" {
		e.Hint = f.hint(e.Temporary)
	}
	return e
}

const (
	hintBusy    = "the far side is busy or out of order; it was asked several times, and may answer later"
	hintRefused = "the far side refused this identity; its message says why"
	hintOther   = "the address answers, but not like a token endpoint; is the address right, and is a proxy or captive portal answering in its place?"
)

// hint is for codes that Hint does not know.
func (f Failure) hint(temporary bool) string {
	switch {
	case temporary:
		return hintBusy
	case f.number() != 0:
		return "look the code up at https://login.microsoftonline.com/error?code=" + strconv.Itoa(f.number())
	}
	return hintRefused
}

func statusHint(status int) string {
	if status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500 {
		return hintBusy
	}
	return hintOther
}

// excerpt is empty for what may be a token or a key in spite of all.
func excerpt(a *wire.Answer, secrets []string) string {
	for _, member := range []string{"access_token", "oidcToken", "SecretAccessKey"} {
		if bytes.Contains(a.Body, []byte(member)) {
			return ""
		}
	}
	return a.Excerpt(secrets...)
}

// Garbage words a 200 that holds no token: HTML of a captive portal, an empty
// token, JSON cut off. Only the last is worth another try.
func Garbage(op string, a *wire.Answer, err error, secrets ...string) *keyless.Error {
	e := &keyless.Error{Hop: keyless.HopSource, Op: op, Err: err, Hint: hintOther, Temporary: errors.Is(err, errCutOff)}
	if page := bytes.TrimSpace(a.Body); len(page) > 0 && page[0] == '<' {
		e.Message = "the answer is a page that begins " + strconv.Quote(begin(excerpt(a, secrets)))
	}
	if e.Temporary {
		e.Hint = "the connection loses data; is a proxy in the way?"
	}
	return e
}

// begin is enough of a page to recognise it by.
func begin(text string) string {
	const most = 80
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
