package sandbox

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// graphCall is one request to Microsoft Graph.
type graphCall struct {
	s       *Sandbox
	request *http.Request
	tenant  *tenant
	path    []graphSegment
	seen    *directory // what Graph answers from, which may be older than what it writes to
	body    []byte
}

// graphAction returns the status and the body of an answer.
type graphAction func(*graphCall) (int, any, *telemetryError)

func isGraphHost(host string) bool {
	return slices.Contains([]string{"graph.microsoft.com", "graph.microsoft.us", "dod-graph.microsoft.us", "microsoftgraph.chinacloudapi.cn"}, host)
}

// isGraphAudience takes the names of the API in all clouds, and its id.
func isGraphAudience(audience string) bool {
	host, found := strings.CutPrefix(strings.TrimSuffix(audience, "/"), "https://")
	return found && isGraphHost(host) || audience == graphClientID
}

// graphDialect is "Microsoft Graph error responses and resource types".
func graphDialect() dialect {
	return dialect{map[int]string{
		http.StatusBadRequest: "Request_BadRequest", http.StatusUnauthorized: "InvalidAuthenticationToken", http.StatusForbidden: "Authorization_RequestDenied",
		http.StatusNotFound: "Request_ResourceNotFound", http.StatusMethodNotAllowed: "Request_BadRequest", http.StatusConflict: "Request_MultipleObjectsWithSameKeyValue",
		http.StatusRequestEntityTooLarge: "RequestEntityTooLarge", http.StatusTooManyRequests: "TooManyRequests", http.StatusServiceUnavailable: "ServiceUnavailable",
	}, writeGraphError}
}

func writeGraphError(w http.ResponseWriter, e *telemetryError) {
	id := randomGUID()
	w.Header().Set("request-id", id)
	if e.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", client_id="`+graphClientID+`"`)
	}
	writeJSON(w, e.status, map[string]any{"error": map[string]any{
		"code": e.code, "message": e.message,
		"innerError": map[string]string{"date": w.Header().Get("Date"), "request-id": id, "client-request-id": id},
	}})
}

// graphFault makes an error of what a test asked for; the status of a concurrency
// violation is unverified.
func graphFault(w http.ResponseWriter, f *Fault) {
	status := f.Status
	switch f.Code {
	case "Directory_ConcurrencyViolation", "Request_MultipleObjectsWithSameKeyValue":
		status = orStatus(status, http.StatusConflict)
	case "Request_ResourceNotFound":
		status = orStatus(status, http.StatusNotFound)
	case "Request_BadRequest":
		status = orStatus(status, http.StatusBadRequest)
	case "Authorization_RequestDenied":
		status = orStatus(status, http.StatusForbidden)
	}
	graphDialect().fault(w, &Fault{Status: status, Code: f.Code})
}

// serveGraph is as much of Microsoft Graph as registering an application for a
// federation takes ("Microsoft Graph REST API v1.0 endpoint reference").
func (s *Sandbox) serveGraph(w http.ResponseWriter, r *http.Request) {
	c := &graphCall{s: s, request: r}
	event := Event{Hop: Graph, Op: r.Method + " " + printable(r.URL.Path), Outcome: "ok", Details: map[string]string{}}
	status, answer, refusal := c.dispatch(event.Details)
	switch {
	case refusal != nil:
		event.Outcome = graphDialect().refuse(w, refusal)
		event.Details["message"] = printable(refusal.message)
	case status == http.StatusNoContent:
		w.WriteHeader(status)
	default:
		writeJSON(w, status, answer)
	}
	s.record(event)
}

func (c *graphCall) dispatch(details map[string]string) (int, any, *telemetryError) {
	t, caller, code := c.s.entraCaller(c.request, c.s.now(Graph), isGraphAudience)
	if code != "" {
		return 0, nil, refuse(http.StatusUnauthorized, "InvalidAuthenticationToken", "Access token validation failure: it is missing, expired, not of this tenant or for another audience.") // unverified wording
	}
	details["caller"] = caller
	if !t.obeys(caller) {
		return 0, nil, refuse(http.StatusForbidden, "", "Insufficient privileges to complete the operation.")
	}
	path, found := parseGraphPath(c.request.URL.Path)
	action := graphActions()[c.request.Method+" "+shape(path)]
	if !found || action == nil {
		return 0, nil, refuse(http.StatusBadRequest, "BadRequest", "Resource not found for the segment or method: %s %s.", printable(c.request.Method), printable(c.request.URL.Path))
	}
	body, err := io.ReadAll(c.request.Body)
	if err != nil {
		return 0, nil, refuse(http.StatusRequestEntityTooLarge, "", "The request is too large.")
	}
	c.tenant, c.path, c.body = t, path, body
	c.seen = t.directory.at(c.s.options.Now().Add(-c.s.options.Replication))
	return action(c)
}

// obeys reports whether somebody administrates the tenant. Permissions are all or
// nothing here.
func (t *tenant) obeys(objectID string) bool {
	return slices.ContainsFunc(t.Administrators, func(id string) bool { return strings.EqualFold(id, objectID) })
}

func graphActions() map[string]graphAction {
	return map[string]graphAction{
		"GET organization":   (*graphCall).listOrganizations,
		"GET organization/*": (*graphCall).getOrganization,

		"GET applications":      (*graphCall).listApplications,
		"POST applications":     (*graphCall).createApplication,
		"GET applications/*":    (*graphCall).getApplication,
		"PATCH applications/*":  (*graphCall).updateApplication,
		"DELETE applications/*": (*graphCall).deleteApplication,

		"GET applications/*/federatedidentitycredentials":      (*graphCall).listCredentials,
		"POST applications/*/federatedidentitycredentials":     (*graphCall).createCredential,
		"GET applications/*/federatedidentitycredentials/*":    (*graphCall).getCredential,
		"PATCH applications/*/federatedidentitycredentials/*":  (*graphCall).updateCredential,
		"DELETE applications/*/federatedidentitycredentials/*": (*graphCall).deleteCredential,

		"GET serviceprincipals":      (*graphCall).listPrincipals,
		"POST serviceprincipals":     (*graphCall).createPrincipal,
		"GET serviceprincipals/*":    (*graphCall).getPrincipal,
		"PATCH serviceprincipals/*":  (*graphCall).updatePrincipal,
		"DELETE serviceprincipals/*": (*graphCall).deletePrincipal,

		"GET serviceprincipals/*/approleassignments":      (*graphCall).listAssignments,
		"POST serviceprincipals/*/approleassignments":     (*graphCall).createAssignment,
		"GET serviceprincipals/*/approleassignments/*":    (*graphCall).getAssignment,
		"DELETE serviceprincipals/*/approleassignments/*": (*graphCall).deleteAssignment,
		"GET serviceprincipals/*/approleassignedto":       (*graphCall).listAssignments,
		"POST serviceprincipals/*/approleassignedto":      (*graphCall).createAssignment,
		"GET serviceprincipals/*/approleassignedto/*":     (*graphCall).getAssignment,
		"DELETE serviceprincipals/*/approleassignedto/*":  (*graphCall).deleteAssignment,
	}
}

// read decodes the body; a property that is not played is an error, so that nobody
// relies on it.
func (c *graphCall) read(into any) *telemetryError {
	decoder := json.NewDecoder(bytes.NewReader(c.body))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil && decoder.More() {
		err = errors.New("more than one value")
	}
	if err == nil {
		return nil
	}
	if property, found := strings.CutPrefix(err.Error(), "json: unknown field "); found {
		return badGraph("Invalid property %s.", strings.ReplaceAll(property, `"`, "'"))
	}
	return refuse(http.StatusBadRequest, "BadRequest", "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format.")
}

func badGraph(format string, args ...any) *telemetryError {
	return refuse(http.StatusBadRequest, "", format, args...)
}

func notInGraph(id string) *telemetryError {
	return refuse(http.StatusNotFound, "", "Resource '%s' does not exist or one of its queried reference-property objects are not present.", printable(id))
}

// object is an entity as an answer shows it.
type object = map[string]any

// show answers with one entity.
func (c *graphCall) show(status int, entity object) (int, any, *telemetryError) {
	entity["@odata.context"] = c.context() + "/$entity"
	return status, entity, nil
}

func (c *graphCall) context() string {
	return "https://graph.microsoft.com/v1.0/$metadata#" + c.path[len(c.path)-1].name
}

// Page sizes: "Paging Microsoft Graph data in your app".
const (
	graphPage = 100
	graphTop  = 999
)

// list answers with those that the query asks for, a page at a time. They come in the
// order of their ids.
func (c *graphCall) list(all []object) (int, any, *telemetryError) {
	query := c.request.URL.Query()
	wanted, err := parseFilter(query.Get("$filter"))
	if err != nil {
		return 0, nil, refuse(http.StatusBadRequest, "BadRequest", "Invalid filter clause: %v", err)
	}
	slices.SortFunc(all, func(a, b object) int { return strings.Compare(a["id"].(string), b["id"].(string)) })
	var matches []object
	for _, entity := range all {
		fits, err := wanted.matches(entity)
		if err != nil {
			return 0, nil, refuse(http.StatusBadRequest, "Request_UnsupportedQuery", "%v", err)
		}
		if fits {
			matches = append(matches, entity)
		}
	}
	return c.page(matches)
}

func (c *graphCall) page(matches []object) (int, any, *telemetryError) {
	query := c.request.URL.Query()
	size, err := strconv.Atoi(orText(query.Get("$top"), strconv.Itoa(graphPage)))
	if err != nil || size < 1 || size > graphTop {
		return 0, nil, badGraph("Invalid page size specified: '%s'. Must be between 1 and %d inclusive.", printable(query.Get("$top")), graphTop)
	}
	after, err := base64.RawURLEncoding.DecodeString(query.Get("$skiptoken"))
	if err != nil {
		return 0, nil, badGraph("The skip token is invalid.") // unverified wording
	}
	matches = slices.DeleteFunc(matches, func(entity object) bool { return entity["id"].(string) <= string(after) })
	answer := object{"@odata.context": c.context(), "value": chosen(matches[:min(size, len(matches))], query.Get("$select"))}
	if len(matches) > size {
		last := matches[size-1]["id"].(string)
		query.Set("$skiptoken", base64.RawURLEncoding.EncodeToString([]byte(last)))
		answer["@odata.nextLink"] = baseOf(c.request) + c.request.URL.Path + "?" + query.Encode()
	}
	return http.StatusOK, answer, nil
}

// chosen leaves in what $select names. Those left in are never null but a list.
func chosen(entities []object, selection string) []object {
	list := []object{}
	for _, entity := range entities {
		if selection == "" {
			list = append(list, entity)
			continue
		}
		part := object{}
		for name := range strings.SplitSeq(selection, ",") {
			if value, found := entity[strings.TrimSpace(name)]; found {
				part[strings.TrimSpace(name)] = value
			}
		}
		list = append(list, part)
	}
	return list
}

func graphTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// verifiedDomain is the domain of every tenant here.
const verifiedDomain = "sandbox.onmicrosoft.com"

func (c *graphCall) organization() object {
	return object{
		"id": c.tenant.ID, "displayName": "sandbox", "tenantType": "AAD",
		"verifiedDomains": []object{{"name": verifiedDomain, "isDefault": true, "isInitial": true, "type": "Managed"}},
	}
}

func (c *graphCall) listOrganizations() (int, any, *telemetryError) {
	return c.list([]object{c.organization()})
}

func (c *graphCall) getOrganization() (int, any, *telemetryError) {
	if !strings.EqualFold(c.path[0].key, c.tenant.ID) {
		return 0, nil, notInGraph(c.path[0].key)
	}
	return c.show(http.StatusOK, c.organization())
}

// texts is a list that is never null in JSON.
func texts(list []string) []string { return append([]string{}, list...) }
