package sourcetest

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
)

// failures are far sides in disorder. Each answer repeats the whole request
// wherever it can, because some far sides do.
func (c Contract) failures(t *testing.T) {
	t.Helper()
	type answer struct {
		status    int
		kind      string
		body      func(request) string
		temporary bool
	}
	const page, object = "text/html; charset=utf-8", "application/json"
	fixed := func(text string) func(request) string { return func(request) string { return text } }
	for name, a := range map[string]answer{
		"500 with an echo":           {500, object, func(r request) string { return failure("server_error", r.text()) }, true},
		"500 of a proxy":             {502, page, func(r request) string { return "<html>" + r.text() + "</html>" }, true},
		"500 without a body":         {500, "", fixed(""), true},
		"401 with an echo":           {401, object, func(r request) string { return failure("invalid_client", r.text()) }, false},
		"401 without a body":         {401, "", fixed(""), false},
		"401 in two lines":           {401, object, fixed(failure("invalid_client", "AADSTS7000215: first\r\nTrace ID: \x1b[31mred")), false},
		"400 with a page":            {400, page, func(r request) string { return "<pre>" + html.EscapeString(r.text()) + "</pre>" }, false},
		"200 with a page":            {200, page, func(r request) string { return "<html>" + r.text() + "</html>" }, false},
		"200 with a page as JSON":    {200, object, func(r request) string { return "<html>" + r.text() + "</html>" }, false},
		"200 with nothing":           {200, object, fixed(""), false},
		"200 with an empty object":   {200, object, fixed("{}"), false},
		"200 with an array":          {200, object, fixed("[]"), false},
		"200 with null":              {200, object, fixed("null"), false},
		"200 with an empty token":    {200, object, fixed(`{"access_token":"","expires_in":3599}`), false},
		"200 with a token of spaces": {200, object, fixed(`{"access_token":"a b","expires_in":3599}`), false},
		"200 with half a token":      {200, object, nil, true},
		"200 with half as text":      {200, "text/plain", nil, true},
		"206 with a token":           {206, object, fixed(goodAnswer()), false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				far := &farSide{answer: func(r *http.Request, seen request) (*http.Response, error) {
					if a.body == nil {
						return c.half(r, seen, a.kind)
					}
					return reply(r, a.status, a.kind, a.body(seen)), nil
				}}
				_, err := c.New(c.far(far)).Token(t.Context())
				if e := c.check(t, err); e.Temporary != a.temporary {
					t.Errorf("Temporary is %v: %v", e.Temporary, err)
				}
				c.checkTries(t, len(far.seen()), a.temporary)
			})
		})
	}
	t.Run("a connection that breaks", func(t *testing.T) { synctest.Test(t, c.broken) })
}

// half is the good answer without its end.
func (c Contract) half(r *http.Request, seen request, kind string) (*http.Response, error) {
	whole, err := c.good().answer(r, seen)
	if err != nil {
		return nil, err
	}
	defer whole.Body.Close()
	body, err := io.ReadAll(whole.Body)
	if err != nil {
		return nil, err
	}
	return reply(r, http.StatusOK, kind, string(body[:max(0, len(body)-8)])), nil
}

// checkTries demands that only what may pass is asked again.
func (c Contract) checkTries(t *testing.T, tries int, temporary bool) {
	t.Helper()
	most := max(c.Cold, c.Refused, 1)
	switch {
	case temporary && tries < 2:
		t.Error("not tried again")
	case !temporary && tries > most:
		t.Errorf("tried %d times", tries)
	}
}

func (c Contract) broken(t *testing.T) {
	t.Helper()
	far := &farSide{answer: func(_ *http.Request, seen request) (*http.Response, error) {
		return nil, fmt.Errorf("reading from %s: %w", strings.ToUpper(seen.host), io.ErrUnexpectedEOF)
	}}
	_, err := c.New(c.far(far)).Token(t.Context())
	if e := c.check(t, err); !e.Temporary {
		t.Error("not temporary")
	}
}

// serve lets a handler answer in the process.
func serve(handler http.Handler, r *http.Request, body string) *http.Response {
	again := r.Clone(r.Context())
	again.Body = io.NopCloser(strings.NewReader(body))
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, again)
	response := recorder.Result()
	response.Request = r
	return response
}
