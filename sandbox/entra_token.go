package sandbox

import (
	"crypto/subtle"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// grant is a token request on its way through the checks.
type grant struct {
	tenant    *tenant
	directory *directory
	app       *registration
	acr       string // how the client proved itself: "1" secret, "2" assertion
	form      url.Values
}

// serveToken is the client credentials grant: RFC 6749 §4.4 and "Microsoft
// identity platform and the OAuth 2.0 client credentials flow".
func (s *Sandbox) serveToken(w http.ResponseWriter, r *http.Request, tenantID string, endpoint int) {
	t := s.tenantOf(w, r, tenantID)
	if t == nil {
		return
	}
	token, refusal := s.grantToken(r, t, endpoint)
	if refusal != nil {
		s.writeEntraError(w, r, refusal)
		return
	}
	w.Header().Set("Cache-Control", "no-store, no-cache")
	w.Header().Set("Pragma", "no-cache")
	writeJSON(w, http.StatusOK, token)
}

func (s *Sandbox) grantToken(r *http.Request, t *tenant, endpoint int) (map[string]any, *entraError) {
	g := &grant{tenant: t, directory: s.directory(t)}
	if refusal := g.read(r); refusal != nil {
		return nil, refusal
	}
	if refusal := s.authenticate(r, g); refusal != nil {
		return nil, refusal
	}
	requested, refusal := g.resource(endpoint)
	if refusal != nil {
		return nil, refusal
	}
	resource, found := g.directory.resource(requested)
	if !found {
		return nil, unknownResource(requested, t)
	}
	p := appPrincipal(g.app, g.acr)
	switch {
	case resource.disabled():
		return nil, disabledResource(resource)
	case !resource.admits(p):
		return nil, notAssigned(p, resource)
	}
	return s.tokenResponse(t, p, resource, endpoint)
}

// read takes the form out of the body and finds the client.
func (g *grant) read(r *http.Request) *entraError {
	if r.Method != http.MethodPost {
		return badRequest(900561, "invalid_request", "The endpoint only accepts POST requests. Received a %s request.", printable(r.Method))
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/x-www-form-urlencoded" {
		return missingParameter("grant_type") // Entra does not see the parameters then
	}
	if err := r.ParseForm(); err != nil {
		return badRequest(90014, "invalid_request", "The request body is malformed.") // unverified
	}
	g.form = r.PostForm
	switch g.form.Get("grant_type") {
	case "client_credentials":
	case "":
		return missingParameter("grant_type")
	default:
		return badRequest(70003, "unsupported_grant_type", "The app requested an unsupported grant type '%s'.", printable(g.form.Get("grant_type")))
	}
	return g.findClient(r)
}

// findClient also reads the Basic form of RFC 6749 §2.3.1.
func (g *grant) findClient(r *http.Request) *entraError {
	if id, secret, ok := r.BasicAuth(); ok && g.form.Get("client_id") == "" {
		g.form.Set("client_id", unescape(id))
		g.form.Set("client_secret", unescape(secret))
	}
	id := g.form.Get("client_id")
	if id == "" {
		return missingParameter("client_id")
	}
	g.app = g.directory.clients[strings.ToLower(id)]
	switch {
	case g.app == nil:
		return unknownClient(id, g.tenant)
	case g.app.disabled:
		return disabledClient(g.app)
	}
	return nil
}

func unescape(text string) string {
	if plain, err := url.QueryUnescape(text); err == nil {
		return plain
	}
	return text
}

func (s *Sandbox) authenticate(r *http.Request, g *grant) *entraError {
	switch {
	case g.form.Get("client_assertion") != "":
		g.acr = "2"
		return s.checkAssertion(r, g)
	case g.form.Get("client_secret") != "":
		g.acr = "1"
		return s.checkSecret(g)
	}
	return noCredential()
}

func (s *Sandbox) checkSecret(g *grant) *entraError {
	now, expired := s.now(Entra), false
	for _, secret := range g.app.Secrets {
		if subtle.ConstantTimeCompare([]byte(secret.Value), []byte(g.form.Get("client_secret"))) != 1 {
			continue
		}
		if secret.Expiry.IsZero() || now.Before(secret.Expiry) {
			return nil
		}
		expired = true
	}
	if expired {
		return expiredSecret(&g.app.App)
	}
	return wrongSecret(&g.app.App)
}

// resource returns what the token is to be for: the scope of the v2 endpoint
// without /.default, or the resource parameter of the old one.
func (g *grant) resource(endpoint int) (string, *entraError) {
	if endpoint == 1 && g.form.Get("scope") == "" {
		if resource := g.form.Get("resource"); resource != "" {
			return resource, nil
		}
		return "", missingParameter("resource")
	}
	var scopes []string
	for _, scope := range strings.Fields(g.form.Get("scope")) {
		switch scope {
		case "openid", "offline_access", "profile", "email": // MSAL always adds them
		default:
			scopes = append(scopes, scope)
		}
	}
	switch {
	case g.form.Get("scope") == "":
		return "", missingParameter("scope")
	case len(scopes) != 1:
		return "", badScope(g.form.Get("scope"))
	}
	resource, found := strings.CutSuffix(scopes[0], "/.default")
	if !found || resource == "" {
		return "", noDefaultScope(scopes[0])
	}
	return resource, nil
}

// tokenResponse mints and answers: numbers as numbers on the v2 endpoint, as
// strings and with more members on the old one.
func (s *Sandbox) tokenResponse(t *tenant, p principal, resource *target, endpoint int) (map[string]any, *entraError) {
	claims := s.claimsFor(t, p, resource)
	token, err := s.signEntra(claims)
	if err != nil {
		return nil, &entraError{90033, http.StatusServiceUnavailable, "temporarily_unavailable", "A transient error has occurred. Please try again."}
	}
	s.record(Event{Hop: Entra, Op: "token", Outcome: "ok", Details: map[string]string{"client": p.clientID, "resource": printable(resource.requested)}})
	if endpoint == 2 {
		answer := map[string]any{"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token}
		if t.RefreshIn > 0 {
			answer["refresh_in"] = int64(t.RefreshIn / time.Second)
		}
		return answer, nil
	}
	return map[string]any{
		"token_type": "Bearer", "expires_in": "3599", "ext_expires_in": "3599", "access_token": token, "resource": resource.requested,
		"expires_on": decimal(claims["exp"]), "not_before": decimal(claims["nbf"]),
	}, nil
}
