package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/keyless-id/keyless/trust"
)

// playsIssuer reports whether a URL is below an issuer of the world.
func (s *Sandbox) playsIssuer(u *url.URL) bool {
	_, _, found := s.issuerAt(u.Host, u.Path)
	return found
}

// issuerAt finds the issuer and what is asked of it.
func (s *Sandbox) issuerAt(host, path string) (*Issuer, string, bool) {
	for issuerURL, issuer := range s.index.issuers {
		base := strings.TrimSuffix(trust.ProviderKey(issuerURL), "/")
		if rest, found := strings.CutPrefix(host+path, base+"/.well-known/"); found {
			return issuer, rest, true
		}
	}
	return nil, "", false
}

// serveIssuer is OpenID Connect Discovery 1.0 for the issuers of the world.
func (s *Sandbox) serveIssuer(w http.ResponseWriter, r *http.Request) {
	if fault := s.arrive(Keys, r); fault != nil {
		s.play(fault, Keys, s.issuerDocument, w, r)
		return
	}
	s.issuerDocument(w, r)
}

func (s *Sandbox) issuerDocument(w http.ResponseWriter, r *http.Request) {
	issuer, document, found := s.issuerAt(r.Host, r.URL.Path)
	switch {
	case !found:
		http.NotFound(w, r)
	case document == "openid-configuration":
		writeJSON(w, http.StatusOK, map[string]any{
			"issuer":                                issuer.URL,
			"jwks_uri":                              strings.TrimSuffix(issuer.URL, "/") + "/.well-known/jwks",
			"id_token_signing_alg_values_supported": []string{"RS256"},
			"response_types_supported":              []string{"id_token"},
			"subject_types_supported":               []string{"public"},
		})
	case document == "jwks":
		s.writeIssuerKeys(w, issuer)
	default:
		http.NotFound(w, r)
	}
}

func (s *Sandbox) writeIssuerKeys(w http.ResponseWriter, issuer *Issuer) {
	document := []byte(issuer.JWKS)
	if issuer.JWKS == "" {
		var err error
		if document, err = s.keys.issuerJWKS(); err != nil {
			http.Error(w, "no keys", http.StatusInternalServerError)
			return
		}
	}
	writeBody(w, http.StatusOK, "application/json", document)
}

// What can go wrong when the keys of an issuer are fetched. STS answers them
// differently, so they are told apart.
var (
	errUnreachable = errors.New("the issuer cannot be reached")
	errNoKey       = errors.New("the issuer has no such key")
)

// Bounds on what the far sides take from an issuer.
const (
	fetchTimeout = 5 * time.Second
	maxDocument  = 256 << 10
)

// fetchKeys goes the way that STS and Entra go: discovery document, then JWKS.
func (s *Sandbox) fetchKeys(ctx context.Context, issuer string) (*keySet, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	var discovery struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := s.fetch(ctx, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration", &discovery); err != nil {
		return nil, err
	}
	if discovery.Issuer != issuer { // OpenID Connect Discovery 1.0 §4.3
		return nil, fmt.Errorf("%w: the document is that of another issuer", errNoKey)
	}
	var set keySet
	err := s.fetch(ctx, discovery.JWKSURI, &set)
	return &set, err
}

func (s *Sandbox) fetch(ctx context.Context, address string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoKey, err)
	}
	client := &http.Client{Transport: outward{s, s.outside}, CheckRedirect: noRedirect}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnreachable, err)
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("%w: status %d", errUnreachable, response.StatusCode)
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("%w: status %d", errNoKey, response.StatusCode)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxDocument)).Decode(into); err != nil {
		return fmt.Errorf("%w: %w", errNoKey, err)
	}
	return nil
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
