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

func callerIdentity(ctx context.Context, sts string, c keyless.Credentials) (identity, error) {
	form := url.Values{"Action": {"GetCallerIdentity"}, "Version": {"2011-06-15"}}.Encode()
	answer, err := signed(ctx, http.MethodPost, sts+"/", form, "sts", c)
	if err != nil {
		return identity{}, err
	}
	var who identity
	err = xml.Unmarshal(answer, &who)
	return who, err
}

func listBucket(ctx context.Context, s3, bucket string, c keyless.Credentials) ([]string, error) {
	answer, err := signed(ctx, http.MethodGet, s3+"/"+bucket+"?list-type=2", "", "s3", c)
	if err != nil {
		return nil, err
	}
	var listing struct {
		Keys []string `xml:"Contents>Key"`
	}
	err = xml.Unmarshal(answer, &listing)
	return listing.Keys, err
}

func readObject(ctx context.Context, s3, bucket, key string, c keyless.Credentials) (string, error) {
	answer, err := signed(ctx, http.MethodGet, s3+"/"+bucket+"/"+key, "", "s3", c)
	return string(answer), err
}

// signed asks AWS for something with credentials and returns the answer's body.
func signed(ctx context.Context, method, address, body, service string, c keyless.Credentials) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	keys := sigv4.Keys{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey.Reveal(), SessionToken: c.SessionToken.Reveal()}
	scope := sigv4.Scope{Service: service, Region: "us-east-1", Time: time.Now()}
	sigv4.Sign(request, []byte(body), keys, scope)
	answer, err := wire.Do(wire.Cloud(), request)
	if err != nil {
		return nil, err
	}
	if answer.Status != http.StatusOK {
		return nil, fmt.Errorf("%s answered %d: %s", service, answer.Status, answer.Excerpt(keys.SecretAccessKey, keys.SessionToken))
	}
	return answer.Body, nil
}
