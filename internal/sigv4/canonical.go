package sigv4

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// field is a header that is signed.
type field struct {
	name   string // in any case
	only   string // the value of one that is not in the map
	values []string
}

// signedFields adds the headers to sign to fields, in the order of their names.
func signedFields(fields []field, request *http.Request, service string) []field {
	host := request.Host
	if host == "" {
		host = request.URL.Host
	}
	fields = append(fields, field{name: "host", only: withoutDefaultPort(request.URL.Scheme, host)})
	if request.ContentLength > 0 && service != serverless {
		fields = append(fields, field{name: "content-length", only: strconv.FormatInt(request.ContentLength, 10)})
	}
	for name, values := range request.Header {
		if !unsigned(name) {
			fields = append(fields, field{name: name, values: values})
		}
	}
	slices.SortFunc(fields, func(a, b field) int { return compareLower(a.name, b.name) })
	return fields
}

// unsigned headers are changed or added on the way, or are the signature, or are added
// above.
func unsigned(name string) bool {
	for _, known := range [...]string{"authorization", "user-agent", "x-amzn-trace-id", "expect", "transfer-encoding", "host", "content-length"} {
		if len(known) == len(name) && compareLower(known, name) == 0 {
			return true
		}
	}
	return false
}

func appendFields(b []byte, signed []field) []byte {
	for _, f := range signed {
		b = append(append(appendLower(b, f.name), ':'), f.only...)
		for i, value := range f.values {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendFolded(b, value)
		}
		b = append(b, '\n')
	}
	return b
}

// appendFolded trims the value and makes each run of spaces one.
func appendFolded(b []byte, value string) []byte {
	value = strings.Trim(value, " ")
	for i := range len(value) {
		if value[i] != ' ' || value[i-1] != ' ' {
			b = append(b, value[i])
		}
	}
	return b
}

func appendLower(b []byte, name string) []byte {
	for i := range len(name) {
		b = append(b, lower(name[i]))
	}
	return b
}

// compareLower orders ASCII as if all of it were in lower case.
func compareLower(a, b string) int {
	for i := range min(len(a), len(b)) {
		if order := cmp.Compare(lower(a[i]), lower(b[i])); order != 0 {
			return order
		}
	}
	return cmp.Compare(len(a), len(b))
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func withoutDefaultPort(scheme, host string) string {
	switch scheme {
	case "http":
		return strings.TrimSuffix(host, ":80")
	case "https":
		return strings.TrimSuffix(host, ":443")
	}
	return host
}

// appendPath spells the path as it goes over the wire, encoded once more for all
// services but S3.
func appendPath(b []byte, u *url.URL, service string) []byte {
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	if IsS3(service) {
		return append(b, path...)
	}
	return appendEscaped(b, path, true)
}

// canonicalQuery sorts by name, then by value, of which both are encoded strictly.
// The zero byte between them sorts before all that a name can go on with.
func canonicalQuery(u *url.URL) string {
	var pairs []string
	for name, values := range u.Query() {
		for _, value := range values {
			pair := append(appendEscaped(nil, name, false), 0)
			pairs = append(pairs, string(appendEscaped(pair, value, false)))
		}
	}
	slices.Sort(pairs)
	return strings.ReplaceAll(strings.Join(pairs, "&"), "\x00", "=")
}

// appendEscaped encodes all but RFC 3986's unreserved characters.
func appendEscaped(b []byte, text string, keepSlash bool) []byte {
	const hexDigits = "0123456789ABCDEF"
	for i := range len(text) {
		c := text[i]
		if 'a' <= lower(c) && lower(c) <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0 || keepSlash && c == '/' {
			b = append(b, c)
			continue
		}
		b = append(b, '%', hexDigits[c>>4], hexDigits[c&15])
	}
	return b
}
