package azhost

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/hop"
	"github.com/keyless-id/keyless/internal/oauth"
	"github.com/keyless-id/keyless/internal/wire"
)

const (
	// connectTimeout is for somebody to be there at all, answerTimeout for the
	// answer: the endpoint may have to ask Entra first.
	connectTimeout = 2500 * time.Millisecond
	answerTimeout  = 20 * time.Second
)

// endpoint is what the token endpoints of all hosts have in common.
type endpoint struct {
	op      string // what errors call it
	client  *http.Client
	secrets []string // what the requests prove themselves with
	absent  string   // the hint when nobody is there
	// refuse adds what this endpoint's refusals mean; nil: nothing.
	refuse func(e *keyless.Error, answer *wire.Answer, secrets []string)
}

// token calls try until there is a token or no point in trying again.
func (e endpoint) token(ctx context.Context, try func(context.Context) (keyless.Token, error)) (keyless.Token, error) {
	var token keyless.Token
	started := time.Now()
	err := backoff().Retry(ctx, func(ctx context.Context) (err error) {
		token, err = try(ctx)
		return err
	}, func(err error) wire.Verdict { return judge(err, time.Since(started)) })
	return token, err
}

// get is for endpoints that one GET with a header suffices for.
func (e endpoint) get(ctx context.Context, address, header, value string) (keyless.Token, error) {
	return e.simple(ctx, func(ctx context.Context) (*http.Request, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err == nil {
			request.Header.Set(header, value)
		}
		return request, err
	})
}

// simple is for endpoints that one request suffices for.
func (e endpoint) simple(ctx context.Context, request func(context.Context) (*http.Request, error)) (keyless.Token, error) {
	return e.token(ctx, func(ctx context.Context) (keyless.Token, error) {
		r, err := request(ctx)
		if err != nil {
			return keyless.Token{}, e.wrong(err)
		}
		obtained := time.Now()
		answer, err := e.ask(r)
		if err != nil {
			return keyless.Token{}, err
		}
		return e.read(answer, obtained)
	})
}

// ask sends one request, and tells an endpoint that is absent from one that is slow.
func (e endpoint) ask(request *http.Request) (*wire.Answer, error) {
	ctx := request.Context()
	patient, stop := patience(ctx)
	defer stop()
	request.Header.Set("Accept", "application/json")
	answer, err := wire.Do(e.client, request.WithContext(patient))
	switch {
	case err == nil:
		return answer, nil
	case ctx.Err() == nil && patient.Err() != nil:
		return nil, e.nobody(request.URL.Host, context.Cause(patient))
	case ctx.Err() == nil && (wire.Refused(err) || timedOut(err)):
		return nil, e.nobody(request.URL.Host, cause(err))
	}
	failed := hop.Failed(keyless.HopSource, e.op, err)
	if errors.Is(err, errThumbprint) {
		failed.Temporary = false
		failed.Hint = "somebody else answers in the node's place, or its certificate was renewed since this program started; restart the service"
	}
	return nil, failed
}

func (e endpoint) read(answer *wire.Answer, obtained time.Time) (keyless.Token, error) {
	if answer.Status != http.StatusOK {
		return keyless.Token{}, e.refusal(answer)
	}
	token, err := oauth.Token(answer.Body, obtained)
	if err != nil {
		return keyless.Token{}, oauth.Garbage(e.op, answer, err, e.secrets...)
	}
	return token, nil
}

func (e endpoint) refusal(answer *wire.Answer) *keyless.Error {
	refused := oauth.Error(e.op, answer, e.secrets...)
	if e.refuse != nil {
		e.refuse(refused, answer, e.secrets)
	}
	return refused
}

// wrong is the error of a source that cannot even ask.
func (e endpoint) wrong(err error) error {
	return &keyless.Error{Hop: keyless.HopSource, Op: e.op, Err: err}
}

// nobody is temporary because the endpoint may come up later than the program.
func (e endpoint) nobody(host string, err error) *keyless.Error {
	return &keyless.Error{
		Hop: keyless.HopSource, Op: e.op, Code: CodeAbsent, Err: &wire.Error{Host: host, Err: err}, Temporary: true,
		Hint: strings.ReplaceAll(e.absent, "HOST", host),
	}
}

var (
	errAbsent = errors.New("nobody is there")
	errSilent = fmt.Errorf("connected, but no answer within %s", answerTimeout)
)

// patience returns a context that ends soon while there is no connection, and
// much later once there is one.
func patience(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	nobody := time.AfterFunc(connectTimeout, func() { cancel(errAbsent) })
	silent := time.AfterFunc(answerTimeout, func() { cancel(errSilent) })
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { nobody.Stop() }}
	return httptrace.WithClientTrace(ctx, trace), func() {
		nobody.Stop()
		silent.Stop()
		cancel(nil)
	}
}

func timedOut(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

func cause(err error) error {
	var outer *wire.Error
	if errors.As(err, &outer) {
		return outer.Err
	}
	return err
}

// orClient returns the client that a source was given, or the usual one.
func orClient(given *http.Client, usual func() *http.Client) *http.Client {
	if given != nil {
		return given
	}
	return usual()
}

// checkResource is what all endpoints ask of a resource.
func checkResource(resource string) error {
	if resource == "" || strings.ContainsFunc(resource, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("resource %q: want the App ID URI that the token is for", wire.Quote(resource))
	}
	return nil
}

// checkHeader refuses what does not fit into a header.
func checkHeader(name string, value keyless.Secret) error {
	if value.IsZero() || strings.ContainsFunc(value.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("%s is empty, or has spaces or characters that are not printable ASCII", name)
	}
	return nil
}

// selector holds the ids by the names that a host gives them; at most one is set.
func selector(names map[string]string) (map[string]string, error) {
	chosen := map[string]string{}
	for name, value := range names {
		if value != "" {
			chosen[name] = value
		}
	}
	if len(chosen) > 1 {
		return nil, errors.New("more than one of client id, object id and resource id; want at most one")
	}
	return chosen, nil
}
