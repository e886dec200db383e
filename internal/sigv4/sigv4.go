// Package sigv4 signs requests for AWS ("AWS Signature Version 4 for API
// requests", IAM User Guide).
package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Keys are the credentials that a request is signed with.
type Keys struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string // empty for long-lived keys
}

// Scope is what a signature is good for.
type Scope struct {
	Service string // for example "sts"
	Region  string
	Time    time.Time // STS takes signatures that are less than 15 minutes old
}

const (
	algorithm  = "AWS4-HMAC-SHA256"
	timeFormat = "20060102T150405Z"
)

// Sign adds the headers Authorization, X-Amz-Date and, with a session token,
// X-Amz-Security-Token to request, whose body is to be body. All headers that the
// request has by then are signed, but for those that are rewritten on the way.
func Sign(request *http.Request, body []byte, keys Keys, scope Scope) {
	hash := sha256Hex(body)
	at := scope.Time.UTC().Format(timeFormat)
	request.Header.Set("X-Amz-Date", at)
	if keys.SessionToken != "" {
		request.Header.Set("X-Amz-Security-Token", keys.SessionToken)
	}
	if scope.Service == "s3" { // which alone wants the hash as a header too
		request.Header.Set("X-Amz-Content-Sha256", hash)
	}
	names, headers := canonicalHeaders(request)
	canonical := strings.Join([]string{
		request.Method, canonicalPath(request.URL, scope.Service), canonicalQuery(request.URL), headers, names, hash,
	}, "\n")
	credential := strings.Join([]string{at[:8], scope.Region, scope.Service, "aws4_request"}, "/")
	text := strings.Join([]string{algorithm, at, credential, sha256Hex([]byte(canonical))}, "\n")
	key := []byte("AWS4" + keys.SecretAccessKey)
	for _, part := range strings.Split(credential, "/") {
		key = mac(key, part)
	}
	request.Header.Set("Authorization", algorithm+" Credential="+keys.AccessKeyID+"/"+credential+
		", SignedHeaders="+names+", Signature="+hex.EncodeToString(mac(key, text)))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func sha256Hex(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// unsigned headers are changed or added on the way, or are the signature.
func unsigned(name string) bool {
	switch name {
	case "authorization", "user-agent", "x-amzn-trace-id", "expect", "transfer-encoding":
		return true
	}
	return false
}

// canonicalHeaders returns the signed headers' names, and one line for each.
func canonicalHeaders(request *http.Request) (names, lines string) {
	host := request.Host
	if host == "" {
		host = request.URL.Host
	}
	values := map[string]string{"host": withoutDefaultPort(request.URL.Scheme, host)}
	if request.ContentLength > 0 {
		values["content-length"] = strconv.FormatInt(request.ContentLength, 10)
	}
	for name, all := range request.Header {
		if name = strings.ToLower(name); !unsigned(name) {
			values[name] = joinValues(all)
		}
	}
	sorted := make([]string, 0, len(values))
	for name := range values {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	var b strings.Builder
	for _, name := range sorted {
		b.WriteString(name + ":" + values[name] + "\n")
	}
	return strings.Join(sorted, ";"), b.String()
}

// joinValues trims each value and folds its spaces.
func joinValues(values []string) string {
	folded := make([]string, len(values))
	for i, value := range values {
		folded[i] = strings.Join(strings.FieldsFunc(value, func(r rune) bool { return r == ' ' }), " ")
	}
	return strings.Join(folded, ",")
}

func withoutDefaultPort(scheme, host string) string {
	if port := map[string]string{"http": ":80", "https": ":443"}[scheme]; port != "" {
		return strings.TrimSuffix(host, port)
	}
	return host
}

// canonicalPath is the path as it goes over the wire, encoded once more for all
// services but S3.
func canonicalPath(u *url.URL, service string) string {
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	if service == "s3" {
		return path
	}
	return escape(path, true)
}

// canonicalQuery sorts by name, then by value, of which both are encoded strictly.
// The zero byte between them sorts before all that a name can go on with.
func canonicalQuery(u *url.URL) string {
	var pairs []string
	for name, values := range u.Query() {
		for _, value := range values {
			pairs = append(pairs, escape(name, false)+"\x00"+escape(value, false))
		}
	}
	slices.Sort(pairs)
	return strings.ReplaceAll(strings.Join(pairs, "&"), "\x00", "=")
}

// escape encodes all but RFC 3986's unreserved characters.
func escape(text string, keepSlash bool) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			strings.IndexByte("-._~", c) >= 0 || keepSlash && c == '/' {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
	}
	return b.String()
}
