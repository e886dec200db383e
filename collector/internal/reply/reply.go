// Package reply reads what is the same in the answers of all far sides.
package reply

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Printable makes one line of the words of others, of at most size bytes.
func Printable(text string, size int) string {
	if len(text) > size {
		text = text[:size]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == '\u007f' || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, ""))
}

// RetryAfter reads both forms of the header (RFC 9110, section 10.2.3), up to an hour;
// zero: the far side does not say.
func RetryAfter(header http.Header, now time.Time) time.Duration {
	const longest = time.Hour
	text := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, longest)
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), longest)
	}
	return 0
}
