package awshost

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/hop"
	"github.com/keyless-id/keyless/internal/oauth"
	"github.com/keyless-id/keyless/internal/wire"
)

// tryTimeout bounds one request of a caller whose context has no deadline.
const tryTimeout = 5 * time.Second

func backoff() wire.Backoff {
	return wire.Backoff{Tries: 3, First: 300 * time.Millisecond, Max: 2 * time.Second}
}

// document is how all of AWS's own providers spell credentials.
type document struct {
	Code            string // of the metadata service: Success
	Message         string
	Version         int // of a process: 1
	AccessKeyID     string
	SecretAccessKey string
	Token           string // at an endpoint
	SessionToken    string // of a process
	Expiration      string
	AccountID       string
}

// credentials reads the answer to a question that was asked at obtained.
func (d document) credentials(obtained time.Time) (keyless.Credentials, error) {
	token := d.Token
	if token == "" {
		token = d.SessionToken
	}
	switch {
	case !printable(d.AccessKeyID):
		return keyless.Credentials{}, errors.New("the answer has no usable AccessKeyId")
	case !printable(d.SecretAccessKey):
		return keyless.Credentials{}, errors.New("the answer has no usable SecretAccessKey")
	case token != "" && !printable(token):
		return keyless.Credentials{}, errors.New("the answer has no usable session token")
	}
	expiry := obtained.Add(lasting)
	if d.Expiration != "" {
		at, err := time.Parse(time.RFC3339, d.Expiration)
		if err != nil {
			return keyless.Credentials{}, errors.New("the answer has no usable Expiration")
		}
		expiry = at
	}
	account := d.AccountID
	if len(account) != 12 || strings.Trim(account, "0123456789") != "" {
		account = ""
	}
	return keyless.Credentials{
		AccessKeyID: d.AccessKeyID, SecretAccessKey: keyless.NewSecret(d.SecretAccessKey), SessionToken: keyless.NewSecret(token),
		Obtained: obtained, Expiry: expiry.UTC(), AccountID: account,
	}, nil
}

// printable is what fits into a header.
func printable(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

// endpoint is one far side on the host.
type endpoint struct {
	op      string
	client  *http.Client
	secrets []string
	hint    func(status int) string // empty: the usual one
}

// ask sends one request; any status but 200 is an error.
func (e endpoint) ask(ctx context.Context, method, address string, header http.Header) (*wire.Answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, wrong(e.op, errors.New("the address is not a URL"))
	}
	request.Header = header
	answer, err := wire.Do(e.client, request)
	if err != nil {
		return nil, hop.Failed(keyless.HopSource, e.op, err)
	}
	if answer.Status != http.StatusOK {
		return nil, e.refusal(answer)
	}
	return answer, nil
}

func (e endpoint) refusal(answer *wire.Answer) *keyless.Error {
	refused := oauth.Error(e.op, answer, e.secrets...)
	refused.Code, refused.Hint = "HTTP "+strconv.Itoa(answer.Status), e.hint(answer.Status)
	var d document
	if oauth.Decode(answer.Body, &d) == nil && d.Code != "" && d.SecretAccessKey == "" {
		refused.Code, refused.Message = wire.Quote(d.Code, e.secrets...), wire.Quote(d.Message, e.secrets...)
	}
	if refused.Hint == "" {
		refused.Hint = "the address answers, but gives no credentials; is it the right one?"
	}
	return refused
}

func (e endpoint) read(answer *wire.Answer, obtained time.Time) (keyless.Credentials, error) {
	var d document
	err := oauth.Decode(answer.Body, &d)
	if err == nil && d.Code != "" && !strings.EqualFold(d.Code, "Success") {
		return keyless.Credentials{}, &keyless.Error{
			Hop: keyless.HopSource, Op: e.op, Code: wire.Quote(d.Code, e.secrets...), Message: wire.Quote(d.Message, e.secrets...),
			Hint: "the host has a role, but cannot assume it; does the role still exist, and does it trust the service?",
		}
	}
	if err != nil {
		return keyless.Credentials{}, oauth.Garbage(e.op, answer, err, e.secrets...)
	}
	credentials, err := d.credentials(obtained)
	if err == nil && (d.Expiration == "" || credentials.SessionToken.IsZero()) {
		err = errors.New("the answer has no Expiration or no Token")
	}
	if err != nil {
		return keyless.Credentials{}, oauth.Garbage(e.op, answer, err, e.secrets...)
	}
	return credentials, nil
}

// retry asks again for as long as that may help.
func retry(ctx context.Context, try func(context.Context) (keyless.Credentials, error)) (keyless.Credentials, error) {
	var credentials keyless.Credentials
	err := backoff().Retry(ctx, func(ctx context.Context) (err error) {
		ctx, cancel := context.WithTimeout(ctx, tryTimeout)
		defer cancel()
		credentials, err = try(ctx)
		return err
	}, hop.Verdict)
	return credentials, err
}
