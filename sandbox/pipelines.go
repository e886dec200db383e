package sandbox

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Organization is one of Azure DevOps.
type Organization struct {
	ID        string     `json:"id" yaml:"id"` // a GUID
	Name      string     `json:"name" yaml:"name"`
	Pipelines []Pipeline `json:"pipelines,omitempty" yaml:"pipelines,omitempty"`
}

// Pipeline is a pipeline with one job that runs for ever.
type Pipeline struct {
	Project     string              `json:"project" yaml:"project"`
	Name        string              `json:"name" yaml:"name"`
	AccessToken string              `json:"access_token" yaml:"access_token"` // the job's SYSTEM_ACCESSTOKEN
	Connections []ServiceConnection `json:"connections,omitempty" yaml:"connections,omitempty"`
}

// ServiceConnection is a service connection with workload identity federation.
type ServiceConnection struct {
	ID           string `json:"id" yaml:"id"` // a GUID
	Name         string `json:"name" yaml:"name"`
	TenantID     string `json:"tenant_id,omitempty" yaml:"tenant_id,omitempty"`       // the tenant whose Entra issues the tokens; empty: vstoken.dev.azure.com does
	Unreferenced bool   `json:"unreferenced,omitempty" yaml:"unreferenced,omitempty"` // the job's stage does not name it
}

// The issuer of an organization's own tokens, before its id, and the application of
// Azure DevOps in Entra.
const (
	vstokenIssuer  = "https://vstoken.dev.azure.com/"
	devOpsClientID = "499b84ac-1321-427f-aa17-267ca6975798"
)

type job struct {
	*Pipeline
	organization *Organization
}

func (x *index) addOrganization(o *Organization) error {
	if len(guidBytes(o.ID)) != 16 {
		return errors.New("the id is not a GUID")
	}
	if err := put(x.organizations, strings.ToLower(o.Name), o); err != nil {
		return err
	}
	for i := range o.Pipelines {
		p := &o.Pipelines[i]
		j := &job{p, o}
		if err := put(x.jobs, p.AccessToken, j); err != nil {
			return errors.New("two pipelines have the same access token, or one has none")
		}
		x.pipelines = append(x.pipelines, j)
		for _, c := range p.Connections {
			if c.TenantID != "" && x.tenants[strings.ToLower(c.TenantID)] == nil {
				return fmt.Errorf("service connection %q: no tenant %q", c.Name, c.TenantID)
			}
		}
	}
	return x.addIssuer(&Issuer{URL: vstokenIssuer + o.ID})
}

// isPipelines reports whether a path is that of the token of a job.
func isPipelines(path string) bool { return strings.HasSuffix(path, "/oidctoken") }

// tfsError is an error of Azure DevOps.
type tfsError struct {
	status  int
	kind    string
	message string
}

func writeTFSError(w http.ResponseWriter, e *tfsError) {
	w.Header().Set("X-Vss-E2eid", randomGUID())
	if e.status == http.StatusUnauthorized {
		w.Header().Set("Www-Authenticate", "Bearer")
		w.WriteHeader(e.status)
		return
	}
	writeJSON(w, e.status, map[string]any{
		"$id": "1", "innerException": nil, "message": e.message,
		"typeName": "Microsoft.TeamFoundation." + e.kind + ", Microsoft.TeamFoundation", "typeKey": e.kind, "errorCode": 0, "eventId": 3000,
	})
}

// servePipelines is "Oidctoken - Create" of the Azure DevOps REST API. What the page
// does not say is from public reports, and unverified: statuses and type keys.
func (s *Sandbox) servePipelines(w http.ResponseWriter, r *http.Request) {
	token, details, refusal := s.jobToken(r)
	event := Event{Hop: Pipelines, Op: "oidctoken", Outcome: "ok", Details: details}
	if refusal == nil {
		s.record(event)
		w.Header().Set("X-Vss-E2eid", randomGUID())
		writeJSON(w, http.StatusOK, map[string]string{"oidcToken": token})
		return
	}
	event.Outcome = refusal.kind
	s.record(event)
	if refusal.status == http.StatusUnauthorized && !strings.EqualFold(r.Header.Get("X-TFS-FedAuthRedirect"), "Suppress") {
		http.Redirect(w, r, "https://app.vssps.visualstudio.com/_signin?realm=dev.azure.com", http.StatusFound)
		return
	}
	writeTFSError(w, refusal)
}

func (s *Sandbox) jobToken(r *http.Request) (string, map[string]string, *tfsError) {
	details := map[string]string{}
	j, refusal := s.jobOf(r)
	if refusal != nil {
		return "", details, refusal
	}
	details["pipeline"] = j.Name
	claims, entra, refusal := s.jobClaims(j, r.URL.Query().Get("serviceConnectionId"))
	if refusal != nil {
		return "", details, refusal
	}
	details["subject"] = fmt.Sprint(claims["sub"])
	sign := func() (string, error) { return s.Mint(claims, Minting{}) }
	if entra {
		sign = func() (string, error) { return s.signEntra(claims) }
	}
	token, err := sign()
	if err != nil {
		return "", details, &tfsError{http.StatusInternalServerError, "Exception", "The token could not be signed."}
	}
	return token, details, nil
}

// jobOf finds the job by its access token.
func (s *Sandbox) jobOf(r *http.Request) (*job, *tfsError) {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	var found *job
	for secret, j := range s.index.jobs {
		if subtle.ConstantTimeCompare([]byte(secret), []byte(bearer)) == 1 {
			found = j
		}
	}
	switch {
	case found == nil || !strings.EqualFold(parts[0], found.organization.Name):
		return nil, &tfsError{http.StatusUnauthorized, "UnauthorizedRequestException", ""}
	case r.Method != http.MethodPost:
		return nil, &tfsError{http.StatusMethodNotAllowed, "HttpMethodNotSupportedException", "The requested resource does not support http method '" + printable(r.Method) + "'."}
	case len(parts) != 11 || parts[2] != "_apis" || parts[3] != "distributedtask" || parts[4] != "hubs" || parts[6] != "plans" || parts[8] != "jobs":
		return nil, &tfsError{http.StatusNotFound, "TaskOrchestrationPlanNotFoundException", "No plan found for identifier."}
	case r.URL.Query().Get("api-version") == "":
		return nil, &tfsError{http.StatusBadRequest, "VssVersionNotSpecifiedException", "No api-version was supplied for the request."}
	}
	return found, nil
}

// jobClaims are those of one of the three kinds of tokens: of the pipeline itself, of
// a connection by its name, of a connection by Entra. A connection id that is none
// counts as absent.
func (s *Sandbox) jobClaims(j *job, connectionID string) (claims map[string]any, entra bool, refusal *tfsError) {
	now, o := s.now(Pipelines).Unix(), j.organization
	claims = map[string]any{
		"iss": vstokenIssuer + o.ID, "aud": ExchangeAudience, "jti": randomGUID(),
		"iat": now, "nbf": now - 600, "exp": now + 300,
	}
	if len(guidBytes(connectionID)) != 16 {
		claims["sub"], claims["org_id"] = "p://"+o.Name+"/"+j.Project+"/"+j.Name, o.ID
		return claims, false, nil
	}
	connection := j.connection(connectionID)
	switch {
	case connection == nil:
		return nil, false, &tfsError{http.StatusNotFound, "ServiceEndpointNotFoundException", "Service connection with id " + printable(connectionID) + " could not be found."}
	case connection.Unreferenced:
		return nil, false, &tfsError{http.StatusBadRequest, "OrchestrationSessionNotFoundException", "There is no explicit reference to service connection " + printable(connectionID) + " from current stage."}
	case connection.TenantID == "":
		claims["sub"] = "sc://" + o.Name + "/" + j.Project + "/" + connection.Name
		return claims, false, nil
	}
	return map[string]any{
		"iss": issuerOf(connection.TenantID, 2), "aud": ExchangeClientID, "sub": connectionSubject(connection.TenantID, o.ID, connection.ID), "tid": connection.TenantID,
		"azp": devOpsClientID, "azpacr": "2", "idtyp": "app", "xms_ficinfo": "CAAQARgAIAA", "xms_idrel": "7 30", "ver": "2.0",
		"uti": randomText(16), "iat": now, "nbf": now, "exp": now + 86700,
	}, true, nil
}

// connectionSubject is the subject of Entra's token for a service connection.
func connectionSubject(tenantID, organizationID, connectionID string) string {
	return "/eid1/c/pub/t/" + dotNetGUID(tenantID) + "/a/" + dotNetGUID(devOpsClientID) + "/sc/" + strings.ToLower(organizationID) + "/" + strings.ToLower(connectionID)
}

func (j *job) connection(id string) *ServiceConnection {
	for i := range j.Connections {
		if c := &j.Connections[i]; strings.EqualFold(c.ID, id) {
			return c
		}
	}
	return nil
}

// guidBytes is nil for what is not a GUID.
func guidBytes(id string) []byte {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return nil
	}
	raw, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	if err != nil {
		return nil
	}
	return raw
}

// dotNetGUID is how Entra writes a GUID into such subjects: the bytes of
// Guid.ToByteArray as base64url.
func dotNetGUID(id string) string {
	b := guidBytes(id)
	if len(b) != 16 {
		return ""
	}
	b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7] = b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6]
	return base64.RawURLEncoding.EncodeToString(b)
}

// ofPipelines reports whether a token of Entra is one that it issued to a service
// connection; these may prove an application, unlike those of other applications.
func ofPipelines(token *webToken) bool {
	azp, _ := token.claims["azp"].(string)
	return azp == devOpsClientID && strings.HasPrefix(token.subject, "/eid1/c/pub/t/")
}

func pipelinesFault(f *Fault) *tfsError {
	return &tfsError{orStatus(f.Status, http.StatusInternalServerError), orText(f.Code, "VssServiceException"), "The service is out of order."}
}
