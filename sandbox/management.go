package sandbox

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// isManagement knows the hosts of Azure Resource Manager.
func isManagement(host string) bool {
	return slices.Contains([]string{"management.azure.com", "management.usgovcloudapi.net", "management.chinacloudapi.cn"}, host)
}

// serveManagement is as much of Azure Resource Manager as a login with the Azure CLI
// asks for: the tenants and the subscription of whoever the token is of ("Tenants -
// List" and "Subscriptions - List", Azure REST API).
func (s *Sandbox) serveManagement(w http.ResponseWriter, r *http.Request) {
	if !readOnly(w, r) {
		return
	}
	t, refusal := s.managed(r)
	if refusal != "" {
		w.Header().Set("WWW-Authenticate", `Bearer authorization_uri="https://login.microsoftonline.com/"`)
		writeJSON(w, http.StatusUnauthorized, map[string]any{"error": map[string]string{"code": refusal, "message": "The access token is missing, invalid or for another audience."}})
		return
	}
	subscription := s.index.host.SubscriptionID
	switch strings.ToLower(strings.TrimSuffix(r.URL.Path, "/")) {
	case "/tenants":
		writeJSON(w, http.StatusOK, map[string]any{"value": []map[string]any{{
			"id": "/tenants/" + t.ID, "tenantId": t.ID, "countryCode": "CH", "displayName": "sandbox", "domains": []string{"sandbox.onmicrosoft.com"},
		}}})
	case "/subscriptions":
		writeJSON(w, http.StatusOK, map[string]any{"value": []map[string]any{{
			"id": "/subscriptions/" + subscription, "subscriptionId": subscription, "tenantId": t.ID, "displayName": "sandbox", "state": "Enabled",
			"authorizationSource": "RoleBased", "managedByTenants": []string{}, "subscriptionPolicies": map[string]string{"quotaId": "Internal_2014-09-01", "spendingLimit": "Off"},
		}}})
	default:
		writeJSON(w, http.StatusNotFound, map[string]any{"error": map[string]string{"code": "ResourceNotFound", "message": "The sandbox plays tenants, subscriptions and identities only."}})
	}
}

// managed is the tenant of the token, or the code of what is wrong with it.
func (s *Sandbox) managed(r *http.Request) (*tenant, string) {
	t, _, code := s.entraCaller(r, s.now(ARM), isManagementAudience)
	return t, code
}

// entraCaller is the tenant and the object id in an access token for one of Microsoft's
// own APIs, or the code of what is wrong with it (unverified beyond Resource Manager).
// The issuer must be Entra's for a tenant of the world: another issuer can write any oid.
func (s *Sandbox) entraCaller(r *http.Request, now time.Time, isAudience func(string) bool) (t *tenant, objectID, code string) {
	raw, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !found {
		return nil, "", "AuthenticationFailed"
	}
	token, err := parseToken(raw, []string{"RS256"})
	if err != nil || s.keys.verify(token.signedText) != nil || timely(token, now) != nil {
		return nil, "", "InvalidAuthenticationToken"
	}
	tenantID, _ := token.claims["tid"].(string)
	t = s.index.tenants[strings.ToLower(tenantID)]
	switch {
	case t == nil || token.issuer != issuerOf(t.ID, 1):
		return nil, "", "InvalidAuthenticationTokenTenant"
	case !slices.ContainsFunc(token.audiences(), isAudience):
		return nil, "", "InvalidAuthenticationTokenAudience"
	}
	objectID, _ = token.claims["oid"].(string)
	return t, objectID, ""
}
