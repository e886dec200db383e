package sandbox

import (
	"encoding/json"
	"net/http"
	"strings"
)

// serveEntra routes by the last part of the path; the first is the tenant.
// Paths: "OpenID Connect on the Microsoft identity platform" and OpenID Connect
// Discovery 1.0 §4.
func (s *Sandbox) serveEntra(w http.ResponseWriter, r *http.Request) {
	if isPipelines(r.URL.Path) {
		s.servePipelines(w, r)
		return
	}
	tenantID, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch rest {
	case "oauth2/v2.0/token":
		s.serveToken(w, r, tenantID, 2)
	case "oauth2/token":
		s.serveToken(w, r, tenantID, 1)
	case ".well-known/openid-configuration":
		s.serveDiscovery(w, r, tenantID, 1)
	case "v2.0/.well-known/openid-configuration":
		s.serveDiscovery(w, r, tenantID, 2)
	case "discovery/instance":
		s.serveInstance(w, r)
	case "discovery/keys", "discovery/v2.0/keys":
		s.serveKeys(w, r, tenantID)
	default:
		http.NotFound(w, r)
	}
}

// readOnly refuses everything but GET and HEAD.
func readOnly(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	return false
}

// tenantOf finds a tenant or answers AADSTS90002.
func (s *Sandbox) tenantOf(w http.ResponseWriter, r *http.Request, id string) *tenant {
	t := s.index.tenants[strings.ToLower(id)]
	if t == nil {
		s.writeEntraError(w, r, noTenant(id))
	}
	return t
}

// baseOf is the address under which the caller knows the sandbox.
func baseOf(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// issuerOf returns the issuer in tokens of a version: of the real world and not
// of the sandbox, because trust policies name the real one.
func issuerOf(tenantID string, version int) string {
	if version == 2 {
		return "https://login.microsoftonline.com/" + tenantID + "/v2.0"
	}
	return "https://sts.windows.net/" + tenantID + "/"
}

// serveDiscovery answers with addresses under the caller's base, so that a
// client that came by http://127.0.0.1 stays there.
func (s *Sandbox) serveDiscovery(w http.ResponseWriter, r *http.Request, tenantID string, version int) {
	t := s.tenantOf(w, r, tenantID)
	if t == nil || !readOnly(w, r) {
		return
	}
	base := baseOf(r)
	path, keys := "/oauth2", base+"/common/discovery/keys"
	if version == 2 {
		path, keys = "/oauth2/v2.0", base+"/"+t.ID+"/discovery/v2.0/keys"
	}
	s.record(Event{Hop: Keys, Op: "discovery", Outcome: "ok", Details: map[string]string{"tenant": t.ID}})
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                issuerOf(t.ID, version),
		"authorization_endpoint":                base + "/" + t.ID + path + "/authorize",
		"token_endpoint":                        base + "/" + t.ID + path + "/token",
		"jwks_uri":                              keys,
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt", "client_secret_basic"},
		"response_types_supported":              []string{"code", "id_token", "code id_token", "id_token token"},
		"response_modes_supported":              []string{"query", "fragment", "form_post"},
		"subject_types_supported":               []string{"pairwise"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"scopes_supported":                      []string{"openid", "profile", "email", "offline_access"},
		"claims_supported":                      []string{"sub", "iss", "aud", "exp", "iat", "nbf", "oid", "tid", "ver", "roles"},
		"tenant_region_scope":                   "EU",
		"cloud_instance_name":                   "microsoftonline.com",
		"cloud_graph_host_name":                 "graph.windows.net",
		"msgraph_host":                          "graph.microsoft.com",
	})
}

// serveInstance is the instance discovery that MSAL makes before anything else.
func (s *Sandbox) serveInstance(w http.ResponseWriter, r *http.Request) {
	if !readOnly(w, r) {
		return
	}
	discovery := baseOf(r) + "/common/v2.0/.well-known/openid-configuration"
	if endpoint := r.URL.Query().Get("authorization_endpoint"); endpoint != "" {
		discovery = strings.TrimSuffix(endpoint, "/oauth2/v2.0/authorize") + "/v2.0/.well-known/openid-configuration"
	}
	s.record(Event{Hop: Keys, Op: "instance", Outcome: "ok"})
	writeJSON(w, http.StatusOK, map[string]any{
		"tenant_discovery_endpoint": discovery,
		"api-version":               "1.1",
		"metadata": []map[string]any{{
			"preferred_network": "login.microsoftonline.com", "preferred_cache": "login.windows.net",
			"aliases": []string{"login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"},
		}},
	})
}

func (s *Sandbox) serveKeys(w http.ResponseWriter, r *http.Request, tenantID string) {
	issuer := ""
	if tenantID != "common" {
		t := s.tenantOf(w, r, tenantID)
		if t == nil {
			return
		}
		issuer = issuerOf(t.ID, 2)
	}
	if !readOnly(w, r) {
		return
	}
	document, err := s.keys.entraJWKS(issuer)
	if err != nil {
		http.Error(w, "no keys", http.StatusInternalServerError)
		return
	}
	s.record(Event{Hop: Keys, Op: "keys", Outcome: "ok"})
	w.Header().Set("Cache-Control", "max-age=86400, private")
	writeBody(w, http.StatusOK, "application/json; charset=utf-8", document)
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil { // maps of plain values: cannot happen
		http.Error(w, "no answer", http.StatusInternalServerError)
		return
	}
	writeBody(w, status, "application/json; charset=utf-8", body)
}
