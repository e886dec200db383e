package pipelines

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
	"github.com/keyless-id/keyless/internal/jwtpeek"
	"github.com/keyless-id/keyless/internal/oauth"
	"github.com/keyless-id/keyless/internal/wire"
)

const (
	opJob      = "azure pipelines"
	apiVersion = "7.1"

	// tryTimeout bounds one request of a caller whose context has no deadline.
	tryTimeout = 30 * time.Second
)

var (
	_ keyless.TokenSource = Job{}
	_ keyless.Refresher   = Job{}
)

// Job is a running job of Azure Pipelines that stands for a service connection. The
// token can be asked for as long as the job runs, however short it lasts itself. One
// of Entra's lasts a day and is worth keeping secret for as long.
type Job struct {
	// RequestURI is the job's SYSTEM_OIDCREQUESTURI; a query in it is kept.
	RequestURI string
	// AccessToken is the job's SYSTEM_ACCESSTOKEN, which a task gets only if its env
	// maps $(System.AccessToken).
	AccessToken keyless.Secret
	// ServiceConnectionID is the connection's id, not its name. Zero: the token is the
	// pipeline's own, with a subject that begins with p://.
	ServiceConnectionID string
	// Subject is the subject that the token must have; see [Subject]. Zero: whichever
	// the service gives to the connection.
	Subject string

	Client *http.Client // zero: a shared one that honours HTTPS_PROXY and NO_PROXY
}

// Validate checks the fields.
func (j Job) Validate() error {
	switch {
	case j.AccessToken.IsZero():
		return errors.New("no access token: map it into the task (env: SYSTEM_ACCESSTOKEN: $(System.AccessToken))")
	case strings.ContainsFunc(j.AccessToken.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("the access token has spaces or characters that are not printable ASCII")
	case strings.HasPrefix(j.AccessToken.Reveal(), "$("):
		return errors.New("the access token is a variable's name that nobody replaced: $(System.AccessToken) exists in jobs only")
	}
	if j.ServiceConnectionID != "" && !guid().MatchString(j.ServiceConnectionID) {
		return fmt.Errorf("service connection id %q: want the connection's id (a GUID, resourceId in its address in the portal), not its name", wire.Quote(j.ServiceConnectionID, j.AccessToken.Reveal()))
	}
	_, err := j.address()
	return err
}

// Token asks for a token.
func (j Job) Token(ctx context.Context) (keyless.Token, error) {
	if err := j.Validate(); err != nil {
		return keyless.Token{}, &keyless.Error{Hop: keyless.HopSource, Op: opJob, Err: err}
	}
	var token keyless.Token
	err := backoff().Retry(ctx, func(ctx context.Context) (err error) {
		token, err = j.try(ctx)
		return err
	}, hop.Verdict)
	return token, err
}

// Refresh asks for another token. The service keeps none, so it is a new one.
func (j Job) Refresh(ctx context.Context, _ keyless.Token, _ string) (keyless.Token, error) {
	return j.Token(ctx)
}

func backoff() wire.Backoff {
	return wire.Backoff{Tries: 3, First: 500 * time.Millisecond, Max: 4 * time.Second}
}

// address joins the parameters to the query that the agent's URI may have.
func (j Job) address() (string, error) {
	if j.RequestURI == "" {
		return "", errors.New("no request URI: SYSTEM_OIDCREQUESTURI is empty; is this a job of Azure Pipelines, with an agent of 2023 or later?")
	}
	given, err := url.Parse(j.RequestURI)
	if err != nil {
		return "", fmt.Errorf("request URI %q: not a URL", wire.Quote(j.RequestURI))
	}
	query := given.Query()
	given.RawQuery, given.ForceQuery = "", false
	base, err := wire.Endpoint(given.String())
	if err != nil {
		return "", fmt.Errorf("request URI: %w", err)
	}
	query.Set("api-version", apiVersion)
	if j.ServiceConnectionID != "" {
		query.Set("serviceConnectionId", j.ServiceConnectionID)
	}
	base.RawQuery = query.Encode()
	return base.String(), nil
}

func (j Job) try(ctx context.Context) (keyless.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	request, err := j.request(ctx)
	if err != nil {
		return keyless.Token{}, &keyless.Error{Hop: keyless.HopSource, Op: opJob, Err: err}
	}
	client := j.Client
	if client == nil {
		client = wire.Cloud()
	}
	obtained := time.Now()
	answer, err := wire.Do(client, request)
	if err != nil {
		return keyless.Token{}, failed(err)
	}
	return j.read(answer, obtained)
}

func (j Job) request(ctx context.Context) (*http.Request, error) {
	address, err := j.address()
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+j.AccessToken.Reveal())
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-TFS-FedAuthRedirect", "Suppress") // a 401, not a page to sign in on
	return request, nil
}

func (j Job) read(answer *wire.Answer, obtained time.Time) (keyless.Token, error) {
	if answer.Status != http.StatusOK {
		return keyless.Token{}, j.refusal(answer)
	}
	var body struct {
		Token string `json:"oidcToken"`
	}
	secret := j.AccessToken.Reveal()
	if err := oauth.Decode(answer.Body, &body); err != nil {
		return keyless.Token{}, oauth.Garbage(opJob, answer, fmt.Errorf("the answer is no token: %w", err), secret)
	}
	if body.Token == "" {
		return keyless.Token{}, oauth.Garbage(opJob, answer, errors.New("the answer has an empty oidcToken"), secret)
	}
	claims, err := jwtpeek.Unverified(body.Token)
	if err != nil {
		return keyless.Token{}, oauth.Garbage(opJob, answer, fmt.Errorf("oidcToken: %w", err), secret)
	}
	if claims.Expiry.IsZero() {
		return keyless.Token{}, oauth.Garbage(opJob, answer, errors.New("oidcToken does not say how long it lasts: no exp"), secret)
	}
	if err := j.compare(identify(claims)); err != nil {
		return keyless.Token{}, err
	}
	return keyless.Token{Value: keyless.NewSecret(body.Token), Obtained: obtained, Expiry: claims.Expiry}, nil
}
