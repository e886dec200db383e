package graph

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/wire"
)

// ARMEndpoint is Azure Resource Manager's address in the public cloud, and the audience
// of its tokens.
const ARMEndpoint = "https://management.azure.com"

const versionIdentity = "2024-11-30" // of Microsoft.ManagedIdentity

// ARM asks Azure Resource Manager. Errors are of type [keyless.Error], on the hop
// [HopARM], with its code.
type ARM struct {
	Source     keyless.TokenSource // of tokens for Resource Manager
	Endpoint   string              // zero: [ARMEndpoint]
	HTTPClient *http.Client        // zero: a shared one that honours HTTPS_PROXY and NO_PROXY
}

// Identity is the managed identity that a resource is or has.
type Identity struct {
	ResourceID  string
	PrincipalID string // its object id: the subject of its tokens
	ClientID    string // known of a user-assigned identity only
	TenantID    string
	Assigned    []string // principal ids of user-assigned identities, if it has any
}

func (a ARM) service() service {
	s := service{hop: HopARM, base: a.Endpoint, source: a.Source, client: a.HTTPClient}
	if s.base == "" {
		s.base = ARMEndpoint
	}
	return s
}

func armNext(p page) string { return p.ARMNext }

// IsUserAssigned reports whether a resource id is that of a user-assigned identity.
func IsUserAssigned(resourceID string) bool {
	return strings.Contains(strings.ToLower(resourceID), "/providers/microsoft.managedidentity/userassignedidentities/")
}

// CheckResourceID admits what names one resource and nothing else.
func CheckResourceID(id string) error {
	segments := strings.Split(strings.TrimPrefix(id, "/"), "/")
	ok := strings.HasPrefix(id, "/") && len(segments) >= 8 && len(segments)%2 == 0 && strings.EqualFold(segments[0], "subscriptions") && strings.EqualFold(segments[4], "providers")
	for _, segment := range segments {
		ok = ok && segment != "" && segment != "." && segment != ".." && url.PathEscape(segment) == segment
	}
	if !ok {
		return fmt.Errorf("resource id %q: want /subscriptions/…/resourceGroups/…/providers/NAMESPACE/TYPE/NAME", wire.Quote(id))
	}
	return nil
}

// version is a version of the API of a resource's type that tells its identity. What a
// type does not have it says, with those that it has.
func version(resourceID string) string {
	_, kind, _ := strings.Cut(strings.ToLower(resourceID), "/providers/")
	switch namespace, _, _ := strings.Cut(kind, "/"); namespace {
	case "microsoft.managedidentity":
		return versionIdentity
	case "microsoft.compute":
		return "2024-07-01"
	case "microsoft.web":
		return "2023-12-01"
	case "microsoft.hybridcompute":
		return "2024-07-10"
	case "microsoft.containerservice":
		return "2024-09-01"
	case "microsoft.containerinstance":
		return "2023-05-01"
	}
	return "2024-03-01" // Microsoft.App's; of the rest unverified
}

// Identity returns the managed identity of a resource: its own if it is a user-assigned
// identity, the system-assigned one of anything else.
func (a ARM) Identity(ctx context.Context, resourceID string) (Identity, error) {
	const op = "get identity"
	if err := CheckResourceID(resourceID); err != nil {
		return Identity{}, &keyless.Error{Hop: HopARM, Op: op, Err: err}
	}
	type ids struct{ PrincipalID, ClientID, TenantID string }
	var answer struct {
		Identity struct {
			PrincipalID            string
			TenantID               string
			UserAssignedIdentities map[string]ids
		}
		Properties ids
	}
	err := a.service().do(ctx, call{op: op, method: http.MethodGet, path: resourceID, query: url.Values{"api-version": {version(resourceID)}}, into: &answer})
	if err != nil {
		return Identity{}, err
	}
	found := Identity{ResourceID: resourceID, PrincipalID: answer.Identity.PrincipalID, TenantID: answer.Identity.TenantID}
	if IsUserAssigned(resourceID) {
		found.PrincipalID, found.ClientID, found.TenantID = answer.Properties.PrincipalID, answer.Properties.ClientID, answer.Properties.TenantID
	}
	for _, assigned := range answer.Identity.UserAssignedIdentities {
		found.Assigned = append(found.Assigned, assigned.PrincipalID)
	}
	if found.PrincipalID == "" {
		return found, a.noIdentity(op, len(found.Assigned))
	}
	return found, nil
}

func (a ARM) noIdentity(op string, assigned int) error {
	e := &keyless.Error{Hop: HopARM, Op: op, Err: errors.New("the resource has no system-assigned managed identity"), Hint: "give it one (az vm identity assign), or name another resource"}
	if assigned > 0 {
		e.Hint = "it has user-assigned identities: name the resource id of the one that the workload uses"
	}
	return e
}

// FederatedCredentials returns those of a user-assigned identity.
func (a ARM) FederatedCredentials(ctx context.Context, resourceID string) ([]FederatedCredential, error) {
	type item struct {
		Name       string
		Properties FederatedCredential
	}
	found, err := list[item](ctx, a.service(), a.credential("list federated credentials", http.MethodGet, resourceID, ""), armNext)
	all := make([]FederatedCredential, len(found))
	for i, f := range found {
		all[i] = f.Properties
		all[i].Name = f.Name
	}
	return all, err
}

// PutFederatedCredential creates or changes the one with this name. Resource Manager
// takes one write at a time for an identity.
func (a ARM) PutFederatedCredential(ctx context.Context, resourceID string, f FederatedCredential) error {
	c := a.credential("put federated credential", http.MethodPut, resourceID, f.Name)
	c.body = map[string]any{"properties": map[string]any{"issuer": f.Issuer, "subject": f.Subject, "audiences": f.Audiences}}
	return a.service().do(ctx, c)
}

// DeleteFederatedCredential deletes the one with this name.
func (a ARM) DeleteFederatedCredential(ctx context.Context, resourceID, name string) error {
	return a.service().do(ctx, a.credential("delete federated credential", http.MethodDelete, resourceID, name))
}

func (a ARM) credential(op, method, resourceID, name string) call {
	path := resourceID + "/federatedIdentityCredentials"
	if name != "" {
		path += "/" + url.PathEscape(name)
	}
	return call{op: op, method: method, path: path, query: url.Values{"api-version": {versionIdentity}}}
}
