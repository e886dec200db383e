// Package sigv4 signs requests for AWS ("AWS Signature Version 4 for API
// requests", IAM User Guide).
package sigv4

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"sync/atomic"
	"time"
)

// UnsignedPayload stands in for the hash of a body that is not signed ("Authenticating
// Requests: Using the Authorization Header", Amazon S3 API Reference). Few services
// allow it.
const UnsignedPayload = "UNSIGNED-PAYLOAD"

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
	// roomy is what an ordinary request takes to be spelled out, session token and all,
	// in bytes: so much is not taken from the heap.
	roomy = 4 << 10
)

// Sign is [Signer.Sign] for a body at hand, by a signer that is new.
func Sign(request *http.Request, body []byte, keys Keys, scope Scope) {
	sum := sha256.Sum256(body)
	new(Signer).Sign(request, hex.EncodeToString(sum[:]), keys, scope)
}

// Signer signs requests and remembers the key that it derived last: it is good for a
// day, and costs as much as the rest of a signature. Any number of goroutines may use one.
type Signer struct{ latest atomic.Pointer[derived] }

// derived is the key of one secret for one day, region and service.
type derived struct {
	secret, day, region, service string
	key                          []byte
}

// Sign adds the headers Authorization, X-Amz-Date and, with a session token,
// X-Amz-Security-Token to request. Hash is the SHA-256 of its body in lower-case
// hexadecimal digits, or [UnsignedPayload]; services that want it get it as a header too.
// All headers that the request has by then are signed, but for those that are rewritten
// on the way. The query is put into the order and the encoding that is signed; what
// [net/url.ParseQuery] cannot read of it is lost.
func (s *Signer) Sign(request *http.Request, hash string, keys Keys, scope Scope) {
	at := scope.Time.UTC().Format(timeFormat)
	added := [...]string{at, keys.SessionToken, hash, ""} // one allocation for all four headers
	request.Header["X-Amz-Date"] = added[0:1:1]
	if keys.SessionToken != "" {
		request.Header["X-Amz-Security-Token"] = added[1:2:2]
	}
	if hash == UnsignedPayload || wantsHash(scope.Service) {
		request.Header["X-Amz-Content-Sha256"] = added[2:3:3]
	}
	if request.URL.RawQuery != "" {
		request.URL.RawQuery = canonicalQuery(request.URL)
	}
	added[3] = s.authorization(request, hash, at, keys, scope)
	request.Header["Authorization"] = added[3:4:4]
}

// authorization spells the header of that name.
func (s *Signer) authorization(request *http.Request, hash, at string, keys Keys, scope Scope) string {
	var fieldSpace [24]field
	signed := signedFields(fieldSpace[:0], request, scope.Service)
	var textSpace [roomy]byte
	text := appendCanonical(textSpace[:0], request, signed, hash, scope.Service)
	sum := sha256.Sum256(text)
	text = append(append(append(text[:0], algorithm+"\n"...), at...), '\n')
	text = append(appendScope(text, at, scope), '\n')
	text = hex.AppendEncode(text, sum[:])
	signature := mac(s.key(keys.SecretAccessKey, at[:8], scope), bytes.Clone(text)) // the clone goes to the heap, the space does not

	text = append(append(append(text[:0], algorithm+" Credential="...), keys.AccessKeyID...), '/')
	text = append(appendScope(text, at, scope), ", SignedHeaders="...)
	text = append(appendNames(text, signed), ", Signature="...)
	return string(hex.AppendEncode(text, signature))
}

func appendScope(b []byte, at string, scope Scope) []byte {
	b = append(append(b, at[:8]...), '/')
	b = append(append(b, scope.Region...), '/')
	return append(append(b, scope.Service...), "/aws4_request"...)
}

// key returns the signing key ("Create a signed AWS API request", step 4).
func (s *Signer) key(secret, day string, scope Scope) []byte {
	if d := s.latest.Load(); d != nil && d.secret == secret && d.day == day && d.region == scope.Region && d.service == scope.Service {
		return d.key
	}
	key := []byte("AWS4" + secret)
	for _, part := range []string{day, scope.Region, scope.Service, "aws4_request"} {
		key = mac(key, []byte(part))
	}
	s.latest.Store(&derived{secret, day, scope.Region, scope.Service, key})
	return key
}

func mac(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return h.Sum(nil)
}

// IsS3 knows the services whose paths are signed as they are sent, and not encoded once
// more.
func IsS3(service string) bool {
	switch service {
	case "s3", "s3express", "s3-object-lambda", "s3-outposts":
		return true
	}
	return false
}

// wantsHash knows the services that want the body's hash as a header ("Signing HTTP
// requests", Amazon OpenSearch Serverless).
func wantsHash(service string) bool { return IsS3(service) || service == serverless }

// serverless is OpenSearch Serverless, which refuses signatures of the body's length
// ("Signing HTTP requests", Amazon OpenSearch Serverless; unverified).
const serverless = "aoss"

// appendCanonical spells the request in the one form that is signed.
func appendCanonical(b []byte, request *http.Request, signed []field, hash, service string) []byte {
	b = append(append(b, request.Method...), '\n')
	b = append(appendPath(b, request.URL, service), '\n')
	b = append(append(b, request.URL.RawQuery...), '\n')
	b = append(appendFields(b, signed), '\n')
	b = append(appendNames(b, signed), '\n')
	return append(b, hash...)
}

func appendNames(b []byte, signed []field) []byte {
	for _, f := range signed {
		b = append(appendLower(b, f.name), ';')
	}
	return bytes.TrimSuffix(b, []byte(";"))
}
