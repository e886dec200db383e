package setup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/graph"
	"github.com/keyless-id/keyless/internal/iam"
)

// Hop is where errors of this package itself are.
const Hop keyless.Hop = "setup"

// State is what there is, as far as a set-up is about it.
type State struct {
	TenantID  string
	Account   string
	Partition string

	Principal Principal
	// App stands for AWS; or is, for a role of AWS that becomes one, the workload.
	App         *graph.Application
	AppIdentity *graph.ServicePrincipal // of App
	Assignments []graph.Assignment      // to roles of App
	Federated   []graph.FederatedCredential

	Providers map[string]iam.Provider // by issuer; those that there are
	Role      *iam.Role
	Attached  []string          // ARNs of its managed policies
	Inline    map[string][]byte // its own policies by name; of those that setup writes the document
	Outbound  string            // issuer of the account's own tokens; empty: it has none

	// Roles are all of the account, with whom they trust. Only taking away looks at them.
	Roles []iam.Role
}

// Principal is who the workload is in Entra.
type Principal struct {
	ObjectID      string // subject of its tokens
	ClientID      string
	ResourceID    string // of a user-assigned identity
	ApplicationID string // object id of its application, which is not the identity's
}

// Amazon is what an account in AWS is asked and told; [iam.Client] is one.
type Amazon interface {
	Role(ctx context.Context, name string) (iam.Role, error)
	Roles(ctx context.Context) ([]iam.Role, error)
	CreateRole(ctx context.Context, r iam.Role) (iam.Role, error)
	UpdateTrustPolicy(ctx context.Context, role string, policy []byte) error
	UpdateMaxSession(ctx context.Context, role string, longest time.Duration) error
	DeleteRole(ctx context.Context, role string) error
	AttachedPolicies(ctx context.Context, role string) ([]string, error)
	AttachPolicy(ctx context.Context, role, policy string) error
	DetachPolicy(ctx context.Context, role, policy string) error
	InlinePolicies(ctx context.Context, role string) ([]string, error)
	RolePolicy(ctx context.Context, role, name string) ([]byte, error)
	PutRolePolicy(ctx context.Context, role, name string, policy []byte) error
	DeleteRolePolicy(ctx context.Context, role, name string) error
	Provider(ctx context.Context, arn string) (iam.Provider, error)
	CreateProvider(ctx context.Context, wanted iam.Provider) (string, error)
	AddClientID(ctx context.Context, arn, clientID string) error
	RemoveClientID(ctx context.Context, arn, clientID string) error
	DeleteProvider(ctx context.Context, arn string) error
	OutboundIssuer(ctx context.Context) (string, error)
	EnableOutbound(ctx context.Context) (string, error)
}

// Directory is what a tenant of Entra is asked and told; [graph.Client] is one.
type Directory interface {
	TenantID(ctx context.Context) (string, error)
	Application(ctx context.Context, appID string) (graph.Application, error)
	Tagged(ctx context.Context, tag string) ([]graph.Application, error)
	WithURI(ctx context.Context, uri string) ([]graph.Application, error)
	CreateApplication(ctx context.Context, a graph.Application) (graph.Application, error)
	UpdateApplication(ctx context.Context, id string, change graph.Application) error
	DeleteApplication(ctx context.Context, id string) error
	ServicePrincipal(ctx context.Context, id string) (graph.ServicePrincipal, error)
	ServicePrincipalOf(ctx context.Context, appID string) (graph.ServicePrincipal, error)
	CreateServicePrincipal(ctx context.Context, appID string) (graph.ServicePrincipal, error)
	RequireAssignment(ctx context.Context, id string) error
	Assignments(ctx context.Context, resourceID string) ([]graph.Assignment, error)
	Assign(ctx context.Context, a graph.Assignment) (graph.Assignment, error)
	Unassign(ctx context.Context, resourceID, assignmentID string) error
	FederatedCredentials(ctx context.Context, id string) ([]graph.FederatedCredential, error)
	AddFederatedCredential(ctx context.Context, id string, f graph.FederatedCredential) error
	UpdateFederatedCredential(ctx context.Context, id string, f graph.FederatedCredential) error
	DeleteFederatedCredential(ctx context.Context, id, name string) error
}

// Resources is what Azure Resource Manager is asked and told; [graph.ARM] is one.
type Resources interface {
	Identity(ctx context.Context, resourceID string) (graph.Identity, error)
	FederatedCredentials(ctx context.Context, resourceID string) ([]graph.FederatedCredential, error)
	PutFederatedCredential(ctx context.Context, resourceID string, f graph.FederatedCredential) error
	DeleteFederatedCredential(ctx context.Context, resourceID, name string) error
}

// Caller says whose AWS login it is; [iam.STS] does.
type Caller interface {
	Caller(ctx context.Context) (iam.Caller, error)
}

// Clouds are both sides, each with somebody's login.
type Clouds struct {
	Amazon    Amazon
	Caller    Caller
	Directory Directory
	Resources Resources
}

// observer fills a state; the first failure ends it.
type observer struct {
	Clouds
	Spec
	state State
}

// Observe looks at what there is, and changes nothing.
func (c Clouds) Observe(ctx context.Context, spec Spec) (State, error) {
	o := &observer{Clouds: c, Spec: spec, state: State{Providers: map[string]iam.Provider{}, Inline: map[string][]byte{}}}
	for _, look := range []func(context.Context) error{o.account, o.tenant, o.principal, o.application, o.federated, o.providers, o.role, o.outbound} {
		if err := look(ctx); err != nil {
			return State{}, err
		}
	}
	return o.state, nil
}

func differs(what, want, got, hint string) error {
	return &keyless.Error{Hop: Hop, Op: "observe", Message: fmt.Sprintf("the login is for %s %s, and the set-up for %s", what, got, want), Hint: hint}
}

func (o *observer) account(ctx context.Context) error {
	who, err := o.Caller.Caller(ctx)
	if err != nil {
		return err
	}
	if o.Account != "" && o.Account != who.Account {
		return differs("account", o.Account, who.Account, "choose the login with AWS_PROFILE, or another --account")
	}
	o.state.Account, o.state.Partition = who.Account, who.Partition
	return nil
}

// tenant asks nobody where the tenant is named and nothing in it is looked at.
func (o *observer) tenant(ctx context.Context) error {
	o.state.TenantID = o.TenantID
	if o.Kind == Pipelines && (o.TenantID != "" || !o.has(IssuerEntra)) {
		return nil
	}
	id, err := o.Directory.TenantID(ctx)
	if err != nil {
		return err
	}
	if o.TenantID != "" && o.TenantID != id {
		return differs("tenant", o.TenantID, id, "sign in to the other one: az login --tenant")
	}
	o.state.TenantID = id
	return nil
}

func (o *observer) principal(ctx context.Context) error {
	switch {
	case o.Kind == Pipelines || o.Identity == "":
		return nil
	case graph.CheckResourceID(o.Identity) == nil:
		return o.resource(ctx)
	case o.Kind == FromAWS: // the application says it
		return nil
	case o.Kind == Application:
		return o.registration(ctx)
	}
	return o.identity(ctx)
}

func (o *observer) resource(ctx context.Context) error {
	found, err := o.Resources.Identity(ctx, o.Identity)
	if err != nil {
		return err
	}
	o.state.Principal = Principal{ObjectID: found.PrincipalID, ClientID: found.ClientID}
	if graph.IsUserAssigned(o.Identity) {
		o.state.Principal.ResourceID = o.Identity
	}
	if o.version() == 2 && found.ClientID == "" {
		of, err := o.Directory.ServicePrincipal(ctx, found.PrincipalID)
		o.state.Principal.ClientID = of.AppID
		return err
	}
	return nil
}

// identity takes an object id or a client id: people mix them up.
func (o *observer) identity(ctx context.Context) error {
	found, err := o.Directory.ServicePrincipal(ctx, o.Identity)
	if graph.Missing(err) {
		found, err = o.Directory.ServicePrincipalOf(ctx, o.Identity)
	}
	if graph.Missing(err) {
		return &keyless.Error{
			Hop: Hop, Op: "observe", Message: "nobody in the tenant has the object id or client id " + o.Identity, Err: err,
			Hint: "az vm identity show --query principalId, or give the resource id",
		}
	}
	o.state.Principal = Principal{ObjectID: found.ID, ClientID: found.AppID}
	return err
}

func (o *observer) registration(ctx context.Context) error {
	app, err := o.Directory.Application(ctx, o.Identity)
	if err != nil {
		return err
	}
	of, err := o.Directory.ServicePrincipalOf(ctx, o.Identity)
	if graph.Missing(err) {
		return &keyless.Error{Hop: Hop, Op: "observe", Message: "application " + o.Identity + " has no service principal in the tenant, and so no subject", Err: err, Hint: "az ad sp create --id " + o.Identity}
	}
	o.state.Principal = Principal{ObjectID: of.ID, ClientID: app.AppID, ApplicationID: app.ID}
	return err
}

// application finds the one that is named, or that this set-up has made.
func (o *observer) application(ctx context.Context) error {
	if o.Kind == Pipelines || o.Kind == FromAWS && o.state.Principal.ResourceID != "" {
		return nil
	}
	app, err := o.findApplication(ctx)
	if err != nil || app == nil {
		return err
	}
	o.state.App = app
	identity, err := o.Directory.ServicePrincipalOf(ctx, app.AppID)
	if graph.Missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	o.state.AppIdentity = &identity
	if o.Kind == FromAWS {
		return nil
	}
	o.state.Assignments, err = o.Directory.Assignments(ctx, identity.ID)
	return err
}

func (o *observer) findApplication(ctx context.Context) (*graph.Application, error) {
	id := o.AppID
	if o.Kind == FromAWS {
		id = o.Identity
	}
	if id != "" {
		app, err := o.Directory.Application(ctx, id)
		return &app, err
	}
	found, err := o.Directory.Tagged(ctx, o.entraTag())
	if err == nil && len(found) > 1 {
		return nil, &keyless.Error{Hop: Hop, Op: "observe", Message: fmt.Sprintf("%d applications have the tag %s", len(found), o.entraTag()), Hint: "name the one to use (--app), or delete the others"}
	}
	if err == nil && len(found) == 0 && o.AppIDURI != "" && !strings.Contains(o.AppIDURI, AppIDPlace) {
		found, err = o.Directory.WithURI(ctx, o.AppIDURI) // it is one application's at most
	}
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

func (o *observer) federated(ctx context.Context) (err error) {
	switch {
	case o.Kind != FromAWS && o.Pod == Pod{}:
	case o.state.Principal.ResourceID != "":
		o.state.Federated, err = o.Resources.FederatedCredentials(ctx, o.state.Principal.ResourceID)
	case o.state.holder() != "":
		o.state.Federated, err = o.Directory.FederatedCredentials(ctx, o.state.holder())
	}
	return err
}

// holder is the object id of the application that has the federated credential; empty:
// a user-assigned identity has it, or it is not there yet.
func (s State) holder() string {
	if s.Principal.ApplicationID != "" {
		return s.Principal.ApplicationID
	}
	if s.App != nil {
		return s.App.ID
	}
	return ""
}

func (o *observer) providers(ctx context.Context) error {
	t := target{o.Spec, o.state}
	for _, l := range t.links() {
		found, err := o.Amazon.Provider(ctx, t.providerARN(l.issuer))
		if iam.Is(err, iam.CodeNoSuchEntity) {
			continue
		}
		if err != nil {
			return err
		}
		o.state.Providers[l.issuer] = found
	}
	return nil
}

func (o *observer) role(ctx context.Context) error {
	found, err := o.Amazon.Role(ctx, o.roleName())
	if iam.Is(err, iam.CodeNoSuchEntity) {
		return o.noRole(err)
	}
	if err != nil {
		return err
	}
	o.state.Role = &found
	if o.state.Attached, err = o.Amazon.AttachedPolicies(ctx, found.Name); err != nil {
		return err
	}
	return o.inline(ctx, found.Name)
}

func (o *observer) noRole(err error) error {
	if o.Kind != FromAWS {
		return nil
	}
	return &keyless.Error{Hop: Hop, Op: "observe", Message: "there is no role " + o.roleName() + " in account " + o.state.Account, Err: err, Hint: "name the role that the workload has: that of its instance, task, function or service account"}
}

func (o *observer) inline(ctx context.Context, role string) error {
	all, err := o.Amazon.InlinePolicies(ctx, role)
	for _, name := range all {
		o.state.Inline[name] = nil
	}
	if err == nil && slices.Contains(all, o.title()) {
		o.state.Inline[o.title()], err = o.Amazon.RolePolicy(ctx, role, o.title())
	}
	return err
}

func (o *observer) outbound(ctx context.Context) (err error) {
	if o.Kind == FromAWS {
		o.state.Outbound, err = o.Amazon.OutboundIssuer(ctx)
	}
	return err
}

// Survey adds all roles of the account to a state, to see which of them trust a provider.
func (c Clouds) Survey(ctx context.Context, state State) (State, error) {
	roles, err := c.Amazon.Roles(ctx)
	if err != nil {
		return state, err
	}
	if roles == nil {
		roles = []iam.Role{}
	}
	state.Roles = roles
	return state, nil
}

var errUnsurveyed = errors.New("the roles of the account were not looked at")
