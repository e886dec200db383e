package sandbox_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// signer signs as a client would, written apart from the code under test.
type signer struct {
	keys    awsKeys
	service string
	region  string
	at      time.Time
}

func hexHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func (s signer) key(day string) []byte {
	key := []byte("AWS4" + s.keys.SecretAccessKey)
	for _, part := range []string{day, s.region, s.service, "aws4_request"} {
		key = mac(key, part)
	}
	return key
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func (s signer) scope() string {
	return s.at.UTC().Format("20060102") + "/" + s.region + "/" + s.service + "/aws4_request"
}

// canonicalValues sorts and encodes a query as the guide says: spaces are %20.
func canonicalValues(v url.Values) string { return strings.ReplaceAll(v.Encode(), "+", "%20") }

func (s signer) signature(canonical ...string) string {
	stamp := s.at.UTC().Format("20060102T150405Z")
	text := strings.Join([]string{"AWS4-HMAC-SHA256", stamp, s.scope(), hexHash(strings.Join(canonical, "\n"))}, "\n")
	return hex.EncodeToString(mac(s.key(stamp[:8]), text))
}

// sign signs a request in its header; body is what it carries.
func (s signer) sign(r *http.Request, body string) {
	r.Header.Set("X-Amz-Date", s.at.UTC().Format("20060102T150405Z"))
	if s.keys.SessionToken != "" {
		r.Header.Set("X-Amz-Security-Token", s.keys.SessionToken)
	}
	payload := hexHash(body)
	if s.service == "s3" {
		if r.Header.Get("X-Amz-Content-Sha256") == "" {
			r.Header.Set("X-Amz-Content-Sha256", payload)
		}
		payload = r.Header.Get("X-Amz-Content-Sha256")
	}
	values := map[string]string{"host": r.URL.Host}
	for name := range r.Header {
		values[strings.ToLower(name)] = r.Header.Get(name)
	}
	var names []string
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	var headers strings.Builder
	for _, name := range names {
		headers.WriteString(name + ":" + values[name] + "\n")
	}
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	list := strings.Join(names, ";")
	signature := s.signature(r.Method, path, canonicalValues(r.URL.Query()), headers.String(), list, payload)
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+s.keys.AccessKeyID+"/"+s.scope()+", SignedHeaders="+list+", Signature="+signature)
}

// presign returns a URL that carries its signature.
func (s signer) presign(address string, expires string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	query := u.Query()
	query.Set("X-Amz-Algorithm", "AWS4-HMAC-SHA256")
	query.Set("X-Amz-Credential", s.keys.AccessKeyID+"/"+s.scope())
	query.Set("X-Amz-Date", s.at.UTC().Format("20060102T150405Z"))
	query.Set("X-Amz-Expires", expires)
	query.Set("X-Amz-SignedHeaders", "host")
	if s.keys.SessionToken != "" {
		query.Set("X-Amz-Security-Token", s.keys.SessionToken)
	}
	payload := "UNSIGNED-PAYLOAD"
	if s.service != "s3" {
		payload = hexHash("")
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	query.Set("X-Amz-Signature", s.signature("GET", path, canonicalValues(query), "host:"+u.Host+"\n", "host", payload))
	u.RawQuery = query.Encode()
	return u.String()
}

func (c *cloud) stsSigner(keys awsKeys) signer { return signer{keys, "sts", "eu-west-1", time.Now()} }

func (c *cloud) s3Signer(keys awsKeys) signer { return signer{keys, "s3", "eu-west-1", time.Now()} }

// signedPost sends an STS form with a signature.
func (c *cloud) signedPost(t *testing.T, s signer, form url.Values) answer {
	t.Helper()
	body := form.Encode()
	r, err := http.NewRequest(http.MethodPost, c.sts+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	s.sign(r, body)
	return c.do(t, r)
}

// signedGet reads from S3; header values are set before signing.
func (c *cloud) signedGet(t *testing.T, s signer, path string, header ...string) answer {
	t.Helper()
	return c.signedTo(t, s, c.s3+path, header...)
}

func (c *cloud) signedTo(t *testing.T, s signer, address string, header ...string) answer {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	s.sign(r, "")
	return c.do(t, r)
}
