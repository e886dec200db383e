package sandbox

import (
	"crypto/subtle"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The paths of the endpoints that resemble each other. A real host has one of
// them.
const (
	appServicePath    = "/msi/token"
	azureMLPath       = "/azureml/msi/token"
	cloudShellPath    = "/oauth2/token"
	serviceFabricPath = "/metadata/identity/oauth2/token"
)

// serveAppService is the identity endpoint of App Service ("How to use managed
// identities for App Service and Azure Functions", REST endpoint reference), of
// Azure ML, which speaks the version of 2017, of Cloud Shell and of Service
// Fabric. What the refusals look like is unverified but where it says otherwise.
func (s *Sandbox) serveAppService(w http.ResponseWriter, r *http.Request) {
	switch strings.ToLower(strings.TrimSuffix(r.URL.Path, "/")) {
	case appServicePath, azureMLPath:
		s.serveAppServiceToken(w, r)
	case cloudShellPath:
		s.serveCloudShell(w, r)
	case serviceFabricPath:
		s.serveServiceFabric(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *Sandbox) serveAppServiceToken(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	version := q.Get("api-version")
	switch {
	case !readOnly(w, r):
		return
	case version == "2017-09-01" && !s.hasHeader(r, "Secret"):
		s.note(AppService, "bad header")
		writeBody(w, http.StatusBadRequest, "text/plain", []byte("Invalid secret token header: ")) // seen in public reports
		return
	case version == "2019-08-01" && !s.hasHeader(r, "X-Identity-Header"):
		s.refuseAppService(w, http.StatusUnauthorized, "The X-IDENTITY-HEADER is missing or wrong.")
		return
	case version != "2017-09-01" && version != "2019-08-01":
		s.refuseAppService(w, http.StatusBadRequest, "The api-version '"+printable(version)+"' is not supported.")
		return
	}
	m, token, refusal := s.identityToken(AppService, selectors(q, version))
	if refusal != nil {
		s.refuseAppService(w, refusal.status, appServiceMessage(refusal))
		return
	}
	expiry := time.Unix(token.expiry, 0).UTC()
	answer := map[string]string{"access_token": token.value, "resource": q.Get("resource"), "token_type": "Bearer"}
	switch {
	case strings.HasPrefix(r.URL.Path, azureMLPath):
		answer["expires_on"] = decimal(token.expiry) // MSAL takes no date with a zone
	case version == "2017-09-01":
		answer["expires_on"] = expiry.Format("01/02/2006 15:04:05 -07:00") // as on Linux; Windows writes 1/2/2006 3:04:05 PM
	default:
		answer["expires_on"], answer["client_id"] = decimal(token.expiry), m.ClientID
	}
	writeJSON(w, http.StatusOK, answer)
}

func (s *Sandbox) hasHeader(r *http.Request, name string) bool {
	return subtle.ConstantTimeCompare([]byte(r.Header.Get(name)), []byte(s.header)) == 1
}

// selectors renames what App Service calls by other names than IMDS. The version
// of 2017 knows only clientid.
func selectors(q url.Values, version string) url.Values {
	renamed := url.Values{"resource": q["resource"]}
	names := map[string]string{"client_id": "client_id", "principal_id": "object_id", "object_id": "object_id", "mi_res_id": "msi_res_id"}
	if version == "2017-09-01" {
		names = map[string]string{"clientid": "client_id"}
	}
	for name, imds := range names {
		if value := q.Get(name); value != "" {
			renamed.Set(imds, value)
		}
	}
	return renamed
}

func appServiceMessage(e *imdsError) string {
	if e.message == "Identity not found" {
		return "No Managed Identity found for specified ClientId/ResourceId/PrincipalId."
	}
	return e.message
}

func (s *Sandbox) note(h Hop, outcome string) {
	s.record(Event{Hop: h, Op: "token", Outcome: outcome})
}

func (s *Sandbox) refuseAppService(w http.ResponseWriter, status int, message string) {
	s.note(AppService, http.StatusText(status))
	writeAppServiceError(w, status, message)
}

func writeAppServiceError(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]any{"statusCode": status, "message": message})
}

func writeAppServiceFault(w http.ResponseWriter, f *Fault) {
	status := orStatus(f.Status, http.StatusInternalServerError)
	writeAppServiceError(w, status, orText(f.Code, http.StatusText(status)))
}

// serveCloudShell hands out tokens of the host's own identity for want of a
// person who is signed in.
func (s *Sandbox) serveCloudShell(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method != http.MethodPost:
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	case !strings.EqualFold(r.Header.Get("Metadata"), "true"), r.ParseForm() != nil:
		s.refuseCloudShell(w, imdsBad("invalid_request", "Required metadata header not specified"))
		return
	}
	m, token, refusal := s.identityToken(AppService, url.Values{"resource": r.PostForm["resource"]})
	if refusal != nil {
		s.refuseCloudShell(w, refusal)
		return
	}
	s.writeIdentityToken(w, m, r.PostForm.Get("resource"), token)
}

func (s *Sandbox) refuseCloudShell(w http.ResponseWriter, e *imdsError) {
	s.note(AppService, e.name)
	writeNested(w, e.status, e.name, e.message)
}

// serveServiceFabric is "Acquiring an access token using REST API" of Service
// Fabric's pages, which also have its refusals.
func (s *Sandbox) serveServiceFabric(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	switch {
	case !readOnly(w, r):
		return
	case r.TLS == nil:
		http.Error(w, "https only", http.StatusBadRequest)
		return
	case !s.hasHeader(r, "Secret"):
		s.note(AppService, "SecretHeaderNotFound")
		writeNested(w, http.StatusBadRequest, "SecretHeaderNotFound", "Secret is not found in the request headers.")
		return
	case q.Get("api-version") != "2019-07-01-preview":
		s.note(AppService, "InvalidApiVersion")
		writeNested(w, http.StatusBadRequest, "InvalidApiVersion", "The api-version '"+printable(q.Get("api-version"))+"' is not supported.")
		return
	}
	m, token, refusal := s.identityToken(AppService, url.Values{"resource": q["resource"]})
	if refusal != nil {
		s.note(AppService, "ManagedIdentityNotFound")
		writeNested(w, refusal.status, "ManagedIdentityNotFound", refusal.message)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": token.value, "token_type": "Bearer", "expires_on": token.expiry, "resource": q.Get("resource"), "client_id": m.ClientID,
	})
}

func writeNested(w http.ResponseWriter, status int, code, message string) {
	writeJSON(w, status, map[string]any{"error": map[string]string{"correlationId": randomGUID(), "code": code, "message": message}})
}
