package sandbox

import (
	"bytes"
	"crypto/md5" //nolint:gosec // an ETag is an MD5 by definition
	"encoding/hex"
	"encoding/xml"
	"io"
	"net/http"
	"strings"
	"time"
)

// serveS3 reads: "Amazon S3 API Reference". Buckets are addressed by path or by
// host name.
func (s *Sandbox) serveS3(w http.ResponseWriter, r *http.Request) {
	bucketName, key := s.splitS3(r)
	op, serve := s.routeS3(r, bucketName, key)
	caller, refusal := s.s3Caller(r)
	event := Event{Hop: S3, Op: op, Outcome: "ok", Details: map[string]string{"bucket": printable(bucketName), "key": printable(key)}}
	if refusal == nil {
		event.Details["caller"] = caller.arn
		refusal = serve(w, r, caller)
	}
	if refusal != nil {
		event.Outcome = refusal.code
		writeS3Error(w, r, refusal)
	}
	s.record(event)
}

// splitS3 finds bucket and key. A first label is a bucket only if the rest of
// the name is that of S3, or if the world has a bucket of that name.
func (s *Sandbox) splitS3(r *http.Request) (bucketName, key string) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	host := strings.ToLower(hostOnly(r.Host))
	if name, found := awsHost(host); found && name.bucket != "" {
		return name.bucket, path
	}
	for name := range s.index.buckets {
		if rest, found := strings.CutPrefix(host, name+"."); found && rest != "" {
			return name, path
		}
	}
	bucketName, key, _ = strings.Cut(path, "/")
	return bucketName, key
}

type s3Handler func(w http.ResponseWriter, r *http.Request, caller *identity) *awsError

func (s *Sandbox) routeS3(r *http.Request, bucketName, key string) (string, s3Handler) {
	inBucket := func(serve func(http.ResponseWriter, *http.Request, *bucket) *awsError) s3Handler {
		return func(w http.ResponseWriter, r *http.Request, caller *identity) *awsError {
			b, refusal := s.bucketFor(caller, bucketName)
			if refusal != nil {
				return refusal
			}
			w.Header().Set("x-amz-bucket-region", b.region())
			return serve(w, r, b)
		}
	}
	query := r.URL.Query()
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return r.Method, readsOnly
	case bucketName == "":
		return "ListBuckets", s.listBuckets
	case key != "" && r.Method == http.MethodHead:
		return "HeadObject", inBucket(s.objectHandler(key))
	case key != "":
		return "GetObject", inBucket(s.objectHandler(key))
	case r.Method == http.MethodHead:
		return "HeadBucket", inBucket(headBucket)
	case query.Has("location"):
		return "GetBucketLocation", inBucket(bucketLocation)
	case query.Get("list-type") == "2":
		return "ListObjectsV2", inBucket(s.listObjects)
	}
	return "ListObjects", inBucket(s.listObjects)
}

func readsOnly(http.ResponseWriter, *http.Request, *identity) *awsError {
	return &awsError{"MethodNotAllowed", http.StatusMethodNotAllowed, "The specified method is not allowed against this resource."}
}

// s3Caller verifies the signature; nothing here is public.
func (s *Sandbox) s3Caller(r *http.Request) (*identity, *awsError) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, &awsError{"EntityTooLarge", http.StatusBadRequest, "Your proposed upload exceeds the maximum allowed size"}
	}
	caller, fault := s.verifySignature(r, body, "s3", s.now(S3))
	if fault != nil {
		return nil, fault.forS3()
	}
	if name := unsignedHeader(r); name != "" {
		return nil, (&signatureError{notCovered, "There were headers present in the request which were not signed"}).forS3()
	}
	return caller, nil
}

// unsignedHeader finds an x-amz-… header that the signature does not cover.
func unsignedHeader(r *http.Request) string {
	sig, fault := parseSignature(r)
	if fault != nil || sig.presigned {
		return ""
	}
	for name := range r.Header {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-amz-") && !strings.Contains(";"+strings.Join(sig.signedHeaders, ";")+";", ";"+lower+";") {
			return lower
		}
	}
	return ""
}

// bucketFor lets an identity into the buckets of its own account.
func (s *Sandbox) bucketFor(caller *identity, name string) (*bucket, *awsError) {
	b := s.index.buckets[name]
	switch {
	case b == nil:
		return nil, &awsError{"NoSuchBucket", http.StatusNotFound, "The specified bucket does not exist"}
	case b.account != caller.account:
		return nil, &awsError{"AccessDenied", http.StatusForbidden, "Access Denied"}
	}
	return b, nil
}

func (b *bucket) region() string { return orText(b.Region, defaultRegion) }

func headBucket(w http.ResponseWriter, _ *http.Request, _ *bucket) *awsError {
	writeBody(w, http.StatusOK, "application/xml", nil)
	return nil
}

// bucketLocation has an empty constraint in the oldest region.
func bucketLocation(w http.ResponseWriter, _ *http.Request, b *bucket) *awsError {
	region := b.region()
	if region == defaultRegion {
		region = ""
	}
	writeXML(w, http.StatusOK, struct {
		XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ LocationConstraint"`
		Region  string   `xml:",chardata"`
	}{Region: region})
	return nil
}

// objectHandler leaves ranges and conditions to net/http.
func (s *Sandbox) objectHandler(key string) func(http.ResponseWriter, *http.Request, *bucket) *awsError {
	return func(w http.ResponseWriter, r *http.Request, b *bucket) *awsError {
		content, found := b.Objects[key]
		if !found {
			return &awsError{"NoSuchKey", http.StatusNotFound, "The specified key does not exist."}
		}
		w.Header().Set("ETag", etag(content))
		w.Header().Set("Content-Type", "binary/octet-stream")
		w.Header().Set("x-amz-request-id", requestID())
		http.ServeContent(w, r, "", s.started, bytes.NewReader([]byte(content)))
		return nil
	}
}

func etag(content string) string {
	sum := md5.Sum([]byte(content))
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

func requestID() string { return strings.ToUpper(hex.EncodeToString(randomBytes(8))) }

// s3Time is the form of times in listings.
func s3Time(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// forS3 turns a bad signature into the words of S3.
func (e *signatureError) forS3() *awsError {
	texts := map[signatureProblem]awsError{
		unsigned:         {"AccessDenied", http.StatusForbidden, "Access Denied"},
		malformed:        {"AuthorizationHeaderMalformed", http.StatusBadRequest, e.detail},
		unknownAccessKey: {"InvalidAccessKeyId", http.StatusForbidden, "The AWS Access Key Id you provided does not exist in our records."},
		wrongToken:       {"InvalidToken", http.StatusBadRequest, "The provided token is malformed or otherwise invalid."},
		sessionExpired:   {"ExpiredToken", http.StatusBadRequest, "The provided token has expired."},
		wrongTime:        {"RequestTimeTooSkewed", http.StatusForbidden, "The difference between the request time and the current time is too large."},
		presignExpired:   {"AccessDenied", http.StatusForbidden, "Request has expired"},
		wrongScope:       {"AuthorizationHeaderMalformed", http.StatusBadRequest, e.detail},
		mismatch:         {"SignatureDoesNotMatch", http.StatusForbidden, "The request signature we calculated does not match the signature you provided. Check your key and signing method."},
		notCovered:       {"AccessDenied", http.StatusForbidden, e.detail},
		wrongPayload:     {"XAmzContentSHA256Mismatch", http.StatusBadRequest, e.detail},
	}
	refusal := texts[e.problem]
	return &refusal
}

// s3Fault makes an error of what a test asked for.
func s3Fault(f *Fault) *awsError {
	e := stsFault(f)
	if f.Code == "" && (f.Status == http.StatusServiceUnavailable || f.Status == http.StatusTooManyRequests) {
		e.code, e.message = "SlowDown", "Please reduce your request rate."
	}
	if e.code == "AccessDenied" {
		e.message = "Access Denied"
	}
	return e
}

// writeS3Error is "Error responses" of the reference; an answer to HEAD has no
// body.
func writeS3Error(w http.ResponseWriter, r *http.Request, e *awsError) {
	id := requestID()
	w.Header().Set("x-amz-request-id", id)
	if r.Method == http.MethodHead {
		w.WriteHeader(e.status)
		return
	}
	writeXML(w, e.status, struct {
		XMLName   xml.Name `xml:"Error"`
		Code      string
		Message   string
		Resource  string
		RequestID string `xml:"RequestId"`
	}{Code: e.code, Message: e.message, Resource: printable(r.URL.Path), RequestID: id})
}
