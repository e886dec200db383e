package sandbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// signatureProblem is what is wrong with a signed request; STS and S3 have
// different words for it.
type signatureProblem string

const (
	unsigned         signatureProblem = "unsigned"
	malformed        signatureProblem = "malformed"
	unknownAccessKey signatureProblem = "unknown access key"
	wrongToken       signatureProblem = "wrong session token"
	sessionExpired   signatureProblem = "session expired"
	wrongTime        signatureProblem = "wrong time"
	presignExpired   signatureProblem = "presigned request expired"
	wrongScope       signatureProblem = "wrong scope"
	mismatch         signatureProblem = "signature mismatch"
	notCovered       signatureProblem = "header not signed"
	wrongPayload     signatureProblem = "payload mismatch"
)

type signatureError struct {
	problem signatureProblem
	detail  string
}

func signatureFault(problem signatureProblem, format string, args ...any) *signatureError {
	return &signatureError{problem, fmt.Sprintf(format, args...)}
}

// signature is a Signature Version 4 as a request carries it, in the
// Authorization header or in the query: "AWS Signature Version 4 for API
// requests".
type signature struct {
	accessKeyID   string
	date          string // of the scope, yyyymmdd
	region        string
	service       string
	signedHeaders []string
	signature     string
	time          time.Time
	presigned     bool
	expires       time.Duration // of a presigned request
	token         string
}

const (
	sigAlgorithm    = "AWS4-HMAC-SHA256"
	sigTime         = "20060102T150405Z"
	sigWindow       = 15 * time.Minute
	maxPresign      = 7 * 24 * time.Hour
	unsignedPayload = "UNSIGNED-PAYLOAD"
)

// parseSignature reads either form.
func parseSignature(r *http.Request) (*signature, *signatureError) {
	query := r.URL.Query()
	switch {
	case r.Header.Get("Authorization") != "":
		return parseAuthorization(r)
	case query.Get("X-Amz-Algorithm") != "":
		return parsePresigned(query)
	}
	return nil, signatureFault(unsigned, "")
}

func parseAuthorization(r *http.Request) (*signature, *signatureError) {
	rest, found := strings.CutPrefix(r.Header.Get("Authorization"), sigAlgorithm)
	if !found {
		return nil, signatureFault(malformed, "Authorization header is not AWS4-HMAC-SHA256")
	}
	fields := map[string]string{}
	for _, field := range strings.Split(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		fields[name] = value
	}
	for _, name := range []string{"Credential", "Signature", "SignedHeaders"} {
		if fields[name] == "" {
			return nil, signatureFault(malformed, "Authorization header requires '%s' parameter.", name)
		}
	}
	sig := &signature{signature: fields["Signature"], token: r.Header.Get("X-Amz-Security-Token")}
	if err := sig.readTime(orText(r.Header.Get("X-Amz-Date"), r.Header.Get("Date"))); err != nil {
		return nil, err
	}
	return sig, sig.readScope(fields["Credential"], fields["SignedHeaders"])
}

func parsePresigned(query url.Values) (*signature, *signatureError) {
	sig := &signature{presigned: true, signature: query.Get("X-Amz-Signature"), token: query.Get("X-Amz-Security-Token")}
	if query.Get("X-Amz-Algorithm") != sigAlgorithm {
		return nil, signatureFault(malformed, "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"")
	}
	seconds, err := strconv.Atoi(orText(query.Get("X-Amz-Expires"), "900"))
	sig.expires = time.Duration(seconds) * time.Second
	if err != nil || seconds < 0 || seconds > int(maxPresign/time.Second) {
		return nil, signatureFault(malformed, "X-Amz-Expires must be between 0 and 604800 seconds")
	}
	if err := sig.readTime(query.Get("X-Amz-Date")); err != nil {
		return nil, err
	}
	return sig, sig.readScope(query.Get("X-Amz-Credential"), query.Get("X-Amz-SignedHeaders"))
}

func (sig *signature) readTime(text string) *signatureError {
	for _, layout := range []string{sigTime, http.TimeFormat, time.RFC1123Z} {
		if t, err := time.Parse(layout, text); err == nil {
			sig.time = t
			return nil
		}
	}
	return signatureFault(malformed, "Authorization requires existence of either a 'X-Amz-Date' or a 'Date' header.")
}

func (sig *signature) readScope(credential, signedHeaders string) *signatureError {
	parts := strings.Split(credential, "/")
	if len(parts) != 5 || parts[4] != "aws4_request" {
		return signatureFault(malformed, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term")
	}
	sig.accessKeyID, sig.date, sig.region, sig.service = parts[0], parts[1], parts[2], parts[3]
	sig.signedHeaders = strings.Split(signedHeaders, ";")
	if !slices.Contains(sig.signedHeaders, "host") || !sort.StringsAreSorted(sig.signedHeaders) {
		return signatureFault(malformed, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	}
	if sig.date != sig.time.UTC().Format("20060102") {
		return signatureFault(wrongScope, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP")
	}
	return nil
}

// verifySignature returns who signed the request for a service, or what is
// wrong with it. It never lets through what it could not check.
func (s *Sandbox) verifySignature(r *http.Request, body []byte, service string, now time.Time) (*identity, *signatureError) {
	sig, fault := parseSignature(r)
	if fault != nil {
		return nil, fault
	}
	if sig.service != service {
		return nil, signatureFault(wrongScope, "Credential should be scoped to correct service: '%s'. ", service)
	}
	who := s.signer(sig.accessKeyID)
	if who == nil {
		return nil, signatureFault(unknownAccessKey, "")
	}
	if fault := sig.checkTime(now); fault != nil {
		return nil, fault
	}
	payload, fault := sig.payloadHash(r, body)
	if fault != nil {
		return nil, fault
	}
	if !sig.matches(who.secretKey, canonicalRequest(r, sig, payload)) {
		return nil, signatureFault(mismatch, "")
	}
	return who, who.checkToken(sig.token, now)
}

// checkToken comes after the signature: who does not have the key learns nothing
// about the session.
func (i *identity) checkToken(token string, now time.Time) *signatureError {
	switch {
	case subtle.ConstantTimeCompare([]byte(token), []byte(i.token)) != 1:
		return signatureFault(wrongToken, "")
	case i.token != "" && !now.Before(i.expiry):
		return signatureFault(sessionExpired, "")
	}
	return nil
}

func (sig *signature) checkTime(now time.Time) *signatureError {
	oldest := sigWindow
	if sig.presigned {
		oldest = sig.expires
	}
	stamp, clock := sig.time.Format(sigTime), now.UTC().Format(sigTime)
	switch {
	case now.After(sig.time.Add(oldest)) && sig.presigned:
		return signatureFault(presignExpired, "")
	case now.After(sig.time.Add(oldest)):
		return signatureFault(wrongTime, "Signature expired: %s is now earlier than %s (%s - 15 min.)", stamp, now.Add(-sigWindow).UTC().Format(sigTime), clock)
	case sig.time.After(now.Add(sigWindow)):
		return signatureFault(wrongTime, "Signature not yet current: %s is still later than %s (%s + 15 min.)", stamp, now.Add(sigWindow).UTC().Format(sigTime), clock)
	}
	return nil
}

// payloadHash returns the last line of the canonical request. S3 has it in a
// header, which must then be true; elsewhere it is the hash of the body.
func (sig *signature) payloadHash(r *http.Request, body []byte) (string, *signatureError) {
	sum := sha256.Sum256(body)
	actual := hex.EncodeToString(sum[:])
	declared := r.Header.Get("X-Amz-Content-Sha256")
	switch {
	case sig.service == "s3" && sig.presigned && declared == "":
		return unsignedPayload, nil
	case sig.service == "s3" && declared == unsignedPayload:
		return unsignedPayload, nil
	case declared == "" && sig.service != "s3":
		return actual, nil
	case declared == "":
		return "", signatureFault(malformed, "Missing required header for this request: x-amz-content-sha256")
	case declared != actual:
		return "", signatureFault(wrongPayload, "The provided 'x-amz-content-sha256' header does not match what was computed.")
	}
	return actual, nil
}

// matches compares the signature that the key makes with the one that came.
func (sig *signature) matches(secret, canonical string) bool {
	scope := strings.Join([]string{sig.date, sig.region, sig.service, "aws4_request"}, "/")
	sum := sha256.Sum256([]byte(canonical))
	text := strings.Join([]string{sigAlgorithm, sig.time.UTC().Format(sigTime), scope, hex.EncodeToString(sum[:])}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{sig.date, sig.region, sig.service, "aws4_request", text} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return subtle.ConstantTimeCompare([]byte(hex.EncodeToString(key)), []byte(sig.signature)) == 1
}

// canonicalRequest is "Create a canonical request" of the signing guide.
func canonicalRequest(r *http.Request, sig *signature, payload string) string {
	lines := []string{r.Method, canonicalPath(r.URL, sig.service), canonicalQuery(r.URL.RawQuery)}
	for _, name := range sig.signedHeaders {
		lines = append(lines, name+":"+canonicalHeader(r, name))
	}
	lines = append(lines, "", strings.Join(sig.signedHeaders, ";"), payload)
	return strings.Join(lines, "\n")
}

// canonicalPath encodes once for S3 and twice for everyone else.
func canonicalPath(u *url.URL, service string) string {
	path := orText(u.Path, "/")
	if service == "s3" {
		return uriEncode(path, false)
	}
	return uriEncode(uriEncode(path, false), false)
}

// canonicalQuery sorts by encoded name, then by encoded value. The zero byte between
// them sorts before all that a name can go on with.
func canonicalQuery(raw string) string {
	var pairs []string
	for _, part := range strings.Split(raw, "&") {
		name, value, _ := strings.Cut(part, "=")
		name, value = unescapeQuery(name), unescapeQuery(value)
		if part == "" || name == "X-Amz-Signature" {
			continue
		}
		pairs = append(pairs, uriEncode(name, true)+"\x00"+uriEncode(value, true))
	}
	slices.Sort(pairs)
	return strings.ReplaceAll(strings.Join(pairs, "&"), "\x00", "=")
}

// unescapeQuery reads + as a space, as servers do.
func unescapeQuery(text string) string {
	if plain, err := url.QueryUnescape(text); err == nil {
		return plain
	}
	return text
}

// canonicalHeader joins the values of a header, runs of spaces made one. The
// http package keeps some headers elsewhere.
func canonicalHeader(r *http.Request, name string) string {
	values := r.Header.Values(name)
	switch name {
	case "host":
		values = []string{r.Host}
	case "content-length":
		values = []string{strconv.FormatInt(r.ContentLength, 10)}
	case "transfer-encoding":
		values = r.TransferEncoding
	}
	joined := make([]string, len(values))
	for i, value := range values {
		joined[i] = strings.Join(strings.Fields(value), " ")
	}
	return strings.Join(joined, ",")
}

// uriEncode is the UriEncode of the guide: all but unreserved characters, with
// upper-case hex, and / only where asked.
func uriEncode(text string, slash bool) string {
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		if c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 || c == '/' && !slash {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}
