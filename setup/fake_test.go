package setup_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/graph"
	"github.com/keyless-id/keyless/internal/iam"
	"github.com/keyless-id/keyless/setup"
	"github.com/keyless-id/keyless/trust"
)

const (
	tenant  = "22222222-2222-2222-2222-222222222222"
	subject = "44444444-4444-4444-4444-444444444444"
	caller  = "33333333-3333-3333-3333-333333333333"
	account = "123456789012"
	issuer  = "https://sts.windows.net/" + tenant + "/"
	vm      = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm"
	uami    = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id"
)

// world is both clouds in memory. It counts what is written, can fail, and can be slow to
// know what was made in it.
type world struct {
	writes    []string
	failAt    int // which write fails, counted from one; zero: none
	slow      int // how often a new application is not known yet
	unknown   int
	roles     map[string]iam.Role
	attached  map[string][]string
	inline    map[string]map[string][]byte
	providers map[string]iam.Provider
	issuer    string // of the account's tokens
	apps      []graph.Application
	spns      []graph.ServicePrincipal
	assigned  []graph.Assignment
	federated map[string][]graph.FederatedCredential
}

func newWorld() *world {
	return &world{
		roles: map[string]iam.Role{}, attached: map[string][]string{}, inline: map[string]map[string][]byte{}, providers: map[string]iam.Provider{},
		federated: map[string][]graph.FederatedCredential{}, spns: []graph.ServicePrincipal{{ID: subject, AppID: caller, Type: "ManagedIdentity"}},
	}
}

func (w *world) clouds() setup.Clouds {
	return setup.Clouds{Amazon: w, Caller: w, Directory: w, Resources: resources{w}}
}

func (w *world) write(format string, args ...any) error {
	w.writes = append(w.writes, fmt.Sprintf(format, args...))
	if w.failAt > 0 && len(w.writes) == w.failAt {
		return &keyless.Error{Hop: "far", Op: w.writes[len(w.writes)-1], Code: "AccessDenied"}
	}
	return nil
}

func noEntity() error { return &keyless.Error{Hop: iam.Hop, Code: iam.CodeNoSuchEntity} }

func notFound() error { return &keyless.Error{Hop: graph.HopGraph, Code: "Request_ResourceNotFound"} }

func (w *world) Caller(context.Context) (iam.Caller, error) {
	return iam.Caller{Account: account, Partition: "aws", ARN: "arn:aws:iam::" + account + ":user/admin"}, nil
}

func (w *world) Role(_ context.Context, name string) (iam.Role, error) {
	role, ok := w.roles[name]
	if !ok {
		return role, noEntity()
	}
	return role, nil
}

func (w *world) Roles(context.Context) ([]iam.Role, error) {
	var all []iam.Role
	for _, role := range w.roles {
		all = append(all, role)
	}
	return all, nil
}

func (w *world) CreateRole(_ context.Context, r iam.Role) (iam.Role, error) {
	if err := w.write("CreateRole %s", r.Name); err != nil {
		return r, err
	}
	r.ARN = "arn:aws:iam::" + account + ":role" + r.Path + r.Name
	w.roles[r.Name] = r
	return r, nil
}

func (w *world) UpdateTrustPolicy(_ context.Context, name string, policy []byte) error {
	role := w.roles[name]
	role.TrustPolicy = policy
	w.roles[name] = role
	return w.write("UpdateTrustPolicy %s", name)
}

func (w *world) UpdateMaxSession(_ context.Context, name string, longest time.Duration) error {
	role := w.roles[name]
	role.MaxSession = longest
	w.roles[name] = role
	return w.write("UpdateMaxSession %s", name)
}

func (w *world) DeleteRole(_ context.Context, name string) error {
	if len(w.attached[name])+len(w.inline[name]) > 0 {
		return &keyless.Error{Hop: iam.Hop, Code: iam.CodeDeleteConflict}
	}
	delete(w.roles, name)
	return w.write("DeleteRole %s", name)
}

func (w *world) AttachedPolicies(_ context.Context, role string) ([]string, error) {
	return w.attached[role], nil
}

func (w *world) AttachPolicy(_ context.Context, role, policy string) error {
	if err := w.write("AttachPolicy %s", policy); err != nil {
		return err
	}
	w.attached[role] = append(w.attached[role], policy)
	return nil
}

func (w *world) DetachPolicy(_ context.Context, role, policy string) error {
	w.attached[role] = slices.DeleteFunc(w.attached[role], func(p string) bool { return p == policy })
	return w.write("DetachPolicy %s", policy)
}

func (w *world) InlinePolicies(_ context.Context, role string) (names []string, err error) {
	for name := range w.inline[role] {
		names = append(names, name)
	}
	return names, nil
}

func (w *world) RolePolicy(_ context.Context, role, name string) ([]byte, error) {
	return w.inline[role][name], nil
}

func (w *world) PutRolePolicy(_ context.Context, role, name string, policy []byte) error {
	if w.inline[role] == nil {
		w.inline[role] = map[string][]byte{}
	}
	w.inline[role][name] = policy
	return w.write("PutRolePolicy %s", name)
}

func (w *world) DeleteRolePolicy(_ context.Context, role, name string) error {
	delete(w.inline[role], name)
	return w.write("DeleteRolePolicy %s", name)
}

func (w *world) Provider(_ context.Context, arn string) (iam.Provider, error) {
	provider, ok := w.providers[arn]
	if !ok {
		return provider, noEntity()
	}
	return provider, nil
}

func (w *world) CreateProvider(_ context.Context, wanted iam.Provider) (string, error) {
	if err := w.write("CreateProvider %s", wanted.URL); err != nil {
		return "", err
	}
	wanted.ARN = trust.ProviderARN("aws", account, wanted.URL)
	w.providers[wanted.ARN] = wanted
	return wanted.ARN, nil
}

func (w *world) AddClientID(_ context.Context, arn, id string) error {
	provider := w.providers[arn]
	provider.ClientIDs = append(slices.Clone(provider.ClientIDs), id)
	w.providers[arn] = provider
	return w.write("AddClientID %s", id)
}

func (w *world) RemoveClientID(_ context.Context, arn, id string) error {
	provider := w.providers[arn]
	provider.ClientIDs = slices.DeleteFunc(slices.Clone(provider.ClientIDs), func(other string) bool { return other == id })
	w.providers[arn] = provider
	return w.write("RemoveClientID %s", id)
}

func (w *world) DeleteProvider(_ context.Context, arn string) error {
	delete(w.providers, arn)
	return w.write("DeleteProvider %s", arn)
}

func (w *world) OutboundIssuer(context.Context) (string, error) { return w.issuer, nil }

func (w *world) EnableOutbound(context.Context) (string, error) {
	w.issuer = "https://0.tokens.sts.global.api.aws"
	return w.issuer, w.write("EnableOutbound")
}

func (w *world) TenantID(context.Context) (string, error) { return tenant, nil }

func (w *world) Application(_ context.Context, appID string) (graph.Application, error) {
	for _, app := range w.apps {
		if app.AppID == appID {
			return app, nil
		}
	}
	return graph.Application{}, notFound()
}

func (w *world) filter(keep func(graph.Application) bool) (found []graph.Application) {
	for _, app := range w.apps {
		if keep(app) {
			found = append(found, app)
		}
	}
	return found
}

func (w *world) Tagged(_ context.Context, tag string) ([]graph.Application, error) {
	if w.unknown > 0 {
		w.unknown--
		return nil, nil
	}
	return w.filter(func(a graph.Application) bool { return slices.Contains(a.Tags, tag) }), nil
}

func (w *world) WithURI(_ context.Context, uri string) ([]graph.Application, error) {
	return w.filter(func(a graph.Application) bool { return slices.Contains(a.IdentifierURIs, uri) }), nil
}

func (w *world) CreateApplication(_ context.Context, a graph.Application) (graph.Application, error) {
	if err := w.write("CreateApplication %s", a.DisplayName); err != nil {
		return a, err
	}
	a.ID, a.AppID = fmt.Sprintf("app-%d", len(w.apps)), fmt.Sprintf("11111111-1111-1111-1111-%012d", len(w.apps))
	w.apps, w.unknown = append(w.apps, a), w.slow
	return a, nil
}

func (w *world) UpdateApplication(_ context.Context, id string, change graph.Application) error {
	if err := w.write("UpdateApplication %s", id); err != nil {
		return err
	}
	for i := range w.apps {
		if app := &w.apps[i]; app.ID == id {
			if change.IdentifierURIs != nil {
				app.IdentifierURIs = change.IdentifierURIs
			}
			if change.AppRoles != nil {
				app.AppRoles = change.AppRoles
			}
			if change.API != nil {
				app.API = change.API
			}
		}
	}
	return nil
}

func (w *world) DeleteApplication(_ context.Context, id string) error {
	w.apps = slices.DeleteFunc(w.apps, func(a graph.Application) bool { return a.ID == id })
	return w.write("DeleteApplication %s", id)
}

func (w *world) spn(match func(graph.ServicePrincipal) bool) (graph.ServicePrincipal, error) {
	if i := slices.IndexFunc(w.spns, match); i >= 0 {
		return w.spns[i], nil
	}
	return graph.ServicePrincipal{}, notFound()
}

func (w *world) ServicePrincipal(_ context.Context, id string) (graph.ServicePrincipal, error) {
	return w.spn(func(s graph.ServicePrincipal) bool { return s.ID == id })
}

func (w *world) ServicePrincipalOf(_ context.Context, appID string) (graph.ServicePrincipal, error) {
	return w.spn(func(s graph.ServicePrincipal) bool { return s.AppID == appID })
}

func (w *world) CreateServicePrincipal(_ context.Context, appID string) (graph.ServicePrincipal, error) {
	made := graph.ServicePrincipal{ID: "sp-" + appID, AppID: appID, Type: "Application"}
	if err := w.write("CreateServicePrincipal"); err != nil {
		return made, err
	}
	w.spns = append(w.spns, made)
	return made, nil
}

func (w *world) RequireAssignment(_ context.Context, id string) error {
	if err := w.write("RequireAssignment"); err != nil {
		return err
	}
	for i := range w.spns {
		w.spns[i].AssignmentRequired = w.spns[i].AssignmentRequired || w.spns[i].ID == id
	}
	return nil
}

func (w *world) Assignments(_ context.Context, id string) ([]graph.Assignment, error) {
	return slices.DeleteFunc(slices.Clone(w.assigned), func(a graph.Assignment) bool { return a.ResourceID != id }), nil
}

func (w *world) Assign(_ context.Context, a graph.Assignment) (graph.Assignment, error) {
	if err := w.write("Assign %s", a.PrincipalID); err != nil {
		return a, err
	}
	a.ID = fmt.Sprintf("assignment-%d", len(w.writes))
	w.assigned = append(w.assigned, a)
	return a, nil
}

func (w *world) Unassign(_ context.Context, _, id string) error {
	w.assigned = slices.DeleteFunc(w.assigned, func(a graph.Assignment) bool { return a.ID == id })
	return w.write("Unassign")
}

func (w *world) FederatedCredentials(_ context.Context, id string) ([]graph.FederatedCredential, error) {
	return w.federated[id], nil
}

func (w *world) AddFederatedCredential(_ context.Context, id string, f graph.FederatedCredential) error {
	if err := w.write("AddFederatedCredential %s", f.Subject); err != nil {
		return err
	}
	w.federated[id] = append(w.federated[id], f)
	return nil
}

func (w *world) UpdateFederatedCredential(ctx context.Context, id string, f graph.FederatedCredential) error {
	if err := w.DeleteFederatedCredential(ctx, id, f.Name); err != nil {
		return err
	}
	return w.AddFederatedCredential(ctx, id, f)
}

func (w *world) DeleteFederatedCredential(_ context.Context, id, name string) error {
	w.federated[id] = slices.DeleteFunc(slices.Clone(w.federated[id]), func(f graph.FederatedCredential) bool { return f.Name == name })
	return w.write("DeleteFederatedCredential %s", name)
}

// resources is the part of a world that Resource Manager keeps.
type resources struct{ *world }

func (r resources) Identity(_ context.Context, id string) (graph.Identity, error) {
	return graph.Identity{ResourceID: id, PrincipalID: subject, ClientID: caller}, nil
}

func (r resources) PutFederatedCredential(ctx context.Context, id string, f graph.FederatedCredential) error {
	return r.UpdateFederatedCredential(ctx, id, f)
}

// did reports whether something was written that begins so.
func (w *world) did(prefix string) bool {
	return slices.ContainsFunc(w.writes, func(text string) bool { return strings.HasPrefix(text, prefix) })
}
