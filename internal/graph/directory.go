package graph

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	keyless "github.com/keyless-id/keyless"
)

// Endpoint is Microsoft Graph's address in the public cloud, and the audience of its
// tokens.
const Endpoint = "https://graph.microsoft.com"

// Client asks Microsoft Graph. Each call is tried again while that can help. Errors are
// of type [keyless.Error], on the hop [HopGraph], with Graph's code.
type Client struct {
	Source     keyless.TokenSource // of tokens for Graph
	Endpoint   string              // zero: [Endpoint]
	HTTPClient *http.Client        // zero: a shared one that honours HTTPS_PROXY and NO_PROXY
}

// Application is an app registration. What is empty is left as it is in a change.
type Application struct {
	ID             string    `json:"id,omitempty"`    // its object id
	AppID          string    `json:"appId,omitempty"` // its client id
	DisplayName    string    `json:"displayName,omitempty"`
	SignInAudience string    `json:"signInAudience,omitempty"`
	IdentifierURIs []string  `json:"identifierUris,omitempty"`
	AppRoles       []AppRole `json:"appRoles,omitempty"`
	API            *API      `json:"api,omitempty"`
	Tags           []string  `json:"tags,omitempty"`
}

// API is what an application is as a resource.
type API struct {
	TokenVersion *int `json:"requestedAccessTokenVersion"` // nil: 1
}

// AppRole is a role that identities are assigned to.
type AppRole struct {
	ID                 string   `json:"id"`
	AllowedMemberTypes []string `json:"allowedMemberTypes"`
	DisplayName        string   `json:"displayName"`
	Description        string   `json:"description"`
	Value              string   `json:"value"`
	IsEnabled          bool     `json:"isEnabled"`
}

// ServicePrincipal is an identity in the tenant: an application's or a managed one.
type ServicePrincipal struct {
	ID                 string   `json:"id"`
	AppID              string   `json:"appId"`
	DisplayName        string   `json:"displayName"`
	Type               string   `json:"servicePrincipalType"` // Application or ManagedIdentity, and others
	AssignmentRequired bool     `json:"appRoleAssignmentRequired"`
	AlternativeNames   []string `json:"alternativeNames"` // of a managed identity, its resource id among them
}

// Assignment is an identity's app role at a resource.
type Assignment struct {
	ID          string `json:"id,omitempty"`
	PrincipalID string `json:"principalId"`
	ResourceID  string `json:"resourceId"`
	AppRoleID   string `json:"appRoleId"`
}

// FederatedCredential is an issuer's subject that an identity accepts for itself.
type FederatedCredential struct {
	ID          string   `json:"id,omitempty"`
	Name        string   `json:"name"`
	Issuer      string   `json:"issuer"`
	Subject     string   `json:"subject"`
	Audiences   []string `json:"audiences"`
	Description string   `json:"description,omitempty"`
}

func (c Client) service() service {
	s := service{hop: HopGraph, base: c.Endpoint, source: c.Source, client: c.HTTPClient}
	if s.base == "" {
		s.base = Endpoint
	}
	s.base = strings.TrimSuffix(s.base, "/") + "/v1.0"
	return s
}

func graphNext(p page) string { return p.GraphNext }

// quoted spells a text in a filter ("Use the $filter query parameter").
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

func (c Client) applications(ctx context.Context, filter string) ([]Application, error) {
	return list[Application](ctx, c.service(), call{op: "list applications", method: http.MethodGet, path: "/applications", query: url.Values{"$filter": {filter}}}, graphNext)
}

// Application returns the application with this client id.
func (c Client) Application(ctx context.Context, appID string) (Application, error) {
	found, err := c.applications(ctx, "appId eq "+quoted(appID))
	return only(found, err, "application", appID)
}

// only is the one that was found, or the error of one that is not there.
func only[T any](found []T, err error, kind, id string) (T, error) {
	var none T
	switch {
	case err != nil:
		return none, err
	case len(found) == 0:
		return none, &keyless.Error{Hop: HopGraph, Op: "get " + kind, Code: "Request_ResourceNotFound", Message: "there is no " + kind + " " + id + " in the tenant"}
	}
	return found[0], nil
}

// Tagged returns the applications that have a tag.
func (c Client) Tagged(ctx context.Context, tag string) ([]Application, error) {
	return c.applications(ctx, "tags/any(t:t eq "+quoted(tag)+")")
}

// WithURI returns the applications that have an App ID URI.
func (c Client) WithURI(ctx context.Context, uri string) ([]Application, error) {
	return c.applications(ctx, "identifierUris/any(x:x eq "+quoted(uri)+")")
}

// CreateApplication creates an application; Graph chooses its ids.
func (c Client) CreateApplication(ctx context.Context, a Application) (Application, error) {
	var created Application
	err := c.service().do(ctx, call{op: "create application", method: http.MethodPost, path: "/applications", body: a, into: &created})
	return created, err
}

// UpdateApplication changes what is set in change of the application with this object id.
func (c Client) UpdateApplication(ctx context.Context, id string, change Application) error {
	return c.service().do(ctx, call{op: "update application", method: http.MethodPatch, path: "/applications/" + url.PathEscape(id), body: change})
}

// DeleteApplication deletes an application, and its service principal with it.
func (c Client) DeleteApplication(ctx context.Context, id string) error {
	return c.service().do(ctx, call{op: "delete application", method: http.MethodDelete, path: "/applications/" + url.PathEscape(id)})
}

// ServicePrincipal returns the identity with this object id.
func (c Client) ServicePrincipal(ctx context.Context, id string) (ServicePrincipal, error) {
	var found ServicePrincipal
	err := c.service().do(ctx, call{op: "get service principal", method: http.MethodGet, path: "/servicePrincipals/" + url.PathEscape(id), into: &found})
	return found, err
}

// ServicePrincipalOf returns the identity with this client id.
func (c Client) ServicePrincipalOf(ctx context.Context, appID string) (ServicePrincipal, error) {
	found, err := list[ServicePrincipal](ctx, c.service(), call{op: "list service principals", method: http.MethodGet, path: "/servicePrincipals", query: url.Values{"$filter": {"appId eq " + quoted(appID)}}}, graphNext)
	return only(found, err, "service principal", appID)
}

// CreateServicePrincipal makes an application an identity of the tenant.
func (c Client) CreateServicePrincipal(ctx context.Context, appID string) (ServicePrincipal, error) {
	var created ServicePrincipal
	err := c.service().do(ctx, call{op: "create service principal", method: http.MethodPost, path: "/servicePrincipals", body: map[string]string{"appId": appID}, into: &created})
	return created, err
}

// RequireAssignment makes a resource refuse tokens to identities that have no role at it.
func (c Client) RequireAssignment(ctx context.Context, id string) error {
	return c.service().do(ctx, call{op: "require assignment", method: http.MethodPatch, path: "/servicePrincipals/" + url.PathEscape(id), body: map[string]bool{"appRoleAssignmentRequired": true}})
}

// Assignments returns who is assigned to the roles of a resource.
func (c Client) Assignments(ctx context.Context, resourceID string) ([]Assignment, error) {
	return list[Assignment](ctx, c.service(), call{op: "list app role assignments", method: http.MethodGet, path: "/servicePrincipals/" + url.PathEscape(resourceID) + "/appRoleAssignedTo"}, graphNext)
}

// Assign assigns an identity to a role of a resource.
func (c Client) Assign(ctx context.Context, a Assignment) (Assignment, error) {
	var created Assignment
	err := c.service().do(ctx, call{op: "assign app role", method: http.MethodPost, path: "/servicePrincipals/" + url.PathEscape(a.ResourceID) + "/appRoleAssignedTo", body: a, into: &created})
	return created, err
}

// Unassign takes an assignment back.
func (c Client) Unassign(ctx context.Context, resourceID, assignmentID string) error {
	return c.service().do(ctx, call{op: "remove app role assignment", method: http.MethodDelete, path: "/servicePrincipals/" + url.PathEscape(resourceID) + "/appRoleAssignedTo/" + url.PathEscape(assignmentID)})
}

func credentials(id string) string {
	return "/applications/" + url.PathEscape(id) + "/federatedIdentityCredentials"
}

// FederatedCredentials returns those of the application with this object id.
func (c Client) FederatedCredentials(ctx context.Context, id string) ([]FederatedCredential, error) {
	return list[FederatedCredential](ctx, c.service(), call{op: "list federated credentials", method: http.MethodGet, path: credentials(id)}, graphNext)
}

// AddFederatedCredential adds one to an application; Entra takes up to 20.
func (c Client) AddFederatedCredential(ctx context.Context, id string, f FederatedCredential) error {
	return c.service().do(ctx, call{op: "add federated credential", method: http.MethodPost, path: credentials(id), body: f})
}

// UpdateFederatedCredential changes the one with this name.
func (c Client) UpdateFederatedCredential(ctx context.Context, id string, f FederatedCredential) error {
	body := map[string]any{"issuer": f.Issuer, "subject": f.Subject, "audiences": f.Audiences}
	return c.service().do(ctx, call{op: "update federated credential", method: http.MethodPatch, path: credentials(id) + "/" + url.PathEscape(f.Name), body: body})
}

// DeleteFederatedCredential deletes the one with this name.
func (c Client) DeleteFederatedCredential(ctx context.Context, id, name string) error {
	return c.service().do(ctx, call{op: "delete federated credential", method: http.MethodDelete, path: credentials(id) + "/" + url.PathEscape(name)})
}

// TenantID returns the id of the tenant that the caller is signed in to.
func (c Client) TenantID(ctx context.Context) (string, error) {
	type organization struct{ ID string }
	found, err := list[organization](ctx, c.service(), call{op: "get organization", method: http.MethodGet, path: "/organization", query: url.Values{"$select": {"id"}}}, graphNext)
	one, err := only(found, err, "organization", "")
	return one.ID, err
}
