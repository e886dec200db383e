package sandbox

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// armCall is one request to Azure Resource Manager about a resource.
type armCall struct {
	s       *Sandbox
	request *http.Request
	tenant  *tenant
	path    armPath
	body    []byte
}

type armAction func(*armCall) (int, any, *telemetryError)

// armDialect is "Common error codes" of Resource Manager.
func armDialect() dialect {
	return dialect{map[int]string{
		http.StatusBadRequest: "BadRequest", http.StatusUnauthorized: "AuthenticationFailed", http.StatusForbidden: "AuthorizationFailed",
		http.StatusNotFound: "ResourceNotFound", http.StatusMethodNotAllowed: "MethodNotAllowed", http.StatusConflict: "Conflict",
		http.StatusRequestEntityTooLarge: "RequestEntityTooLarge", http.StatusTooManyRequests: "TooManyRequests", http.StatusServiceUnavailable: "ServiceUnavailable",
	}, writeMonitorError}
}

// serveARM is as much of Azure Resource Manager as a login and the identities of a host
// take: "Azure REST API reference".
func (s *Sandbox) serveARM(w http.ResponseWriter, r *http.Request) {
	path, found := parseARMPath(r.URL.Path)
	if !found {
		s.serveManagement(w, r)
		return
	}
	c := &armCall{s: s, request: r, path: path}
	event := Event{Hop: ARM, Op: r.Method + " " + path.kind(), Outcome: "ok", Details: map[string]string{"resource": printable(r.URL.Path)}}
	status, answer, refusal := c.dispatch(event.Details)
	switch {
	case refusal != nil:
		event.Outcome = armDialect().refuse(w, refusal)
		event.Details["message"] = printable(refusal.message)
	case answer == nil:
		w.WriteHeader(status)
	default:
		writeJSON(w, status, answer)
	}
	s.record(event)
}

// armPath is the id of a resource, or of a list of them, taken apart.
type armPath struct {
	subscription, group string // the group is empty in lists of a whole subscription
	provider            string
	types, names        []string // userAssignedIdentities, federatedIdentityCredentials; a list lacks the last name
}

// parseARMPath reads /subscriptions/ID/resourceGroups/NAME/providers/NAMESPACE/TYPE/NAME
// and what may follow in pairs.
func parseARMPath(path string) (armPath, bool) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	if slices.Contains(parts, "") || len(parts) < 5 || !strings.EqualFold(parts[0], "subscriptions") {
		return armPath{}, false
	}
	p := armPath{subscription: parts[1]}
	rest := parts[2:]
	if strings.EqualFold(rest[0], "resourceGroups") {
		p.group, rest = rest[1], rest[2:]
	}
	if len(rest) < 3 || !strings.EqualFold(rest[0], "providers") {
		return armPath{}, false
	}
	p.provider = rest[1]
	for i, part := range rest[2:] {
		if i%2 == 0 {
			p.types = append(p.types, part)
		} else {
			p.names = append(p.names, part)
		}
	}
	return p, true
}

// kind is the type of the resource in lower case, as routes and messages have it.
func (p armPath) kind() string {
	return strings.ToLower(p.provider + "/" + strings.Join(p.types, "/"))
}

func (p armPath) isList() bool { return len(p.names) < len(p.types) }

// parent is the id of the resource that the first name stands for, in lower case.
func (p armPath) parent() string {
	return strings.ToLower("/subscriptions/" + p.subscription + "/resourceGroups/" + p.group + "/providers/" + p.provider + "/" + p.types[0] + "/" + p.names[0])
}

const (
	identityKind   = "microsoft.managedidentity/userassignedidentities"
	credentialKind = identityKind + "/federatedidentitycredentials"
)

// action finds what a method does to a kind of resource.
func (c *armCall) action() armAction {
	key := c.request.Method + " " + c.path.kind()
	if c.path.isList() {
		return map[string]armAction{
			"GET " + identityKind:   (*armCall).listIdentities,
			"GET " + credentialKind: (*armCall).listCredentials,
		}[key]
	}
	if action := map[string]armAction{
		"GET " + identityKind:      (*armCall).getIdentity,
		"PUT " + identityKind:      (*armCall).putIdentity,
		"DELETE " + identityKind:   (*armCall).deleteIdentity,
		"GET " + credentialKind:    (*armCall).getCredential,
		"PUT " + credentialKind:    (*armCall).putCredential,
		"DELETE " + credentialKind: (*armCall).deleteCredential,
	}[key]; action != nil {
		return action
	}
	if c.request.Method == http.MethodGet {
		return (*armCall).getHost
	}
	return nil
}

func (c *armCall) dispatch(details map[string]string) (int, any, *telemetryError) {
	t, caller, code := c.s.entraCaller(c.request, c.s.now(ARM), isManagementAudience)
	if code != "" {
		return 0, nil, refuse(http.StatusUnauthorized, code, "The access token is missing, invalid or for another audience.")
	}
	details["caller"], c.tenant = caller, t
	action := c.action()
	switch {
	case !strings.EqualFold(c.path.subscription, c.s.index.host.SubscriptionID):
		return 0, nil, refuse(http.StatusNotFound, "SubscriptionNotFound", "The subscription '%s' could not be found.", printable(c.path.subscription))
	case !t.obeys(caller):
		return 0, nil, refuse(http.StatusForbidden, "", "The client with object id '%s' does not have authorization to perform action '%s/%s' over scope '%s' or the scope is invalid. If access was recently granted, please refresh your credentials.",
			caller, c.path.kind(), printable(strings.ToLower(c.request.Method)), printable(c.request.URL.Path))
	case action == nil:
		return 0, nil, refuse(http.StatusMethodNotAllowed, "", "The sandbox does not play %s of %s.", printable(c.request.Method), printable(c.path.kind()))
	}
	if refusal := c.checkVersion(); refusal != nil {
		return 0, nil, refusal
	}
	body, err := io.ReadAll(c.request.Body)
	if err != nil {
		return 0, nil, refuse(http.StatusRequestEntityTooLarge, "", "The request is too large.")
	}
	c.body = body
	return action(c)
}

func isManagementAudience(audience string) bool {
	return strings.HasPrefix(audience, "https://management.")
}

// checkVersion knows the versions of the identities; those of other resources are taken
// if they are dates.
func (c *armCall) checkVersion() *telemetryError {
	version := c.request.URL.Query().Get("api-version")
	known := []string{"2022-01-31-preview", "2023-01-31", "2023-07-31-preview", "2024-11-30"}
	if c.path.kind() == identityKind {
		known = append(known, "2018-11-30") // before there were federated credentials
	}
	_, err := time.Parse("2006-01-02", strings.TrimSuffix(version, "-preview"))
	switch {
	case version == "":
		return refuse(http.StatusBadRequest, "MissingApiVersionParameter", "The api-version query parameter (?api-version=) is required for all requests.")
	case strings.HasPrefix(c.path.kind(), identityKind) && !slices.Contains(known, version), err != nil:
		return refuse(http.StatusBadRequest, "NoRegisteredProviderFound", "No registered resource provider found for API version '%s' and type '%s'. The supported api-versions are '%s'.", printable(version), printable(c.path.kind()), strings.Join(known, ", "))
	}
	return nil
}

func (c *armCall) missing() *telemetryError {
	return refuse(http.StatusNotFound, "", "The Resource '%s' under resource group '%s' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
		printable(c.path.provider+"/"+strings.Join(c.path.types, "/")+"/"+strings.Join(c.path.names, "/")), printable(c.path.group))
}

// getHost shows the identity of what has one from the system, at its resource id: a
// virtual machine, a machine of Azure Arc, a web app.
func (c *armCall) getHost() (int, any, *telemetryError) {
	id := strings.TrimSuffix(c.request.URL.Path, "/")
	directory := c.tenant.directory.latest()
	for _, m := range c.tenant.Identities {
		if !m.SystemAssigned || !strings.EqualFold(m.ResourceID, id) {
			continue
		}
		identity := object{"type": "SystemAssigned", "principalId": m.ObjectID, "tenantId": c.tenant.ID}
		if assigned := c.assignedTo(directory); len(assigned) > 0 {
			identity["type"], identity["userAssignedIdentities"] = "SystemAssigned, UserAssigned", assigned
		}
		return http.StatusOK, object{
			"id": m.ResourceID, "name": c.path.names[len(c.path.names)-1], "type": c.path.provider + "/" + strings.Join(c.path.types, "/"),
			"location": c.s.index.host.Location, "identity": identity, "properties": object{"provisioningState": "Succeeded"},
		}, nil
	}
	return 0, nil, c.missing()
}

// assignedTo are the identities of the world, which are all on the one host.
func (c *armCall) assignedTo(d *directory) object {
	assigned := object{}
	for _, m := range c.tenant.Identities {
		if !m.SystemAssigned && d.identities[strings.ToLower(m.ResourceID)] != nil {
			assigned[m.ResourceID] = object{"principalId": m.ObjectID, "clientId": m.ClientID}
		}
	}
	return assigned
}

// read decodes the body. Resource Manager takes properties that it does not know.
func (c *armCall) read(into any) *telemetryError {
	if err := json.Unmarshal(c.body, into); err != nil {
		return refuse(http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid and could not be deserialized.")
	}
	return nil
}
