package sandbox

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// assertionSkew is how far clocks may differ (unverified).
const assertionSkew = 5 * time.Minute

// checkAssertion is RFC 7523 §3 in Entra's reading: a client that names itself
// as the issuer signs with its certificate ("Application authentication
// certificate credentials"), anyone else must be a federated credential
// ("Workload identity federation").
func (s *Sandbox) checkAssertion(r *http.Request, g *grant) *entraError {
	if g.form.Get("client_assertion_type") != assertionType {
		return missingParameter("client_assertion_type")
	}
	token, err := parseToken(g.form.Get("client_assertion"), []string{"RS256", "PS256"})
	if err != nil {
		return malformedAssertion("The assertion is not a JWT signed with RS256 or PS256.")
	}
	if strings.EqualFold(token.issuer, g.app.ClientID) {
		return s.checkCertificate(r, g, token)
	}
	return s.checkFederated(r, g, token)
}

func malformedAssertion(reason string) *entraError {
	return badClient(50027, "JWT token is invalid or malformed. %s", reason) // unverified: the reasons
}

func (s *Sandbox) checkCertificate(r *http.Request, g *grant, token *webToken) *entraError {
	certificate := g.app.certificateFor(token)
	if certificate == nil {
		return badClient(700027, "The certificate with identifier used to sign the client assertion is not registered on application. [Reason - The key was not found., Thumbprint of key used by client: '%s']", thumbprintOf(token))
	}
	if token.verify(certificate.PublicKey) != nil {
		return badClient(700027, "Client assertion failed signature validation. [Reason - The provided signature value did not match the expected signature value., Thumbprint of key used by client: '%s']", thumbprintOf(token))
	}
	now := s.now(Entra)
	if now.After(certificate.NotAfter) {
		return badClient(700027, "The certificate with identifier used to sign the client assertion is expired on application. [Reason - The key used is expired., Thumbprint of key used by client: '%s']", thumbprintOf(token))
	}
	switch {
	case !strings.EqualFold(token.subject, g.app.ClientID):
		return badClient(700021, "Client assertion application identifier doesn't match 'client_id' parameter. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials .")
	case !slices.ContainsFunc(token.audiences(), tokenEndpoints(r, g.tenant.ID)):
		return badClient(700023, "Client assertion audience claim does not match Realm issuer. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials .")
	case token.claims["jti"] == nil:
		return malformedAssertion("The jti claim is missing.") // unverified: a jti is asked for, replays pass
	}
	return timely(token, now)
}

// timely checks exp and nbf.
func timely(token *webToken, now time.Time) *entraError {
	expiry, hasExpiry, err := token.date("exp")
	notBefore, hasNotBefore, err2 := token.date("nbf")
	if err := errors.Join(err, err2); err != nil || !hasExpiry {
		return malformedAssertion("The exp claim is missing or a time is not an integer.")
	}
	end, start := time.Unix(expiry, 0), time.Unix(notBefore, 0)
	if now.After(end.Add(assertionSkew)) || hasNotBefore && now.Before(start.Add(-assertionSkew)) {
		const layout = "2006-01-02T15:04:05.0000000Z"
		return badClient(700024, "Client assertion is not within its valid time range. Current time: %s, assertion valid from %s, expiry time of assertion %s. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials .",
			now.UTC().Format(layout), start.UTC().Format(layout), end.UTC().Format(layout))
	}
	return nil
}

// tokenEndpoints accepts the names of the token endpoint: those of the real
// world, and the sandbox's own under which the caller came. The issuer is
// accepted too, as Entra does.
func tokenEndpoints(r *http.Request, tenantID string) func(string) bool {
	return func(audience string) bool {
		for _, base := range []string{"https://login.microsoftonline.com", "https://login.windows.net", "https://sts.windows.net", baseOf(r)} {
			rest, found := strings.CutPrefix(audience, base+"/")
			if !found {
				continue
			}
			id, path, _ := strings.Cut(rest, "/")
			if strings.EqualFold(id, tenantID) && slices.Contains([]string{"oauth2/v2.0/token", "oauth2/token", "v2.0", ""}, path) {
				return true
			}
		}
		return false
	}
}

// certificateFor finds the certificate by x5t (SHA-1) or x5t#S256. Clients
// write them in either base64 alphabet, with or without padding.
func (app *App) certificateFor(token *webToken) *x509.Certificate {
	for _, der := range app.Certificates {
		one, two := sha1.Sum(der), sha256.Sum256(der)
		if !thumbprintIs(token, "x5t", one[:]) && !thumbprintIs(token, "x5t#S256", two[:]) {
			continue
		}
		if certificate, err := x509.ParseCertificate(der); err == nil {
			return certificate
		}
	}
	return nil
}

func thumbprintIs(token *webToken, name string, sum []byte) bool {
	return subtle.ConstantTimeCompare(thumbprint(token, name), sum) == 1
}

func thumbprint(token *webToken, name string) []byte {
	text, _ := token.header[name].(string)
	text = strings.NewReplacer("-", "+", "_", "/", "=", "").Replace(text)
	sum, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	return sum
}

// thumbprintOf is how messages name the key: upper-case hex.
func thumbprintOf(token *webToken) string {
	sum := thumbprint(token, "x5t")
	if sum == nil {
		sum = thumbprint(token, "x5t#S256")
	}
	if len(sum) > sha256.Size {
		sum = sum[:sha256.Size]
	}
	return strings.ToUpper(hex.EncodeToString(sum))
}

// checkFederated compares issuer, audience and subject exactly, in this order,
// and then asks the issuer for its keys.
func (s *Sandbox) checkFederated(r *http.Request, g *grant, token *webToken) *entraError {
	if len(g.app.FederatedCredentials) == 0 {
		return badRequest(70025, "invalid_request", "The client '%s'(%s) has no configured federated identity credentials.", g.app.ClientID, printable(g.app.Name))
	}
	if refusal := g.app.matchFederated(token); refusal != nil {
		return refusal
	}
	if token.algorithm != "RS256" {
		return malformedAssertion("Federated assertions are signed with RS256.")
	}
	keys, err := s.fetchKeys(r.Context(), token.issuer)
	switch {
	case errors.Is(err, errUnreachable), errors.Is(err, errNoKey):
		return badRequest(50166, "invalid_request", "Request to External OIDC endpoint failed.")
	case err != nil || token.verifyBy(keys) != nil:
		return badClient(700027, "Client assertion failed signature validation.")
	}
	if refusal := s.checkOwnToken(token); refusal != nil {
		return refusal
	}
	return timely(token, s.now(Entra))
}

func (app *App) matchFederated(token *webToken) *entraError {
	matches := app.FederatedCredentials
	keep := func(fits func(FIC) bool) bool {
		var kept []FIC
		for _, credential := range matches {
			if fits(credential) {
				kept = append(kept, credential)
			}
		}
		matches = kept
		return len(kept) > 0
	}
	const text = "No matching federated identity record found for presented assertion %s '%s'. Check your federated identity credential Subject, Audience and Issuer against the presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
	switch {
	case !keep(func(c FIC) bool { return c.Issuer == token.issuer }):
		return badClient(700211, text, "issuer", printable(token.issuer))
	case slices.Contains(token.audiences(), ExchangeClientID) && !entraIssued(token):
		return badRequest(700214, "invalid_request", "The audience of the assertion must be a URI and not the identifier of the application '%s'.", ExchangeClientID) // unverified wording
	case !keep(func(c FIC) bool { return slices.Contains(assertedAudiences(token), c.Audience) }):
		return badClient(700212, text, "audience", printable(strings.Join(token.audiences(), " ")))
	case !keep(func(c FIC) bool { return c.Subject == token.subject }):
		return badClient(700213, text, "subject", printable(token.subject))
	}
	return nil
}

// assertedAudiences lets Entra's own tokens match a credential for the exchange
// audience: they name it by its GUID.
func assertedAudiences(token *webToken) []string {
	audiences := token.audiences()
	if entraIssued(token) && slices.Contains(audiences, ExchangeClientID) {
		audiences = append(audiences, ExchangeAudience)
	}
	return audiences
}

func entraIssued(token *webToken) bool {
	return strings.HasPrefix(token.issuer, "https://login.microsoftonline.com/") || strings.HasPrefix(token.issuer, "https://sts.windows.net/")
}

// checkOwnToken lets managed identities of our tenants pass and refuses the
// tokens of ordinary applications.
func (s *Sandbox) checkOwnToken(token *webToken) *entraError {
	if !entraIssued(token) || ofPipelines(token) {
		return nil
	}
	if s.index.issuers[token.issuer] != nil {
		return nil // a foreign issuer of the world, on Entra's host
	}
	for _, t := range s.index.ordered {
		for _, m := range t.Identities {
			if m.ObjectID == token.subject {
				return nil
			}
		}
	}
	return badRequest(700222, "invalid_request", "AAD-issued tokens may not be used for federated identity flows.")
}
