package transport

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/sigv4"
)

// signed returns a copy of the request with a signature of this moment. Its query is
// sorted and encoded in the way in which AWS reads it.
func (s *SigV4) signed(r *http.Request, p payload, body io.ReadCloser, credentials keyless.Credentials) *http.Request {
	sent := s.unsigned(r, p)
	sent.Body = body
	s.signer.Sign(sent, p.hash, sigv4.Keys{
		AccessKeyID: credentials.AccessKeyID, SecretAccessKey: credentials.SecretAccessKey.Reveal(), SessionToken: credentials.SessionToken.Reveal(),
	}, sigv4.Scope{Service: s.Service, Region: s.Region, Time: time.Now()})
	return sent
}

// unsigned is a copy of the request that the signer may change.
func (s *SigV4) unsigned(r *http.Request, p payload) *http.Request {
	sent, address := shallow(r), *r.URL
	sent.URL, sent.Host = &address, hostHeader(r)
	sent.Header = header(r.Header, replaced)
	if p.kept != nil {
		sent.GetBody = p.kept.again
	}
	if p.size >= 0 { // AWS takes no chunks, and now the length is known
		sent.TransferEncoding = nil
		if r.ContentLength <= 0 {
			sent.ContentLength = p.size
		}
	}
	return sent
}

// replaced are the headers that a signature consists of, and those that net/http makes
// itself and does not take from the map. All others are the request's own, as X-Amz-Target
// is, and signed.
func replaced(name string) bool {
	for _, known := range [...]string{authorization, "X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256", "Host", "Content-Length"} {
		if equalFold(name, known) {
			return true
		}
	}
	return false
}

// hostHeader is the host without the scheme's own port, which AWS does not sign.
func hostHeader(r *http.Request) string {
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	if r.URL.Scheme == "https" {
		return strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":80")
}

// signable refuses a query of which a part would get lost: the signer sends what
// [url.ParseQuery] understands.
func signable(u *url.URL) error {
	if _, err := url.ParseQuery(u.RawQuery); err != nil {
		return refusal(opSigV4, "the query of the address cannot be read, and so not be signed", "encode it with url.Values")
	}
	return nil
}
