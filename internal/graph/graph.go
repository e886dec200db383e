// Package graph reads and changes what AWS's side of a federation needs of a tenant:
// applications, service principals, role assignments and federated credentials, by
// plain requests ("Microsoft Graph REST API v1.0"); and managed identities, which
// Azure Resource Manager keeps.
package graph

import (
	"bytes"
	"context"
	"encoding/json"
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

// The hops of errors of this package: what lays the way from a token to credentials.
const (
	HopGraph keyless.Hop = "graph"
	HopARM   keyless.Hop = "arm"
)

// Is reports whether err is a refusal with one of these codes.
func Is(err error, codes ...string) bool {
	var e *keyless.Error
	if !errors.As(err, &e) {
		return false
	}
	for _, code := range codes {
		if e.Code == code {
			return true
		}
	}
	return false
}

// Missing reports whether err says that there is no such thing, or not yet: what was
// created a moment ago is unknown to some of the directory's servers for a while.
func Missing(err error) bool {
	return Is(err, "Request_ResourceNotFound", "ResourceNotFound", "ResourceGroupNotFound", "NotFound", "HTTP 404")
}

const tryTimeout = 30 * time.Second

func backoff() wire.Backoff {
	return wire.Backoff{Tries: 4, First: 400 * time.Millisecond, Max: 4 * time.Second}
}

// service is a REST service that takes Entra's tokens.
type service struct {
	hop    keyless.Hop
	base   string // its address
	source keyless.TokenSource
	client *http.Client
}

// call is one request.
type call struct {
	op     string // what errors call it
	method string
	path   string     // below the base; or, of a next page, a whole address
	query  url.Values // may be nil
	body   any        // nil: none
	into   any        // nil: the answer is of no interest
}

// do asks, and asks again for as long as that may help. What creates something under a
// name that the far side chooses is asked again only if the far side has refused it.
func (s service) do(ctx context.Context, c call) error {
	if s.source == nil {
		return &keyless.Error{Hop: s.hop, Op: c.op, Err: errors.New("no token source to ask with")}
	}
	token, err := s.source.Token(ctx)
	if err != nil {
		return err
	}
	answered := false
	return backoff().Retry(ctx, func(ctx context.Context) (err error) {
		answered, err = s.try(ctx, c, token)
		return err
	}, func(err error) wire.Verdict {
		verdict := hop.Verdict(err)
		verdict.Again = verdict.Again && (answered || c.method != http.MethodPost)
		return verdict
	})
}

func (s service) try(ctx context.Context, c call, token keyless.Token) (answered bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	request, err := s.request(ctx, c)
	if err != nil {
		return true, &keyless.Error{Hop: s.hop, Op: c.op, Err: err}
	}
	request.Header.Set("Authorization", "Bearer "+token.Value.Reveal())
	answer, err := wire.Do(s.httpClient(), request)
	if err != nil {
		return false, hop.Failed(s.hop, c.op, err)
	}
	if answer.Status >= http.StatusMultipleChoices {
		return true, s.refusal(c, answer, token.Value.Reveal())
	}
	if c.into == nil {
		return true, nil
	}
	if err := json.Unmarshal(answer.Body, c.into); err != nil {
		return true, &keyless.Error{Hop: s.hop, Op: c.op, Message: "the answer is not the JSON of this service", Hint: "is the address right, and is a proxy or captive portal answering in its place?"}
	}
	return true, nil
}

func (s service) request(ctx context.Context, c call) (*http.Request, error) {
	address, err := s.address(c)
	if err != nil {
		return nil, err
	}
	var body []byte
	if c.body != nil {
		if body, err = json.Marshal(c.body); err != nil {
			return nil, err
		}
	}
	request, err := http.NewRequestWithContext(ctx, c.method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if c.body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	return request, nil
}

// address of a next page must be the service's own: a token goes there.
func (s service) address(c call) (string, error) {
	base, err := wire.Endpoint(s.base)
	if err != nil {
		return "", err
	}
	if strings.Contains(c.path, "://") {
		next, err := url.Parse(c.path)
		if err != nil || next.Scheme != base.Scheme || next.Host != base.Host || next.User != nil {
			return "", errors.New("the answer sends to another host for its next page")
		}
		return c.path, nil
	}
	address := strings.TrimSuffix(base.String(), "/") + c.path
	if len(c.query) > 0 {
		// Both services read %20 in a filter, and not everywhere a plus.
		address += "?" + strings.ReplaceAll(c.query.Encode(), "+", "%20")
	}
	return address, nil
}

func (s service) httpClient() *http.Client {
	if s.client != nil {
		return s.client
	}
	return wire.Cloud()
}

// refusal reads the error body that both services have ("Microsoft Graph error
// responses and resource types"; "Common Azure Resource Manager errors").
func (s service) refusal(c call, answer *wire.Answer, token string) *keyless.Error {
	var body struct {
		Error struct {
			Code    string
			Message string
		}
	}
	e := &keyless.Error{Hop: s.hop, Op: c.op, RetryAfter: answer.RetryAfter()}
	if err := json.Unmarshal(answer.Body, &body); err == nil && body.Error.Code != "" {
		e.Code, e.Message = wire.Quote(body.Error.Code, token), wire.Quote(body.Error.Message, token)
	} else {
		e.Code, e.Message = "HTTP "+strconv.Itoa(answer.Status), answer.Excerpt(token)
	}
	e.Temporary = answer.Status == http.StatusTooManyRequests || answer.Status >= 500 || e.Code == "Directory_ConcurrencyViolation" || e.Code == "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity"
	e.Hint = hint(e, answer)
	return e
}

func hint(e *keyless.Error, answer *wire.Answer) string {
	switch e.Code {
	case "Authorization_RequestDenied":
		return "the Azure login that was used needs the role Application Administrator, or the permissions Application.ReadWrite.All and AppRoleAssignment.ReadWrite.All"
	case "AuthorizationFailed":
		return "the Azure login that was used needs a role on this resource: Reader to look, Managed Identity Contributor to add a federated credential"
	case "InvalidAuthenticationToken", "ExpiredAuthenticationToken":
		return hop.ClockHint(answer, time.Now(), "the Azure login is not valid for this service; sign in again (az login)")
	}
	if e.Temporary {
		return "the service is busy or out of order; it was asked several times, and may answer later"
	}
	return ""
}

// list asks for each page of a listing; visit gets the values of each.
func list[T any](ctx context.Context, s service, c call, next func(page) string) ([]T, error) {
	var all []T
	for {
		var got page
		c.into = &got
		if err := s.do(ctx, c); err != nil {
			return nil, err
		}
		var values []T
		if err := json.Unmarshal(got.Value, &values); err != nil {
			return nil, &keyless.Error{Hop: s.hop, Op: c.op, Message: "the answer is not a listing"}
		}
		all = append(all, values...)
		following := next(got)
		if following == "" || following == c.path {
			return all, nil
		}
		c.path, c.query = following, nil
	}
}

// page is one of a listing, as Graph and as Resource Manager name the next one.
type page struct {
	Value     json.RawMessage
	GraphNext string `json:"@odata.nextLink"`
	ARMNext   string `json:"nextLink"`
}
