package main

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/sigv4"
	"github.com/keyless-id/keyless/internal/wire"
	"github.com/keyless-id/keyless/trust"
)

// lastDecision is the verdict of a trust policy that STS came to last.
func (s *story) lastDecision() *trust.Decision {
	events := s.Log()
	for i := len(events) - 1; i >= 0; i-- {
		if events[i].Decision != nil {
			return events[i].Decision
		}
	}
	return nil
}

func checksOf(decision *trust.Decision) []check {
	var all []check
	for _, statement := range decision.Statements {
		for _, c := range statement.Conditions {
			all = append(all, check{Condition: c.Operator + " " + c.Key, Want: c.Want, Got: c.Got, OK: c.OK})
		}
	}
	return all
}

// identity is the answer of GetCallerIdentity (AWS STS, API reference).
type identity struct {
	ARN     string `xml:"GetCallerIdentityResult>Arn"`
	Account string `xml:"GetCallerIdentityResult>Account"`
}

// service is an AWS service as the holder of credentials sees it.
type service struct {
	name, address string
	credentials   keyless.Credentials
}

func (s service) callerIdentity(ctx context.Context) (identity, error) {
	form := url.Values{"Action": {"GetCallerIdentity"}, "Version": {"2011-06-15"}}.Encode()
	answer, err := s.ask(ctx, http.MethodPost, "/", form)
	if err != nil {
		return identity{}, err
	}
	var who identity
	err = xml.Unmarshal(answer, &who)
	return who, err
}

func (s service) listBucket(ctx context.Context, bucket string) ([]string, error) {
	answer, err := s.ask(ctx, http.MethodGet, "/"+bucket+"?list-type=2", "")
	if err != nil {
		return nil, err
	}
	var listing struct {
		Keys []string `xml:"Contents>Key"`
	}
	err = xml.Unmarshal(answer, &listing)
	return listing.Keys, err
}

func (s service) readObject(ctx context.Context, bucket, key string) (string, error) {
	answer, err := s.ask(ctx, http.MethodGet, "/"+bucket+"/"+key, "")
	return string(answer), err
}

// ask sends a signed request and returns the answer's body.
func (s service) ask(ctx context.Context, method, path, body string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, s.address+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	c := s.credentials
	keys := sigv4.Keys{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey.Reveal(), SessionToken: c.SessionToken.Reveal()}
	scope := sigv4.Scope{Service: s.name, Region: "us-east-1", Time: time.Now()}
	sigv4.Sign(request, []byte(body), keys, scope)
	answer, err := wire.Do(wire.Cloud(), request)
	if err != nil {
		return nil, err
	}
	if answer.Status != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d: %s", s.name, answer.Status, answer.Excerpt(keys.SecretAccessKey, keys.SessionToken))
	}
	return answer.Body, nil
}
