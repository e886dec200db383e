package entra

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/hop"
	"github.com/keyless-id/keyless/internal/oauth"
	"github.com/keyless-id/keyless/internal/pattern"
	"github.com/keyless-id/keyless/internal/wire"
)

// tryTimeout bounds one request of a caller whose context has no deadline.
const tryTimeout = 30 * time.Second

// application is what all kinds of proof have in common.
type application struct {
	op        string // what errors call it
	tenant    string
	client    string
	scope     string
	authority string
	http      *http.Client
}

// proof returns the form members by which the application proves itself to the
// token endpoint, and which of their values must never be printed.
type proof func(ctx context.Context, endpoint string) (members url.Values, secrets []string, err error)

var domain = pattern.Lazy(`^[0-9A-Za-z]([0-9A-Za-z-]*[0-9A-Za-z])?(\.[0-9A-Za-z]([0-9A-Za-z-]*[0-9A-Za-z])?)+$`)

func (a application) validate() error {
	switch {
	case !pattern.GUID(a.tenant) && !domain().MatchString(a.tenant):
		return fmt.Errorf("tenant id %q: want a GUID or a domain of the tenant", wire.Quote(a.tenant))
	case !pattern.GUID(a.client):
		return fmt.Errorf("client id %q: want the application's GUID", wire.Quote(a.client))
	case strings.ContainsFunc(a.scope, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fmt.Errorf("scope %q: want one scope, without spaces", wire.Quote(a.scope))
	case len(a.scope) <= len(defaultSuffix) || !strings.HasSuffix(a.scope, defaultSuffix):
		return fmt.Errorf("scope %q: want an App ID URI followed by /.default", wire.Quote(a.scope))
	}
	_, err := a.endpoint()
	return err
}

// endpoint is the v2.0 token endpoint. It is known without discovery.
func (a application) endpoint() (string, error) {
	authority := a.authority
	if authority == "" {
		authority = DefaultAuthority
	}
	base, err := wire.Endpoint(authority)
	if err != nil {
		return "", fmt.Errorf("authority: %w", err)
	}
	return base.JoinPath(a.tenant, "oauth2", "v2.0", "token").String(), nil
}

// wrong is the error of a source that cannot even ask.
func (a application) wrong(err error) error {
	var already *keyless.Error
	if errors.As(err, &already) {
		return err
	}
	return &keyless.Error{Hop: keyless.HopSource, Op: a.op, Err: err}
}

// backoff keeps a cold start short: a cache in front goes on trying after it.
func backoff() wire.Backoff {
	return wire.Backoff{Tries: 3, First: 500 * time.Millisecond, Max: 4 * time.Second}
}

// token asks for a token. The proof is made anew for each try: a file may have
// been rotated meanwhile, and a signed assertion is for one use.
func (a application) token(ctx context.Context, prove proof, claims string) (keyless.Token, error) {
	if err := a.validate(); err != nil {
		return keyless.Token{}, a.wrong(err)
	}
	var token keyless.Token
	err := backoff().Retry(ctx, func(ctx context.Context) (err error) {
		token, err = a.try(ctx, prove, claims)
		return err
	}, judge)
	if final, ok := err.(settled); ok { //nolint:errorlint // as judge saw it, not deeper
		err = final.error
	}
	return token, err
}

func judge(err error) wire.Verdict {
	if errors.As(err, new(settled)) {
		return wire.Verdict{}
	}
	verdict := hop.Verdict(err)
	var e *keyless.Error
	if errors.As(err, &e) && oauth.Propagating(e.Code) {
		verdict.Again = true
	}
	return verdict
}

func (a application) try(ctx context.Context, prove proof, claims string) (keyless.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	endpoint, err := a.endpoint()
	if err != nil {
		return keyless.Token{}, a.wrong(err)
	}
	members, secrets, err := prove(ctx, endpoint)
	if err != nil {
		return keyless.Token{}, a.wrong(err)
	}
	obtained := time.Now()
	answer, err := a.post(ctx, endpoint, a.form(members, claims))
	if err != nil {
		return keyless.Token{}, hop.Failed(keyless.HopSource, a.op, err)
	}
	return a.read(answer, obtained, secrets)
}

func (a application) form(members url.Values, claims string) url.Values {
	form := url.Values{
		"grant_type": {"client_credentials"},
		"client_id":  {a.client},
		"scope":      {a.scope},
	}
	for name, values := range members {
		form[name] = values
	}
	if claims != "" {
		form.Set("claims", claims)
	}
	return form
}

func (a application) post(ctx context.Context, endpoint string, form url.Values) (*wire.Answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	client := a.http
	if client == nil {
		client = wire.Cloud()
	}
	return wire.Do(client, request)
}

func (a application) read(answer *wire.Answer, obtained time.Time, secrets []string) (keyless.Token, error) {
	if answer.Status != http.StatusOK {
		refused := oauth.Error(a.op, answer, secrets...)
		if refused.Code == "AADSTS700024" { // not valid now: the clock, most often
			refused.Hint = hop.ClockHint(answer, time.Now(), refused.Hint)
		}
		return keyless.Token{}, refused
	}
	token, err := oauth.Token(answer.Body, obtained)
	if err != nil {
		return keyless.Token{}, oauth.Garbage(a.op, answer, err, secrets...)
	}
	return token, nil
}
