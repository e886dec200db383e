package reply

import (
	"net/http"
	"testing"
	"time"
)

func TestWordsOfOthersStayOnOneLine(t *testing.T) {
	if got := Printable("a\nb\x7fc\xff", 10); got != "a b c" {
		t.Errorf("got %q", got)
	}
	if got := Printable("abc", 2); got != "ab" {
		t.Errorf("got %q", got)
	}
}

func TestRetryAfterIsSecondsOrADate(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "-1": 0, "x": 0, "1e3": 0, "999999": time.Hour, "99999999999999999999": 0,
		"Fri, 02 Jan 2026 03:04:35 GMT": 30 * time.Second, "Fri, 02 Jan 2026 03:04:00 GMT": 0,
	} {
		if got := RetryAfter(http.Header{"Retry-After": {text}}, now); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}
