package sandbox

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// serveIMDS is the Azure Instance Metadata Service: "How to use managed
// identities for Azure resources on an Azure VM to acquire an access token" and
// "Azure Instance Metadata Service".
func (s *Sandbox) serveIMDS(w http.ResponseWriter, r *http.Request) {
	switch actualHop(IMDS, r) {
	case EC2:
		s.serveEC2(w, r)
		return
	case Container:
		s.serveContainer(w, r)
		return
	}
	switch strings.TrimSuffix(r.URL.Path, "/") {
	case "/metadata/identity/oauth2/token":
		if refusal := checkIMDS(r); refusal != nil {
			s.refuseIMDS(w, refusal)
			return
		}
		s.serveIdentityToken(w, r.URL.Query())
	case "/metadata/instance/compute":
		if refusal := checkIMDS(r); refusal != nil {
			s.refuseIMDS(w, refusal)
			return
		}
		s.serveCompute(w)
	default:
		http.NotFound(w, r)
	}
}

// imdsError is a refusal by the metadata service.
type imdsError struct {
	status  int
	name    string
	message string
}

func imdsBad(name, format string, args ...any) *imdsError {
	return &imdsError{http.StatusBadRequest, name, fmt.Sprintf(format, args...)}
}

func (s *Sandbox) refuseIMDS(w http.ResponseWriter, e *imdsError) {
	s.record(Event{Hop: IMDS, Op: "token", Outcome: e.name, Details: map[string]string{"message": e.message}})
	writeIMDSError(w, e)
}

func writeIMDSError(w http.ResponseWriter, e *imdsError) {
	writeJSON(w, e.status, map[string]string{"error": e.name, "error_description": e.message})
}

// checkIMDS makes sure that the request was meant: a header that browsers and
// redirected requests do not have, and no proxy on the way.
func checkIMDS(r *http.Request) *imdsError {
	version := r.URL.Query().Get("api-version")
	switch {
	case r.Method != http.MethodGet:
		return &imdsError{http.StatusMethodNotAllowed, "invalid_request", "The request method is not allowed"} // unverified
	case !strings.EqualFold(r.Header.Get("Metadata"), "true"):
		return imdsBad("invalid_request", "Required metadata header not specified")
	case r.Header.Get("X-Forwarded-For") != "":
		return imdsBad("invalid_request", "Required metadata header not specified or not correct") // unverified wording
	case version == "":
		return imdsBad("invalid_request", "Required query variable 'api-version' is missing") // unverified wording
	case !knownVersion(version):
		return imdsBad("invalid_request", "The 'api-version' %s is not supported", printable(version)) // unverified wording
	}
	return nil
}

// knownVersion accepts any date from the first version with identities on.
func knownVersion(version string) bool {
	day, err := time.Parse("2006-01-02", version)
	return err == nil && day.Year() >= 2017 && day.Year() < 2030
}

func (s *Sandbox) serveIdentityToken(w http.ResponseWriter, q url.Values) {
	m, token, refusal := s.identityToken(IMDS, q)
	if refusal != nil {
		s.refuseIMDS(w, refusal)
		return
	}
	s.writeIdentityToken(w, m, q.Get("resource"), token)
}

// identityToken is what the endpoints of all hosts do once they believe the
// caller; the selectors have the names that the metadata service gives them.
func (s *Sandbox) identityToken(h Hop, q url.Values) (hosted, cachedToken, *imdsError) {
	requested := q.Get("resource")
	if requested == "" {
		return hosted{}, cachedToken{}, imdsBad("invalid_request", "Required query variable 'resource' is missing") // unverified wording
	}
	t, m, refusal := s.chooseIdentity(q)
	if refusal != nil {
		return hosted{}, cachedToken{}, refusal
	}
	p := principal{clientID: m.ClientID, objectID: m.ObjectID, acr: "2", identity: m}
	resource, found := s.directory(t).resource(requested)
	switch {
	case !found:
		return hosted{}, cachedToken{}, imdsBad("invalid_resource", "AADSTS500011: %s", unknownResource(requested, t).message)
	case resource.disabled():
		return hosted{}, cachedToken{}, imdsBad("invalid_resource", "AADSTS500014: %s", disabledResource(resource).message)
	case !resource.admits(p):
		return hosted{}, cachedToken{}, imdsBad("invalid_grant", "AADSTS501051: %s", notAssigned(p, resource).message) // unverified: the error member
	}
	token, err := s.tokens.get(m.ObjectID+"|"+requested, s.now(h), func() (cachedToken, error) {
		claims := s.claimsFor(t, p, resource)
		signed, err := s.signEntra(claims)
		return cachedToken{signed, claims["nbf"].(int64), claims["exp"].(int64)}, err
	})
	if err != nil {
		return hosted{}, cachedToken{}, &imdsError{http.StatusInternalServerError, "unknown", "Failed to retrieve token from the Active directory."}
	}
	s.record(Event{Hop: h, Op: "token", Outcome: "ok", Details: map[string]string{"identity": m.Name, "resource": printable(requested)}})
	return hosted{m, t}, token, nil
}

// writeIdentityToken sends every value as a string, which the token endpoint of
// Entra does not.
func (s *Sandbox) writeIdentityToken(w http.ResponseWriter, m hosted, resource string, token cachedToken) {
	writeJSON(w, http.StatusOK, s.identityAnswer(m, resource, token))
}

func (s *Sandbox) identityAnswer(m hosted, resource string, token cachedToken) map[string]string {
	left := decimal(token.expiry - s.now(IMDS).Unix())
	answer := map[string]string{
		"access_token": token.value, "client_id": m.ClientID, "token_type": "Bearer", "resource": resource,
		"expires_in": left, "ext_expires_in": left,
		"expires_on": decimal(token.expiry), "not_before": decimal(token.notBefore),
	}
	if m.tenant.RefreshIn > 0 {
		answer["refresh_in"] = decimal(int64(m.tenant.RefreshIn / time.Second))
	}
	return answer
}

// chooseIdentity applies the selectors. Without one the system-assigned identity
// is meant, or the only one that there is.
func (s *Sandbox) chooseIdentity(q url.Values) (*tenant, *ManagedIdentity, *imdsError) {
	matches := s.identities(q)
	if q.Get("client_id")+q.Get("object_id")+q.Get("msi_res_id") == "" {
		for _, match := range matches {
			if match.SystemAssigned {
				matches = []hosted{match}
				break
			}
		}
	}
	switch len(matches) {
	case 0:
		return nil, nil, imdsBad("invalid_request", "Identity not found")
	case 1:
		return matches[0].tenant, matches[0].ManagedIdentity, nil
	}
	return nil, nil, imdsBad("invalid_request", "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request") // unverified wording
}

// hosted is an identity with the tenant that it belongs to.
type hosted struct {
	*ManagedIdentity
	tenant *tenant
}

// identities are those of the host that still exist.
func (s *Sandbox) identities(q url.Values) []hosted {
	var matches []hosted
	for _, t := range s.index.ordered {
		present := s.directory(t).principals
		for i := range t.Identities {
			if m := &t.Identities[i]; m.selectedBy(q) && present[strings.ToLower(m.ObjectID)] != nil {
				matches = append(matches, hosted{m, t})
			}
		}
	}
	return matches
}

func (m *ManagedIdentity) selectedBy(q url.Values) bool {
	for name, value := range map[string]string{"client_id": m.ClientID, "object_id": m.ObjectID, "msi_res_id": m.ResourceID} {
		if wanted := q.Get(name); wanted != "" && !strings.EqualFold(wanted, value) {
			return false
		}
	}
	return true
}

func (s *Sandbox) serveCompute(w http.ResponseWriter) {
	host := s.index.host
	s.record(Event{Hop: IMDS, Op: "compute", Outcome: "ok"})
	writeJSON(w, http.StatusOK, map[string]string{
		"azEnvironment": "AzurePublicCloud", "location": host.Location, "name": host.Name, "osType": "Linux",
		"provider": "Microsoft.Compute", "resourceGroupName": host.ResourceGroup, "subscriptionId": host.SubscriptionID,
		"resourceId": "/subscriptions/" + host.SubscriptionID + "/resourceGroups/" + host.ResourceGroup +
			"/providers/Microsoft.Compute/virtualMachines/" + host.Name,
		"vmId": "02aab8a4-74ef-476e-8182-f6d2ba4166a6", "vmSize": "Standard_B2s",
	})
}

// defaultHost fills in what the world does not say about its virtual machine.
func (x *index) defaultHost(h Host) {
	x.host = Host{
		Name: orText(h.Name, "vm-1"), Location: orText(h.Location, "westeurope"),
		SubscriptionID: orText(h.SubscriptionID, "00000000-0000-0000-0000-000000000001"), ResourceGroup: orText(h.ResourceGroup, "sandbox"),
		RoleARN: h.RoleARN, ContainerToken: h.ContainerToken,
	}
}

func orText(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}

// writeIMDSFault sends what the service sends in trouble: "Error handling" of
// the first page above.
func writeIMDSFault(w http.ResponseWriter, f *Fault) {
	e := &imdsError{orStatus(f.Status, http.StatusInternalServerError), orText(f.Code, "unknown"), "Failed to retrieve token from the Active directory."}
	switch e.status {
	case http.StatusTooManyRequests:
		e.name, e.message = orText(f.Code, "too_many_requests"), "Too many requests"
	case http.StatusNotFound:
		e.name, e.message = orText(f.Code, "not_found"), "The service is being updated"
	case http.StatusGone:
		e.name, e.message = orText(f.Code, "gone"), "The service is being updated"
	}
	writeIMDSError(w, e)
}

// cachedToken is what the metadata service keeps: it hands out the same token
// until shortly before its end.
type cachedToken struct {
	value             string
	notBefore, expiry int64
}

// tokenMargin is how long before its end a cached token is replaced (unverified:
// the pages say "near expiry").
const tokenMargin = 5 * time.Minute

type tokenCache struct {
	mu     sync.Mutex
	tokens map[string]cachedToken
}

func (c *tokenCache) get(key string, now time.Time, mint func() (cachedToken, error)) (cachedToken, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if token, found := c.tokens[key]; found && now.Add(tokenMargin).Unix() < token.expiry {
		return token, nil
	}
	token, err := mint()
	if err != nil {
		return cachedToken{}, err
	}
	if c.tokens == nil || len(c.tokens) > 1000 {
		c.tokens = map[string]cachedToken{}
	}
	c.tokens[key] = token
	return token, nil
}

func (c *tokenCache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tokens = nil
}
