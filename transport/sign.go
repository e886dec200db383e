package transport

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/hop"
)

// signer is the SDK's, with the keys that it has derived of one secret. It tells secrets
// apart by the ID of the access key alone, so every secret gets a signer of its own.
type signer struct {
	secret keyless.Secret
	v4     *v4.Signer
}

func (s *SigV4) signerOf(secret keyless.Secret) *v4.Signer {
	if known := s.signer.Load(); known != nil && known.secret == secret { // see Bearer.value
		return known.v4
	}
	made := &signer{secret, v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = isS3(s.Service) })}
	s.signer.Store(made)
	return made.v4
}

// signed returns a copy of the request with a signature of this moment. Its query is
// sorted and encoded in the way in which AWS reads it.
func (s *SigV4) signed(r *http.Request, p payload, credentials keyless.Credentials) (*http.Request, error) {
	sent := s.unsigned(r, p)
	keys := aws.Credentials{
		AccessKeyID: credentials.AccessKeyID, SecretAccessKey: credentials.SecretAccessKey.Reveal(), SessionToken: credentials.SessionToken.Reveal(),
	}
	err := s.signerOf(credentials.SecretAccessKey).SignHTTP(r.Context(), keys, sent, p.hash, s.Service, s.Region, time.Now())
	if err != nil {
		return nil, hop.Foreign(keyless.HopDelivery, opSigV4, err)
	}
	return sent, nil
}

// unsigned is a copy of the request that the signer may change.
func (s *SigV4) unsigned(r *http.Request, p payload) *http.Request {
	sent, address := shallow(r), *r.URL
	sent.URL, sent.Host = &address, hostHeader(r)
	sent.Header = header(r.Header, replaced)
	if isS3(s.Service) || p.hash == unsignedPayload { // S3 alone wants the hash as a header too
		sent.Header.Set("X-Amz-Content-Sha256", p.hash)
	}
	if p.kept != nil {
		sent.Body = reader(p.kept)
	}
	if p.size >= 0 { // AWS takes no chunks, and now the length is known
		sent.TransferEncoding = nil
		if r.ContentLength <= 0 {
			sent.ContentLength = p.size
		}
	}
	return sent
}

// isS3 knows the services whose paths are signed as they are sent.
func isS3(service string) bool {
	switch service {
	case "s3", "s3express", "s3-object-lambda", "s3-outposts":
		return true
	}
	return false
}

// replaced are the headers that a signature consists of, and those that net/http makes
// itself and does not take from the map. All others are the request's own, as X-Amz-Target
// is, and signed.
func replaced(name string) bool {
	switch strings.ToLower(name) {
	case "authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256", "host", "content-length":
		return true
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
