package transport

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/pattern"
	"github.com/keyless-id/keyless/internal/sigv4"
)

const (
	opSigV4 = "sigv4"
	// defaultMaxBuffer is the default of [SigV4].MaxBuffer, in bytes.
	defaultMaxBuffer = 10 << 20
	// maxPeek is how much of a refusal is searched for its code, in bytes. It is at the
	// beginning; AWS's refusals are a few hundred bytes in all.
	maxPeek = 4 << 10
	// noPayload is the SHA-256 of nothing.
	noPayload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

var _ http.RoundTripper = (*SigV4)(nil)

// SigV4 signs requests with AWS credentials ("AWS Signature Version 4 for API requests",
// IAM User Guide), in the place of a signature that a request has. It signs the headers
// that the caller set, the host as it is sent, and the SHA-256 of the body.
//
// When AWS refuses the credentials as expired or invalid, and Provider has the method Renew
// of [keyless.CachedProvider], SigV4 asks it for others and sends the request once more, if
// its body can be sent again. Otherwise the caller gets AWS's answer whole.
//
// Errors of SigV4's own are [*keyless.Error]s of the hop delivery. The Request of an answer
// is the caller's, without the signature.
type SigV4 struct {
	// Provider is asked for each request, so it should remember: see
	// [keyless.CachedCredentials].
	Provider        keyless.CredentialsProvider
	Region, Service string // what the signature is good for, for example eu-west-1 and s3
	// Hosts are where signed requests may go, as in [Bearer].
	Hosts []string
	// UnsignedPayload leaves the body out of the signature, for services that allow it
	// (S3): it is sent as it comes, and TLS alone protects it.
	UnsignedPayload bool
	// MaxBuffer is how long a body may be that has no GetBody, in bytes; zero: 10 MiB. It
	// is read into memory to be signed; a longer one is an error. With GetBody a body of
	// any length is read twice, and with UnsignedPayload none has a limit.
	MaxBuffer int64
	Base      http.RoundTripper // nil: [http.DefaultTransport]

	guard  guard
	signer sigv4.Signer
}

// renewer is what a provider may do besides; [keyless.CachedProvider] does.
type renewer interface {
	Renew(ctx context.Context, refused keyless.Credentials) (keyless.Credentials, error)
}

// payload is a body as it is signed.
type payload struct {
	hash string
	kept *buffer // nil: the body was not read
	size int64   // in bytes; negative: unknown
}

// body is what to send first.
func (p payload) body(r *http.Request) io.ReadCloser {
	if p.kept == nil {
		return r.Body
	}
	return p.kept.open()
}

// RoundTrip implements [http.RoundTripper].
func (s *SigV4) RoundTrip(r *http.Request) (*http.Response, error) {
	credentials, err := s.admit(r)
	if err != nil {
		closeBody(r)
		return nil, err
	}
	p, err := s.payload(r)
	if err != nil {
		return nil, err
	}
	defer p.kept.release()
	answer, err := orDefault(s.Base).RoundTrip(s.signed(r, p, p.body(r), credentials))
	if err != nil {
		return nil, err
	}
	if outOfDate(answer) {
		if answer, err = s.refused(r, p, credentials, answer); err != nil {
			return nil, err
		}
	}
	answer.Request = r
	return answer, nil
}

func (s *SigV4) admit(r *http.Request) (keyless.Credentials, error) {
	if err := s.guard.check(opSigV4, s.Hosts, r); err != nil {
		return keyless.Credentials{}, err
	}
	if s.Provider == nil || s.Region == "" || s.Service == "" {
		return keyless.Credentials{}, refusal(opSigV4, "no provider, region or service", "")
	}
	if err := signable(r.URL); err != nil {
		return keyless.Credentials{}, err
	}
	credentials, err := s.Provider.Credentials(r.Context())
	if err == nil && (credentials.AccessKeyID == "" || credentials.SecretAccessKey.IsZero()) {
		err = &keyless.Error{Hop: keyless.HopExchange, Op: opSigV4, Message: "the provider returned no credentials"}
	}
	return credentials, err
}

// payload hashes the body. If it cannot, the body is closed.
func (s *SigV4) payload(r *http.Request) (payload, error) {
	switch {
	case !hasBody(r):
		return payload{hash: noPayload, size: -1}, nil
	case s.UnsignedPayload:
		kept, err := keep(r)
		return payload{hash: sigv4.UnsignedPayload, kept: kept, size: -1}, err
	case r.GetBody != nil:
		p, err := hashAgain(r)
		if err != nil {
			closeBody(r)
		}
		return p, err
	}
	return s.buffer(r)
}

// hashAgain hashes what GetBody returns and leaves the body itself to be sent.
func hashAgain(r *http.Request) (payload, error) {
	body, err := r.GetBody()
	if err != nil {
		return payload{}, err
	}
	h := sha256.New()
	size, err := io.Copy(h, body)
	_ = body.Close() // it was only read
	return payload{hash: hex.EncodeToString(h.Sum(nil)), size: size}, err
}

func (s *SigV4) buffer(r *http.Request) (payload, error) {
	limit := s.MaxBuffer
	if limit <= 0 {
		limit = defaultMaxBuffer
	}
	if r.ContentLength > limit {
		closeBody(r)
		return payload{}, tooLong(limit)
	}
	h := sha256.New()
	kept, err := readBody(r, limit, h)
	if err != nil {
		return payload{}, err
	}
	if kept.size > limit {
		kept.release()
		return payload{}, tooLong(limit)
	}
	return payload{hash: hex.EncodeToString(h.Sum(nil)), kept: kept, size: kept.size}, nil
}

// TooLongError says that a body is longer than [SigV4] may keep in memory.
type TooLongError struct{ Limit int64 } // in bytes

func (e *TooLongError) Error() string {
	return fmt.Sprintf("the body is longer than %d bytes and has no GetBody", e.Limit)
}

func tooLong(limit int64) error {
	return &keyless.Error{
		Hop: keyless.HopDelivery, Op: opSigV4, Err: &TooLongError{limit},
		Hint: "set GetBody or raise MaxBuffer; for services that allow it (S3) UnsignedPayload does without the hash",
	}
}

// refused answers AWS's refusal of the credentials with others, if there are any.
func (s *SigV4) refused(r *http.Request, p payload, old keyless.Credentials, answer *http.Response) (*http.Response, error) {
	provider, ok := s.Provider.(renewer)
	if !ok {
		return answer, nil
	}
	credentials, err := provider.Renew(r.Context(), old)
	if err != nil || same(credentials, old) {
		return answer, nil //nolint:nilerr // the far side's reason is the one to tell
	}
	body, err := reopen(r, p.kept)
	if err != nil {
		return answer, nil //nolint:nilerr // the next request has the new credentials
	}
	discard(answer)
	return orDefault(s.Base).RoundTrip(s.signed(r, p, body, credentials))
}

func same(a, b keyless.Credentials) bool {
	return a.AccessKeyID == b.AccessKeyID && a.SessionToken.Equal(b.SessionToken) && a.SecretAccessKey.Equal(b.SecretAccessKey)
}

// refusalCode finds the code in XML (<Code>ExpiredToken</Code>) and in JSON
// ("__type":"com.amazon.coral.service#ExpiredTokenException").
var refusalCode = pattern.Lazy(`(?:<Code>|"(?:__type|[Cc]ode)"\s*:\s*"(?:[^"#]*#)?)(?:ExpiredToken|ExpiredTokenException|InvalidToken)(?:<|"|:)`)

// refusalType is the same of the header X-Amzn-Errortype, which may go on with an address.
var refusalType = pattern.Lazy(`^(?:[^#]*#)?(?:ExpiredToken|ExpiredTokenException|InvalidToken)(?:$|:)`)

// outOfDate reports whether AWS refuses the credentials because of their age ("Common
// errors", API references; "Error responses", Amazon S3 API Reference). It leaves the
// answer as it was.
func outOfDate(answer *http.Response) bool {
	switch answer.StatusCode {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
	default:
		return false
	}
	if kind := answer.Header.Get("X-Amzn-Errortype"); kind != "" {
		return refusalType().MatchString(kind)
	}
	return answer.Body != nil && refusalCode().Match(peek(answer))
}

// peek reads the beginning of the answer's body and puts it back.
func peek(answer *http.Response) []byte {
	body := answer.Body
	beginning, err := io.ReadAll(io.LimitReader(body, maxPeek))
	rest := io.Reader(body)
	if err != nil { // to be met again where it was
		rest = failing{err}
	}
	answer.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(beginning), rest), body}
	return beginning
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
