package awssts

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/hop"
	"github.com/keyless-id/keyless/internal/wire"
)

// tryTimeout bounds one request of a caller whose context has no deadline.
const tryTimeout = 30 * time.Second

// Codes that the code of this package depends on.
const (
	codeExpired  = keyless.CodeExpiredToken
	codeIdentity = "InvalidIdentityToken"
)

func backoff() wire.Backoff {
	return wire.Backoff{Tries: 3, First: 400 * time.Millisecond, Max: 4 * time.Second}
}

// call is one action on one role.
type call struct {
	role
	action  string
	form    url.Values
	secrets []string
	sign    func(*http.Request, []byte) // nil: the request is not signed
	client  *http.Client
	hint    func(*keyless.Error) string
}

// wrong is the error of a call that is not even made.
func wrong(action string, err error) *keyless.Error {
	return &keyless.Error{Hop: keyless.HopExchange, Op: action, Err: err}
}

// credentials asks, and asks again for as long as that may help.
func (c call) credentials(ctx context.Context) (keyless.Credentials, error) {
	var credentials keyless.Credentials
	err := backoff().Retry(ctx, func(ctx context.Context) (err error) {
		credentials, err = c.try(ctx)
		return err
	}, hop.Verdict)
	return credentials, err
}

func (c call) try(ctx context.Context) (keyless.Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	request, err := c.request(ctx)
	if err != nil {
		return keyless.Credentials{}, wrong(c.action, err)
	}
	obtained := time.Now()
	answer, err := wire.Do(c.httpClient(), request)
	if err != nil {
		return keyless.Credentials{}, hop.Failed(keyless.HopExchange, c.action, err)
	}
	return c.read(answer, obtained)
}

// request puts everything into the body: addresses end up in logs and errors.
func (c call) request(ctx context.Context) (*http.Request, error) {
	address, err := c.address()
	if err != nil {
		return nil, err
	}
	body := c.form.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	if c.sign != nil {
		c.sign(request, []byte(body))
	}
	return request, nil
}

func (c call) httpClient() *http.Client {
	if c.client != nil {
		return c.client
	}
	return wire.Cloud()
}

func (c call) read(answer *wire.Answer, obtained time.Time) (keyless.Credentials, error) {
	if answer.Status != http.StatusOK {
		return keyless.Credentials{}, c.refusal(answer)
	}
	credentials, err := parseCredentials(answer.Body, c.arn, obtained)
	if err != nil {
		return keyless.Credentials{}, c.garbage(answer, err)
	}
	return credentials, nil
}

// garbage is a 200 without credentials in it. Only an answer that broke off is
// worth another try.
func (c call) garbage(answer *wire.Answer, err error) *keyless.Error {
	e := wrong(c.action, err)
	e.Temporary = errors.Is(err, errCutOff)
	if e.Temporary {
		e.Hint = "the connection to STS loses data; is a proxy in the way?"
		return e
	}
	e.Hint = "the address answers, but not like STS; is the endpoint right, and is a proxy or captive portal answering in its place?"
	kind, _, _ := strings.Cut(answer.Header.Get("Content-Type"), ";")
	if kind != "" && !strings.Contains(kind, "xml") {
		e.Message = "the answer is " + strconv.Quote(wire.Quote(kind, c.secrets...))
	}
	return e
}

func (c call) refusal(answer *wire.Answer) *keyless.Error {
	e := &keyless.Error{Hop: keyless.HopExchange, Op: c.action, RetryAfter: answer.RetryAfter()}
	f, ok := parseFault(answer.Body)
	if ok {
		e.Code, e.Message = c.code(f), c.message(f)
	} else {
		e.Code, e.Message = "HTTP "+strconv.Itoa(answer.Status), excerpt(answer, c.secrets)
	}
	e.Temporary = temporary(answer.Status, e.Code, f.Message)
	e.Hint = c.hint(e)
	if e.Code == codeExpired || e.Code == codeIdentity || e.Code == "SignatureDoesNotMatch" || e.Code == "RequestExpired" {
		e.Hint = hop.ClockHint(answer, time.Now(), e.Hint)
	}
	return e
}

// excerpt is empty for what may be credentials in spite of all.
func excerpt(answer *wire.Answer, secrets []string) string {
	if bytes.Contains(answer.Body, []byte("Credentials>")) {
		return ""
	}
	return answer.Excerpt(secrets...)
}

// code is the far side's, but for one that MinIO spells like the code for expired
// credentials. This request has none, so it can mean the token only.
func (c call) code(f fault) string {
	if c.action == actionWebIdentity && f.Code == "ExpiredToken" {
		return codeExpired
	}
	return wire.Quote(f.Code, c.secrets...)
}

func (c call) message(f fault) string {
	text := wire.Quote(f.Message, c.secrets...)
	if f.RequestID == "" {
		return text
	}
	return text + " (request " + wire.Quote(f.RequestID, c.secrets...) + ")"
}

// temporary is the retry table: nothing else with a status of 4xx is asked twice.
// STS answers InvalidIdentityToken for good, except when it could not fetch the
// issuer's keys, which happens at random.
func temporary(status int, code, message string) bool {
	switch code {
	case "IDPCommunicationError", "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled",
		"RequestThrottledException", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown",
		"ServiceUnavailable", "InternalFailure", "InternalError", "RequestTimeout":
		return true
	case codeIdentity:
		return strings.Contains(strings.ReplaceAll(message, "’", "'"), "Couldn't retrieve verification key")
	}
	return status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500
}
