package sandbox

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// principal is whoever a token is for.
type principal struct {
	clientID string
	objectID string
	acr      string // "1": a secret, "2": a certificate, an assertion or a managed identity
	app      *registration
	identity *ManagedIdentity
}

func appPrincipal(app *registration, acr string) principal {
	return principal{clientID: app.ClientID, objectID: app.ObjectID, acr: acr, app: app}
}

func (p principal) name() string {
	if p.identity != nil {
		return p.identity.Name
	}
	return p.app.Name
}

// target is the resource that a token is for.
type target struct {
	requested string // as the caller wrote it: a v1 token has that for its audience
	clientID  string
	name      string
	version   int
	app       *registration // nil for Microsoft's own
}

// The audience of tokens that are traded for other tokens, and the id of the
// application behind it.
const (
	ExchangeAudience = "api://AzureADTokenExchange"
	ExchangeClientID = "fb60f99c-7a34-4190-8149-302f77469936"
)

// graphClientID is the application of Microsoft Graph ("First-party Microsoft
// applications in sign-in reports").
const graphClientID = "00000003-0000-0000-c000-000000000000"

// firstParty knows resources that every tenant has. Their ids are unverified,
// except for those of the token exchange and of Microsoft Graph.
func firstParty(key string) (target, bool) {
	switch key {
	case resourceKey(ExchangeAudience), ExchangeClientID:
		return target{clientID: ExchangeClientID, name: "AAD Token Exchange", version: 2}, true
	case "https://management.azure.com", "https://management.core.windows.net", "https://management.usgovcloudapi.net", "https://management.chinacloudapi.cn":
		return target{clientID: "797f4846-ba00-4fd7-ba43-dac1f8f63013", name: "Azure Resource Manager", version: 1}, true
	case "https://graph.microsoft.com", "https://graph.microsoft.us", "https://dod-graph.microsoft.us", "https://microsoftgraph.chinacloudapi.cn", graphClientID:
		return target{clientID: graphClientID, name: "Microsoft Graph", version: 1}, true
	case "https://vault.azure.net":
		return target{clientID: "cfa8b339-82a2-471a-a3c9-0fc0be7a4093", name: "Azure Key Vault", version: 1}, true
	case "https://storage.azure.com":
		return target{clientID: "e406a681-f3d4-42a8-90b6-c2b029497af1", name: "Azure Storage", version: 1}, true
	case "https://monitor.azure.com":
		return target{clientID: "be14bf7e-8ab4-49b0-9dc6-a0eddd6fa73e", name: "Azure Monitor", version: 1}, true
	}
	return target{}, false
}

// resource finds what a token is asked for, by App ID URI or client id.
func (d *directory) resource(requested string) (*target, bool) {
	if app := d.resources[resourceKey(requested)]; app != nil {
		return &target{requested, app.ClientID, app.Name, max(app.TokenVersion, 1), app}, true
	}
	known, found := firstParty(resourceKey(requested))
	known.requested = requested
	return &known, found
}

func (r *target) disabled() bool { return r.app != nil && r.app.disabled }

// admits reports whether the resource gives tokens to p: without "assignment
// required" it does so for every principal of the tenant.
func (r *target) admits(p principal) bool {
	return r.app == nil || !r.app.AssignmentRequired || r.assigned(p)
}

func (r *target) assigned(p principal) bool {
	if r.app == nil {
		return false
	}
	_, found := r.app.roles[strings.ToLower(p.objectID)]
	return found
}

// Lifetimes: an application's token lives an hour, a managed identity's a day;
// both are backdated by five minutes (unverified for the hour).
const (
	appLifetime      = time.Hour
	identityLifetime = 24 * time.Hour
	backdate         = 5 * time.Minute
)

// claimsFor returns the claims of "Access token claims reference" for an
// app-only token.
func (s *Sandbox) claimsFor(t *tenant, p principal, resource *target) map[string]any {
	hop, lifetime := Entra, appLifetime
	if p.identity != nil {
		hop, lifetime = IMDS, identityLifetime
	}
	now := s.now(hop)
	claims := map[string]any{
		"iat": now.Add(-backdate).Unix(), "nbf": now.Add(-backdate).Unix(), "exp": now.Add(lifetime).Unix(),
		"aio": randomText(36), "rh": "1." + randomText(32) + ".", "uti": randomText(16),
		"oid": p.objectID, "sub": p.objectID, "tid": t.ID,
		"iss": issuerOf(t.ID, resource.version),
	}
	if resource.version == 2 {
		addV2(claims, p, resource)
	} else {
		addV1(claims, p, resource, t)
	}
	if p.identity != nil {
		addIdentity(claims, p.identity)
	}
	if resource.app != nil && len(resource.app.roles[strings.ToLower(p.objectID)]) > 0 {
		claims["roles"] = resource.app.roles[strings.ToLower(p.objectID)]
	}
	return claims
}

func addV1(claims map[string]any, p principal, resource *target, t *tenant) {
	claims["aud"], claims["ver"] = resource.requested, "1.0"
	claims["appid"], claims["appidacr"] = p.clientID, p.acr
	claims["idp"] = issuerOf(t.ID, 1)
}

func addV2(claims map[string]any, p principal, resource *target) {
	claims["aud"], claims["ver"] = resource.clientID, "2.0"
	claims["azp"], claims["azpacr"] = p.clientID, p.acr
}

func addIdentity(claims map[string]any, m *ManagedIdentity) {
	claims["idtyp"], claims["xms_mirid"] = "app", m.ResourceID
	claims["xms_idrel"] = "7 4"
}

// signEntra signs with the header of the token's version: v1 has x5t as well.
func (s *Sandbox) signEntra(claims map[string]any) (string, error) {
	key, err := s.keys.signer()
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	header := map[string]any{"kid": key.id}
	if claims["ver"] == "1.0" {
		header["x5t"] = key.id
	}
	return key.sign("RS256", header, payload)
}

func decimal(number any) string { return fmt.Sprint(number) }
