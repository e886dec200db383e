package sandbox

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// directory is what a tenant holds at one moment. It does not change, and neither does
// what it holds: a write makes copies.
type directory struct {
	applications map[string]*application      // by object id
	principals   map[string]*servicePrincipal // by object id
	identities   map[string]*assignedIdentity // those that users assign, by resource id, lower case
	assignments  map[string]*assignment       // by id

	// What Entra acts on follows from the above.
	clients   map[string]*registration // by client id, lower case
	resources map[string]*registration // by App ID URI and client id, lower case
}

// application is an app registration as Microsoft Graph has it. Its own object id is
// not that of its service principal.
type application struct {
	id          string
	appID       string
	name        string
	audience    string // signInAudience
	version     int    // requestedAccessTokenVersion; 0: null
	uris        []string
	tags        []string
	roles       []appRole
	credentials []credential
	created     time.Time

	secrets      []AppSecret
	certificates [][]byte
}

type appRole struct {
	ID                 string   `json:"id"`
	Value              string   `json:"value"`
	DisplayName        string   `json:"displayName"`
	Description        string   `json:"description"`
	IsEnabled          bool     `json:"isEnabled"`
	AllowedMemberTypes []string `json:"allowedMemberTypes"`
}

// credential is a federated identity credential with what the token endpoint does not
// look at.
type credential struct {
	FIC
	id          string
	description string
}

// servicePrincipal is what a tenant knows of a client: an application or a managed
// identity.
type servicePrincipal struct {
	id                 string
	appID              string
	name               string
	managed            bool
	resourceID         string // of a managed identity
	assignmentRequired bool
	disabled           bool
	tags               []string
	created            time.Time
}

// assignedIdentity is a user-assigned managed identity as a resource of Azure.
type assignedIdentity struct {
	ManagedIdentity
	location    string
	tags        map[string]string
	credentials []credential
}

// assignment gives a principal an app role of a resource.
type assignment struct {
	id, principalID, resourceID, roleID string
	created                             time.Time
}

// noRole is the app role of resources that have none.
const noRole = "00000000-0000-0000-0000-000000000000"

// registration is an application with its service principal, as Entra acts on it.
type registration struct {
	App
	roles    map[string][]string // values of app roles by the object id of who has them, lower case
	disabled bool
}

func newDirectory() *directory {
	return &directory{
		applications: map[string]*application{}, principals: map[string]*servicePrincipal{},
		identities: map[string]*assignedIdentity{}, assignments: map[string]*assignment{},
	}
}

// clone leaves what follows to derive.
func (d *directory) clone() *directory {
	return &directory{
		applications: maps.Clone(d.applications), principals: maps.Clone(d.principals),
		identities: maps.Clone(d.identities), assignments: maps.Clone(d.assignments),
	}
}

// directory is what of a tenant is in force.
func (s *Sandbox) directory(t *tenant) *directory { return t.directory.at(s.effective()) }

// firstDirectory is what the world says about the tenant.
func (t *tenant) firstDirectory(made time.Time) (*directory, error) {
	d := newDirectory()
	for i := range t.Apps {
		if err := d.addApp(&t.Apps[i]); err != nil {
			return nil, fmt.Errorf("app %q: %w", t.Apps[i].Name, err)
		}
	}
	for _, m := range t.Identities {
		if err := d.addIdentity(m); err != nil {
			return nil, fmt.Errorf("identity %q: %w", m.Name, err)
		}
	}
	for _, a := range d.applications {
		a.created = made
	}
	for _, p := range d.principals {
		p.created = made
	}
	for _, a := range d.assignments {
		a.created = made
	}
	return d, d.derive()
}

func (d *directory) addApp(app *App) error {
	switch {
	case app.TokenVersion < 0 || app.TokenVersion > 2:
		return fmt.Errorf("token version %d is neither 1 nor 2", app.TokenVersion)
	case app.ObjectID == "":
		return errors.New("the object id is empty")
	}
	a := &application{
		id: namedGUID("application", app.ClientID), appID: app.ClientID, name: app.Name, audience: "AzureADMyOrg", version: app.TokenVersion,
		secrets: app.Secrets, certificates: app.Certificates, credentials: credentialsOf(app.FederatedCredentials),
	}
	if app.AppIDURI != "" {
		a.uris = []string{app.AppIDURI}
	}
	for _, value := range app.Roles {
		a.roles = append(a.roles, appRole{
			ID: namedGUID("role", app.ClientID, value), Value: value, DisplayName: value, Description: value,
			IsEnabled: true, AllowedMemberTypes: []string{"Application"},
		})
	}
	d.assignAll(app, a.roles)
	return errors.Join(put(d.applications, a.id, a), put(d.principals, strings.ToLower(app.ObjectID),
		&servicePrincipal{id: app.ObjectID, appID: app.ClientID, name: app.Name, assignmentRequired: app.AssignmentRequired}))
}

// assignAll gives everybody who is assigned all the roles.
func (d *directory) assignAll(app *App, roles []appRole) {
	if len(roles) == 0 {
		roles = []appRole{{ID: noRole}}
	}
	for _, principal := range app.Assigned {
		for _, role := range roles {
			id := namedGUID("assignment", app.ClientID, principal, role.ID)
			d.assignments[id] = &assignment{id: id, principalID: principal, resourceID: app.ObjectID, roleID: role.ID}
		}
	}
}

func credentialsOf(list []FIC) []credential {
	var credentials []credential
	for i, c := range list {
		c.Name = orText(c.Name, fmt.Sprint("credential-", i+1))
		credentials = append(credentials, credential{FIC: c, id: namedGUID("credential", c.Name, c.Issuer, c.Subject)})
	}
	return credentials
}

func (d *directory) addIdentity(m ManagedIdentity) error {
	if m.SystemAssigned && len(m.FederatedCredentials) > 0 {
		return errors.New("a system-assigned identity has no federated credentials")
	}
	principal := &servicePrincipal{id: m.ObjectID, appID: m.ClientID, name: m.Name, managed: true, resourceID: m.ResourceID}
	if err := put(d.principals, strings.ToLower(m.ObjectID), principal); err != nil {
		return err
	}
	if m.SystemAssigned {
		return nil
	}
	return put(d.identities, strings.ToLower(orText(m.ResourceID, m.ObjectID)), &assignedIdentity{ManagedIdentity: m, credentials: credentialsOf(m.FederatedCredentials)})
}

// derive finds out what Entra acts on. Only a world can be wrong here: what is written
// later gets ids of its own.
func (d *directory) derive() error {
	d.clients, d.resources = map[string]*registration{}, map[string]*registration{}
	var errs []error
	for _, p := range d.principals {
		if p.managed {
			continue
		}
		a := d.application(p.appID)
		if a == nil {
			continue
		}
		r := d.registration(a, p)
		errs = append(errs, put(d.clients, strings.ToLower(a.appID), r))
		if len(a.uris) > 0 {
			d.resources[strings.ToLower(a.appID)] = r
		}
		for _, uri := range a.uris {
			errs = append(errs, put(d.resources, resourceKey(uri), r))
		}
	}
	for _, m := range d.identities {
		if m.ClientID != "" {
			r := m.registration()
			if p := d.principals[strings.ToLower(m.ObjectID)]; p != nil {
				r.disabled = p.disabled
			}
			errs = append(errs, put(d.clients, strings.ToLower(m.ClientID), r))
		}
	}
	return errors.Join(errs...)
}

// registration makes a user-assigned identity a client of the token endpoint, which
// knows it by nothing but federated credentials.
func (m *assignedIdentity) registration() *registration {
	return &registration{App: App{Name: m.Name, ClientID: m.ClientID, ObjectID: m.ObjectID, FederatedCredentials: trusted(m.credentials)}}
}

func (d *directory) registration(a *application, p *servicePrincipal) *registration {
	r := &registration{roles: map[string][]string{}, disabled: p.disabled, App: App{
		Name: a.name, ClientID: a.appID, ObjectID: p.id, TokenVersion: a.version, AssignmentRequired: p.assignmentRequired,
		Secrets: a.secrets, Certificates: a.certificates, FederatedCredentials: trusted(a.credentials),
	}}
	for _, role := range slices.Concat(a.roles, []appRole{{ID: noRole}}) {
		for _, given := range d.assignments {
			if !strings.EqualFold(given.resourceID, p.id) || !strings.EqualFold(given.roleID, role.ID) {
				continue
			}
			who := strings.ToLower(given.principalID)
			values := r.roles[who]
			if role.Value != "" {
				values = append(values, role.Value)
			}
			r.roles[who] = values // also without a value: who is in the map is assigned
		}
	}
	return r
}

func trusted(credentials []credential) []FIC {
	var list []FIC
	for _, c := range credentials {
		list = append(list, c.FIC)
	}
	return list
}

// application finds an app registration by its client id.
func (d *directory) application(appID string) *application {
	for _, a := range d.applications {
		if strings.EqualFold(a.appID, appID) {
			return a
		}
	}
	return nil
}

// principalOf finds a service principal by its client id.
func (d *directory) principalOf(appID string) *servicePrincipal {
	for _, p := range d.principals {
		if strings.EqualFold(p.appID, appID) {
			return p
		}
	}
	return nil
}

// edit makes the tenant's next directory, unless change refuses.
func (s *Sandbox) edit(t *tenant, change func(next *directory) *telemetryError) (refusal *telemetryError) {
	oldest := s.options.Now().Add(-max(s.options.Propagation, s.options.Replication))
	t.directory.change(s.options.Now(), oldest, func(latest *directory) (*directory, bool) {
		next := latest.clone()
		if refusal = change(next); refusal != nil {
			return nil, false
		}
		if err := next.derive(); err != nil {
			refusal = refuse(500, "InternalServerError", "%v", err)
			return nil, false
		}
		return next, true
	})
	return refusal
}

// removePrincipal takes its assignments along, on either side.
func (d *directory) removePrincipal(id string) {
	delete(d.principals, strings.ToLower(id))
	maps.DeleteFunc(d.assignments, func(_ string, a *assignment) bool {
		return strings.EqualFold(a.principalID, id) || strings.EqualFold(a.resourceID, id)
	})
}

// maxCredentials is how many federated credentials an application or identity has at
// most ("Important considerations and restrictions for federated identity credentials").
const maxCredentials = 20

// withCredential puts a credential in place of the one with its id, or behind the
// others. The text says what is in the way.
func withCredential(list []credential, c credential) ([]credential, string) {
	at := slices.IndexFunc(list, func(other credential) bool { return other.id == c.id })
	for i, other := range list {
		switch {
		case i == at:
		case strings.EqualFold(other.Name, c.Name):
			return nil, fmt.Sprintf("FederatedIdentityCredential with name %s already exists.", c.Name)
		case other.Issuer == c.Issuer && other.Subject == c.Subject:
			return nil, "FederatedIdentityCredential with the same issuer and subject already exists."
		}
	}
	list = slices.Clone(list)
	if at >= 0 {
		list[at] = c
		return list, ""
	}
	return append(list, c), ""
}
