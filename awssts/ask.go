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
	"github.com/keyless-id/keyless/internal/awsquery"
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
	hop     keyless.Hop // zero: the exchange
	action  string
	form    url.Values
	secrets []string
	sign    func(*http.Request, []byte) // nil: the request is not signed
	client  *http.Client
	hint    func(*keyless.Error) string
}

// wrong is the error of an exchange that is not even made.
func wrong(action string, err error) *keyless.Error {
	return &keyless.Error{Hop: keyless.HopExchange, Op: action, Err: err}
}

func (c call) where() keyless.Hop {
	if c.hop == "" {
		return keyless.HopExchange
	}
	return c.hop
}

// credentials asks for credentials.
func (c call) credentials(ctx context.Context) (keyless.Credentials, error) {
	return ask(ctx, c, c.parse)
}

// ask asks, and asks again for as long as that may help.
func ask[T any](ctx context.Context, c call, parse func([]byte, time.Time) (T, error)) (T, error) {
	var value T
	err := backoff().Retry(ctx, func(ctx context.Context) (err error) {
		value, err = try(ctx, c, parse)
		return err
	}, hop.Verdict)
	return value, err
}

func try[T any](ctx context.Context, c call, parse func([]byte, time.Time) (T, error)) (value T, err error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	request, err := c.request(ctx)
	if err != nil {
		return value, &keyless.Error{Hop: c.where(), Op: c.action, Err: err}
	}
	obtained := time.Now()
	answer, err := wire.Do(c.httpClient(), request)
	if err != nil {
		return value, hop.Failed(c.where(), c.action, err)
	}
	return read(c, answer, obtained, parse)
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

func (c call) parse(body []byte, obtained time.Time) (keyless.Credentials, error) {
	return parseCredentials(body, c.arn, obtained)
}

func read[T any](c call, answer *wire.Answer, obtained time.Time, parse func([]byte, time.Time) (T, error)) (value T, err error) {
	if answer.Status != http.StatusOK {
		return value, c.refusal(answer)
	}
	if value, err = parse(answer.Body, obtained); err != nil {
		return value, c.garbage(answer, err)
	}
	return value, nil
}

// garbage is a 200 without credentials in it. Only an answer that broke off is
// worth another try.
func (c call) garbage(answer *wire.Answer, err error) *keyless.Error {
	e := &keyless.Error{Hop: c.where(), Op: c.action, Err: err}
	e.Temporary = errors.Is(err, awsquery.ErrCutOff)
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
	e := &keyless.Error{Hop: c.where(), Op: c.action, RetryAfter: answer.RetryAfter()}
	f, ok := awsquery.ParseFault(answer.Body)
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

// excerpt is empty for what may be credentials or a token in spite of all.
func excerpt(answer *wire.Answer, secrets []string) string {
	if answer.Status < http.StatusMultipleChoices || bytes.Contains(answer.Body, []byte("Credentials>")) || bytes.Contains(answer.Body, []byte("WebIdentityToken>")) {
		return ""
	}
	return answer.Excerpt(secrets...)
}

// code is the far side's, but for one that MinIO spells like the code for expired
// credentials. This request has none, so it can mean the token only.
func (c call) code(f awsquery.Fault) string {
	if c.action == actionWebIdentity && f.Code == "ExpiredToken" {
		return codeExpired
	}
	return wire.Quote(f.Code, c.secrets...)
}

func (c call) message(f awsquery.Fault) string {
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
	case "IDPCommunicationError":
		return true
	case codeIdentity:
		return strings.Contains(strings.ReplaceAll(message, "’", "'"), "Couldn't retrieve verification key")
	}
	return awsquery.Temporary(status, code)
}
