package azuremonitorprometheusexporter

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func answerOf(status int, body, after string) *http.Response {
	h := http.Header{}
	if after != "" {
		h.Set("Retry-After", after)
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func TestWhatBecomesOfARequest(t *testing.T) {
	for _, row := range []struct {
		status int
		kind   kind
		hint   string
	}{
		{200, taken, ""},
		{202, taken, ""},
		{204, taken, ""},
		{400, refused, ""},
		{422, refused, ""},
		{413, tooLarge, ""},
		{401, retried, "mode must be sigv4"},
		{403, retried, "30 minutes"},
		{404, retried, "immutable id"},
		{415, retried, "1.0"},
		{405, retried, "address"},
		{302, retried, "address"},
		{408, retried, ""},
		{429, retried, ""},
		{500, retried, ""},
		{503, retried, ""},
	} {
		v := judge(answerOf(row.status, `{"error":{"code":"Code","message":"words"}}`, ""), time.Now()) //nolint:bodyclose // it is a string
		if v.kind != row.kind || (v.hint == "") != (row.hint == "") || !strings.Contains(v.hint, row.hint) || (v.err == nil) != (row.kind == taken) {
			t.Errorf("%d: %+v", row.status, v)
		}
		if v.err != nil && !strings.Contains(v.err.Error(), "Code: words") {
			t.Errorf("%d: %v", row.status, v.err)
		}
	}
}

func TestAReceiverIsNotLeftAloneForLong(t *testing.T) {
	for after, want := range map[string]string{"7": "7s", "86400": "10m0s"} {
		v := judge(answerOf(http.StatusTooManyRequests, "", after), time.Now()) //nolint:bodyclose // it is a string
		if v.err == nil || !strings.Contains(v.err.Error(), want) {
			t.Errorf("%s: %v, want %s", after, v.err, want)
		}
	}
}

func FuzzJudge(f *testing.F) {
	f.Add(400, `{"message":"out of order sample"}`, "")
	f.Add(503, "<html>", "7")
	f.Add(429, `{"error":{"code":"x","message":"y"}}`, "Fri, 02 Jan 2026 03:05:35 GMT")
	f.Fuzz(func(t *testing.T, status int, body, after string) {
		v := judge(answerOf(status, body, after), time.Now()) //nolint:bodyclose // it is a string
		if v.err == nil {
			if v.kind != taken {
				t.Errorf("%+v", v)
			}
			return
		}
		if text := v.err.Error(); strings.ContainsAny(text, "\r\n\x00") || !utf8.ValidString(text) || utf8.RuneCountInString(text) > maxMessage+100 {
			t.Errorf("%q", text)
		}
		if v.kind != retried && v.reason == "" {
			t.Errorf("%+v", v)
		}
	})
}
