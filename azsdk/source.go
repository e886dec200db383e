package azsdk

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/hop"
	"github.com/keyless-id/keyless/internal/oauth"
)

var (
	_ keyless.TokenSource = Source{}
	_ keyless.Refresher   = Source{}
)

// Source is any of the Azure SDK's credentials as a source for keyless: one from
// azidentity, or a program's own.
type Source struct {
	Credential azcore.TokenCredential
	Audience   string // the App ID URI that the token is for, without /.default
	TenantID   string // zero: the credential's own
	// EnableCAE asks for tokens that can be revoked at once, for APIs that send claims
	// challenges.
	EnableCAE bool
}

// Token asks the credential, which may answer from a cache of its own.
func (s Source) Token(ctx context.Context) (keyless.Token, error) {
	return s.Refresh(ctx, keyless.Token{}, "")
}

// Refresh asks for another token that meets the claims challenge, if there is one. A
// credential without a challenge to meet may well return the one it has.
func (s Source) Refresh(ctx context.Context, _ keyless.Token, claims string) (keyless.Token, error) {
	if s.Credential == nil {
		return keyless.Token{}, hop.Foreign(keyless.HopSource, opSDK, errors.New("no credential"))
	}
	obtained := time.Now()
	token, err := s.Credential.GetToken(ctx, policy.TokenRequestOptions{
		Scopes: []string{strings.TrimSuffix(s.Audience, suffix) + suffix}, TenantID: s.TenantID, EnableCAE: s.EnableCAE, Claims: claims,
	})
	switch {
	case err != nil:
		return keyless.Token{}, failed(err)
	case token.Token == "" || token.ExpiresOn.IsZero():
		return keyless.Token{}, hop.Foreign(keyless.HopSource, opSDK, errors.New("the credential returned a token that is empty or does not say how long it lasts"))
	}
	return keyless.Token{
		Value: keyless.NewSecret(token.Token), Obtained: obtained, Expiry: token.ExpiresOn.UTC(), RefreshAt: token.RefreshOn,
	}, nil
}

// failed knows Entra's codes wherever the SDK puts them.
func failed(err error) error {
	e := hop.Foreign(keyless.HopSource, opSDK, err)
	if e.Code == "" {
		e.Code, e.Hint = oauth.Mentioned(err.Error())
	}
	var answer *azcore.ResponseError
	if errors.As(err, &answer) {
		e.RetryAfter = retryAfter(answer)
		e.Temporary = e.Temporary || answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode >= http.StatusInternalServerError
	}
	if e.Hint == "" {
		e.Hint = "the Azure SDK's credential failed; its message says why"
	}
	return e
}

func retryAfter(answer *azcore.ResponseError) time.Duration {
	if answer.RawResponse == nil {
		return 0
	}
	seconds, _ := strconv.Atoi(answer.RawResponse.Header.Get("Retry-After")) // a date, or none: zero
	return time.Duration(max(seconds, 0)) * time.Second
}
