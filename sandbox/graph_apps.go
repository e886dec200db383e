package sandbox

import (
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// show is an application as Graph has it.
func (a *application) show() object {
	var version any
	if a.version != 0 {
		version = a.version
	}
	return object{
		"id": a.id, "appId": a.appID, "displayName": a.name, "createdDateTime": graphTime(a.created), "signInAudience": a.audience,
		"identifierUris": texts(a.uris), "tags": texts(a.tags), "appRoles": append([]appRole{}, a.roles...),
		"api": object{"requestedAccessTokenVersion": version}, "publisherDomain": verifiedDomain,
		"passwordCredentials": a.showSecrets(), "keyCredentials": a.showCertificates(),
	}
}

// showSecrets shows that there are secrets, and never one of them.
func (a *application) showSecrets() []object {
	list := []object{}
	for i, secret := range a.secrets {
		var end any
		if !secret.Expiry.IsZero() {
			end = graphTime(secret.Expiry)
		}
		list = append(list, object{"keyId": namedGUID("secret", a.appID, fmt.Sprint(i)), "displayName": nil, "endDateTime": end, "secretText": nil})
	}
	return list
}

func (a *application) showCertificates() []object {
	list := []object{}
	for _, der := range a.certificates {
		sum := sha1.Sum(der)
		list = append(list, object{
			"keyId": namedGUID("certificate", a.appID, string(der)), "type": "AsymmetricX509Cert", "usage": "Verify",
			"customKeyIdentifier": strings.ToUpper(hex.EncodeToString(sum[:])), "key": nil,
		})
	}
	return list
}

// lookUpApplication finds what the path names.
func (d *directory) lookUpApplication(s graphSegment) *application {
	switch s.property {
	case "":
		return d.applications[strings.ToLower(s.key)]
	case "appid":
		return d.application(s.key)
	}
	return nil
}

func (c *graphCall) application() (*application, *telemetryError) {
	if a := c.seen.lookUpApplication(c.path[0]); a != nil {
		return a, nil
	}
	return nil, notInGraph(c.path[0].key)
}

// editApplication puts a changed copy in its place. What is not seen yet cannot be
// changed either.
func (c *graphCall) editApplication(change func(next *directory, a *application) *telemetryError) *telemetryError {
	if _, refusal := c.application(); refusal != nil {
		return refusal
	}
	return c.s.edit(c.tenant, func(next *directory) *telemetryError {
		latest := next.lookUpApplication(c.path[0])
		if latest == nil {
			return notInGraph(c.path[0].key)
		}
		a := *latest
		next.applications[a.id] = &a
		return change(next, &a)
	})
}

// applicationBody is what can be written; what is absent stays as it is. The last
// properties are taken and forgotten: nothing here depends on them.
type applicationBody struct {
	DisplayName    *string    `json:"displayName"`
	SignInAudience *string    `json:"signInAudience"`
	IdentifierURIs *[]string  `json:"identifierUris"`
	Tags           *[]string  `json:"tags"`
	AppRoles       *[]appRole `json:"appRoles"`
	API            *struct {
		Version json.RawMessage `json:"requestedAccessTokenVersion"`
		Scopes  json.RawMessage `json:"oauth2PermissionScopes"`
		Mapped  json.RawMessage `json:"acceptMappedClaims"`
	} `json:"api"`

	Keys      []json.RawMessage `json:"keyCredentials"`
	Passwords []json.RawMessage `json:"passwordCredentials"`

	Description    json.RawMessage `json:"description"`
	Notes          json.RawMessage `json:"notes"`
	Web            json.RawMessage `json:"web"`
	SPA            json.RawMessage `json:"spa"`
	PublicClient   json.RawMessage `json:"publicClient"`
	Fallback       json.RawMessage `json:"isFallbackPublicClient"`
	DeviceOnly     json.RawMessage `json:"isDeviceOnlyAuthSupported"`
	Groups         json.RawMessage `json:"groupMembershipClaims"`
	Access         json.RawMessage `json:"requiredResourceAccess"`
	OptionalClaims json.RawMessage `json:"optionalClaims"`
}

func (b *applicationBody) apply(a *application) *telemetryError {
	if len(b.Keys)+len(b.Passwords) > 0 {
		return badGraph("The sandbox takes no keyCredentials and no passwordCredentials.")
	}
	set(&a.name, b.DisplayName)
	set(&a.audience, b.SignInAudience)
	set(&a.uris, b.IdentifierURIs)
	set(&a.tags, b.Tags)
	if b.AppRoles != nil {
		if refusal := replaceable(a.roles, *b.AppRoles); refusal != nil {
			return refusal
		}
		a.roles = *b.AppRoles
	}
	if b.API == nil || b.API.Version == nil {
		return nil
	}
	switch string(b.API.Version) {
	case "null":
		a.version = 0
	case "1", "2":
		a.version = int(b.API.Version[0] - '0')
	default:
		return badGraph("Invalid value specified for property 'requestedAccessTokenVersion' of resource 'Application'.")
	}
	return nil
}

// set writes what is there.
func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// replaceable holds to the rule that a role is switched off before it goes.
func replaceable(old, next []appRole) *telemetryError {
	for _, role := range old {
		if role.IsEnabled && !slices.ContainsFunc(next, func(r appRole) bool { return strings.EqualFold(r.ID, role.ID) }) {
			return refuse(http.StatusBadRequest, "CannotDeleteOrUpdateEnabledEntitlement", "Property value cannot be deleted unless it is disabled first.") // unverified wording
		}
	}
	return nil
}

// check looks at an application as it is to be.
func (c *graphCall) check(d *directory, a *application) *telemetryError {
	switch {
	case a.name == "" || len(a.name) > 256:
		return badGraph("Invalid value specified for property 'displayName' of resource 'Application'.")
	case !slices.Contains([]string{"AzureADMyOrg", "AzureADMultipleOrgs", "AzureADandPersonalMicrosoftAccount", "PersonalMicrosoftAccount"}, a.audience):
		return badGraph("Invalid value specified for property 'signInAudience' of resource 'Application'.")
	}
	if refusal := checkRoles(a.roles); refusal != nil {
		return refusal
	}
	for i, uri := range a.uris {
		if refusal := c.checkURI(d, a, uri); refusal != nil {
			return refusal
		}
		if slices.Contains(a.uris[:i], uri) {
			return badGraph("Request contains a property with duplicate values.")
		}
	}
	return nil
}

// checkURI is the default policy of tenants made since 2022: an App ID URI has the
// application's or the tenant's id or a verified domain in it ("Restrictions on identifier
// URIs of Microsoft Entra applications"). Code and wording are unverified.
func (c *graphCall) checkURI(d *directory, a *application, uri string) *telemetryError {
	scheme, rest, found := strings.Cut(uri, ":")
	if !found || scheme == "" || rest == "" || strings.HasSuffix(uri, "/") || strings.ContainsAny(uri, " \t\r\n") {
		return badGraph("Invalid value specified for property 'identifierUris' of resource 'Application'.")
	}
	for _, other := range d.applications {
		if other.id != a.id && slices.ContainsFunc(other.uris, func(taken string) bool { return strings.EqualFold(taken, uri) }) {
			return badGraph("Another object with the same value for property identifierUris already exists.")
		}
	}
	if previous := c.seen.applications[a.id]; previous != nil && slices.Contains(previous.uris, uri) {
		return nil // only what is added is judged
	}
	for _, sign := range []string{a.appID, c.tenant.ID, verifiedDomain} {
		if strings.Contains(strings.ToLower(uri), strings.ToLower(sign)) {
			return nil
		}
	}
	return refuse(http.StatusBadRequest, "HostNameNotOnVerifiedDomain", "Values of identifierUris property must use a verified domain of the organization or its subdomain, or contain the tenant ID or the app ID: '%s'", printable(uri))
}

func checkRoles(roles []appRole) *telemetryError {
	seen := map[string]bool{}
	for _, role := range roles {
		switch {
		case len(guidBytes(role.ID)) != 16 || role.ID == noRole:
			return badGraph("Invalid value specified for property 'id' of resource 'AppRole'.")
		case role.DisplayName == "" || role.Description == "":
			return badGraph("Invalid value specified for property 'displayName' or 'description' of resource 'AppRole'.")
		case len(role.Value) > 250 || strings.ContainsAny(role.Value, " \t\r\n"):
			return badGraph("Invalid value specified for property 'value' of resource 'AppRole'.")
		case len(role.AllowedMemberTypes) == 0 || slices.ContainsFunc(role.AllowedMemberTypes, func(kind string) bool { return kind != "Application" && kind != "User" }):
			return badGraph("Invalid value specified for property 'allowedMemberTypes' of resource 'AppRole'.")
		case seen["id "+role.ID] || role.Value != "" && seen["value "+role.Value]:
			return badGraph("Request contains a property with duplicate values.")
		}
		seen["id "+role.ID], seen["value "+role.Value] = true, true
	}
	return nil
}

func (c *graphCall) listApplications() (int, any, *telemetryError) {
	var all []object
	for _, a := range c.seen.applications {
		all = append(all, a.show())
	}
	return c.list(all)
}

func (c *graphCall) createApplication() (int, any, *telemetryError) {
	var body applicationBody
	if refusal := c.read(&body); refusal != nil {
		return 0, nil, refusal
	}
	a := &application{id: randomGUID(), appID: randomGUID(), audience: "AzureADMyOrg", created: c.s.now(Graph)}
	if refusal := body.apply(a); refusal != nil {
		return 0, nil, refusal
	}
	refusal := c.s.edit(c.tenant, func(next *directory) *telemetryError {
		next.applications[a.id] = a
		return c.check(next, a)
	})
	if refusal != nil {
		return 0, nil, refusal
	}
	return c.show(http.StatusCreated, a.show())
}

func (c *graphCall) getApplication() (int, any, *telemetryError) {
	a, refusal := c.application()
	if refusal != nil {
		return 0, nil, refusal
	}
	return c.show(http.StatusOK, a.show())
}

func (c *graphCall) updateApplication() (int, any, *telemetryError) {
	var body applicationBody
	if refusal := c.read(&body); refusal != nil {
		return 0, nil, refusal
	}
	return http.StatusNoContent, nil, c.editApplication(func(next *directory, a *application) *telemetryError {
		if refusal := body.apply(a); refusal != nil {
			return refusal
		}
		return c.check(next, a)
	})
}

// deleteApplication takes the service principal along. What was deleted is gone at once:
// the recycle bin is not played.
func (c *graphCall) deleteApplication() (int, any, *telemetryError) {
	return http.StatusNoContent, nil, c.editApplication(func(next *directory, a *application) *telemetryError {
		delete(next.applications, a.id)
		if p := next.principalOf(a.appID); p != nil {
			next.removePrincipal(p.id)
		}
		return nil
	})
}
