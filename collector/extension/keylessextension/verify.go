package keylessextension

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/keyless-id/keyless/transport"
)

// refusalError is why a token that the issuer signed does not let its holder in.
type refusalError string

func (e refusalError) Error() string { return string(e) }

// keysError says that nothing is known of the token, since the keys cannot be had.
type keysError struct{ err error }

func (e *keysError) Error() string { return "the issuer's keys: " + e.err.Error() }

func (e *keysError) Unwrap() error { return e.err }

// verifier judges tokens. The issuer's keys are fetched when the first token comes, again
// when one is signed by a key that is not among them, and kept while they cannot be had.
type verifier struct {
	config ServerConfig
	client *http.Client

	turn  chan struct{} // held by whoever finds out where the keys are
	known atomic.Pointer[oidc.IDTokenVerifier]
}

func newVerifier(config ServerConfig) *verifier {
	return &verifier{config: config, turn: make(chan struct{}, 1)}
}

// The times to leave the issuer alone: tokens with keys that nobody knows cost their sender
// nothing, and must not cost the issuer more. Entra shows a key long before it signs with it.
const (
	afterKeys    = 10 * time.Second
	afterFailure = time.Second
	keysTimeout  = 10 * time.Second
	maxKeys      = 1 << 20 // bytes
)

// prepare makes the client, and asks nobody.
func (v *verifier) prepare() error {
	base := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
		DisableKeepAlives: true, // the next request is hours away
	}
	if v.config.CAFile != "" {
		pem, err := os.ReadFile(v.config.CAFile)
		if err != nil {
			return fmt.Errorf("server: ca_file: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return errors.New("server: ca_file: no certificates in it")
		}
		base.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	v.client = &http.Client{
		Transport: &patient{base: base, next: map[string]pause{}}, Timeout: keysTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return nil
}

// verify checks the signature first, and believes nothing before.
func (v *verifier) verify(ctx context.Context, raw string) (*caller, error) {
	verifier, err := v.issuer(ctx)
	if err != nil {
		return nil, &keysError{err}
	}
	token, err := verifier.Verify(ctx, raw)
	if err != nil {
		return nil, whySignature(err)
	}
	var c claims
	if err := token.Claims(&c); err != nil {
		return nil, refusalError("the token's claims cannot be read")
	}
	if err := v.judge(token, c, time.Now()); err != nil {
		return nil, err
	}
	return c.caller(token), nil
}

// whySignature tells keys that could not be had from a signature that is wrong, of which
// go-oidc's words are the only trace. Keys that came a moment ago are all that there are.
func whySignature(err error) error {
	text := err.Error()
	if strings.Contains(text, "fetching keys") && !strings.Contains(text, errSoon.Error()) {
		return &keysError{err}
	}
	return err
}

// algorithms are those with a public key. The symmetric ones and none are not among them:
// whoever has the public key could sign.
func algorithms() []string {
	return []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512}
}

// issuer returns the verifier of signatures, and finds out where the keys are if that is not
// known.
func (v *verifier) issuer(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	if known := v.known.Load(); known != nil {
		return known, nil
	}
	select {
	case v.turn <- struct{}{}:
		defer func() { <-v.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if known := v.known.Load(); known != nil { // somebody else was quicker
		return known, nil
	}
	found, err := v.discover(oidc.ClientContext(context.WithoutCancel(ctx), v.client))
	if err != nil {
		return nil, err
	}
	v.known.Store(found)
	return found, nil
}

// discover leaves all but the signature to judge: a tenant has two issuers, and a leeway
// cannot be set in go-oidc.
func (v *verifier) discover(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	config := &oidc.Config{SupportedSigningAlgs: algorithms(), SkipClientIDCheck: true, SkipIssuerCheck: true, SkipExpiryCheck: true}
	if at := v.config.keysAt(); at != "" {
		return oidc.NewVerifier(v.config.Issuer, oidc.NewRemoteKeySet(ctx, at), config), nil
	}
	provider, err := oidc.NewProvider(ctx, v.config.Issuer)
	if err != nil {
		return nil, err
	}
	return provider.VerifierContext(ctx, config), nil
}

// keysAt is where the keys are, unless the discovery document has to say so. Those of both
// issuers of a tenant are the same ("Access tokens in the Microsoft identity platform",
// Microsoft Learn, "Validate the signature").
func (s *ServerConfig) keysAt() string {
	if s.JWKSURL == "" && s.Issuer == "" {
		return "https://login.microsoftonline.com/" + s.Tenant + "/discovery/v2.0/keys"
	}
	return s.JWKSURL
}

// issuers are the iss claims to let in.
func (s *ServerConfig) issuers() []string {
	if s.Issuer != "" {
		return []string{s.Issuer}
	}
	tenant := strings.ToLower(s.Tenant)
	return []string{"https://sts.windows.net/" + tenant + "/", "https://login.microsoftonline.com/" + tenant + "/v2.0"}
}

// claims are those that count ("Access token claims reference", Microsoft Learn).
type claims struct {
	Expiry    *float64 `json:"exp"`
	NotBefore *float64 `json:"nbf"`
	Tenant    string   `json:"tid"`
	Object    string   `json:"oid"`
	Roles     []string `json:"roles"`
	Client    string   `json:"azp"`   // of v2.0 tokens
	ClientV1  string   `json:"appid"` // of v1.0 tokens
}

// judge checks all but the signature.
func (v *verifier) judge(token *oidc.IDToken, c claims, now time.Time) error {
	s := v.config
	switch {
	case !slices.Contains(s.issuers(), token.Issuer):
		return refusalError("the token's issuer is not the one that is trusted here")
	case s.Tenant != "" && !strings.EqualFold(c.Tenant, s.Tenant):
		return refusalError("the token's tenant is not the one that is trusted here")
	case !common(s.Audience, token.Audience):
		return refusalError("the token is for another audience")
	}
	if err := c.inTime(now, s.Leeway); err != nil {
		return err
	}
	switch {
	case len(s.Roles) > 0 && !common(s.Roles, c.Roles):
		return refusalError("the token has none of the roles that are wanted")
	case len(s.Subjects) > 0 && !common(s.Subjects, []string{token.Subject, c.Object}):
		return refusalError("the token's subject is not among those that are let in")
	}
	return nil
}

// inTime wants an end, and takes a missing beginning for the first of all days.
func (c claims) inTime(now time.Time, leeway time.Duration) error {
	seconds := float64(now.UnixMilli()) / 1000
	switch {
	case c.Expiry == nil:
		return refusalError("the token has no end")
	case seconds >= *c.Expiry+leeway.Seconds():
		return refusalError("the token has expired")
	case c.NotBefore != nil && seconds < *c.NotBefore-leeway.Seconds():
		return refusalError("the token is not valid yet")
	}
	return nil
}

func common(some, others []string) bool {
	return slices.ContainsFunc(some, func(one string) bool { return slices.Contains(others, one) })
}

func (c claims) caller(token *oidc.IDToken) *caller {
	client := c.Client
	if client == "" {
		client = c.ClientV1
	}
	all := map[string]any{}
	for name, value := range map[string]string{"issuer": token.Issuer, "subject": token.Subject, "tenant": c.Tenant, "oid": c.Object, "azp": client} {
		if value != "" {
			all[name] = value
		}
	}
	if len(c.Roles) > 0 {
		all["roles"] = c.Roles
	}
	return &caller{all}
}

// patient asks for the same address no more often than is polite, over no connection on which
// somebody else could answer, and reads no more of an answer than is sensible.
type patient struct {
	base http.RoundTripper

	mu   sync.Mutex
	next map[string]pause
}

// pause is when an address may be asked again, and what is said until then.
type pause struct {
	end    time.Time
	reason error
}

var (
	errSoon  = errors.New("the keys are fresh")
	errDown  = errors.New("asked a moment ago in vain")
	errPlain = errors.New("the address is not one of https")
)

// RoundTrip implements [http.RoundTripper].
func (p *patient) RoundTrip(r *http.Request) (*http.Response, error) {
	if !transport.Encrypted(r.URL) { // a discovery document may say so
		return nil, errPlain
	}
	address := r.URL.String()
	if err := p.admit(address); err != nil {
		return nil, err
	}
	answer, err := p.base.RoundTrip(r)
	if err != nil || answer.StatusCode != http.StatusOK {
		p.wait(address, pause{time.Now().Add(afterFailure), errDown})
		return answer, err
	}
	p.wait(address, pause{time.Now().Add(afterKeys), errSoon})
	answer.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(answer.Body, maxKeys), answer.Body}
	return answer, nil
}

// admit lets one request at a time go to an address.
func (p *patient) admit(address string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if next := p.next[address]; now.Before(next.end) {
		return next.reason
	}
	p.next[address] = pause{now.Add(keysTimeout), errDown}
	return nil
}

func (p *patient) wait(address string, next pause) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next[address] = next
}
