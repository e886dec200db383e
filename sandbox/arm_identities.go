package sandbox

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// showIdentity is a user-assigned identity as Resource Manager has it ("User Assigned
// Identities - Get").
func (c *armCall) showIdentity(m *assignedIdentity) object {
	tags := m.tags
	if tags == nil {
		tags = map[string]string{}
	}
	return object{
		"id": m.ResourceID, "name": m.Name, "type": "Microsoft.ManagedIdentity/userAssignedIdentities", "location": orText(m.location, c.s.index.host.Location),
		"tags": tags, "properties": object{"tenantId": c.tenant.ID, "principalId": m.ObjectID, "clientId": m.ClientID},
	}
}

func (c *armCall) identity(d *directory) (*assignedIdentity, *telemetryError) {
	if m := d.identities[c.path.parent()]; m != nil {
		return m, nil
	}
	return nil, c.missing()
}

func (c *armCall) listIdentities() (int, any, *telemetryError) {
	directory := c.tenant.directory.latest()
	prefix := strings.ToLower("/subscriptions/" + c.path.subscription + "/resourceGroups/")
	if c.path.group != "" {
		prefix += strings.ToLower(c.path.group) + "/"
	}
	list := []object{}
	for _, id := range slices.Sorted(maps.Keys(directory.identities)) {
		if strings.HasPrefix(id, prefix) {
			list = append(list, c.showIdentity(directory.identities[id]))
		}
	}
	return http.StatusOK, object{"value": list}, nil
}

func (c *armCall) getIdentity() (int, any, *telemetryError) {
	m, refusal := c.identity(c.tenant.directory.latest())
	if refusal != nil {
		return 0, nil, refusal
	}
	return http.StatusOK, c.showIdentity(m), nil
}

// hasGroup knows the group of the host and those in which there is an identity.
func (c *armCall) hasGroup(d *directory) bool {
	prefix := strings.ToLower("/subscriptions/" + c.path.subscription + "/resourceGroups/" + c.path.group + "/")
	for id := range d.identities {
		if strings.HasPrefix(id, prefix) {
			return true
		}
	}
	return strings.EqualFold(c.path.group, c.s.index.host.ResourceGroup)
}

// putIdentity makes an identity with a service principal, or changes the tags of one.
func (c *armCall) putIdentity() (status int, answer any, refusal *telemetryError) {
	var body struct {
		Location string
		Tags     map[string]string
	}
	if refusal := c.read(&body); refusal != nil {
		return 0, nil, refusal
	}
	refusal = c.s.edit(c.tenant, func(next *directory) *telemetryError {
		m := assignedIdentity{ManagedIdentity: ManagedIdentity{
			Name: c.path.names[0], ClientID: randomGUID(), ObjectID: randomGUID(), ResourceID: strings.TrimSuffix(c.request.URL.Path, "/"),
		}, location: body.Location}
		old := next.identities[c.path.parent()]
		switch {
		case old != nil:
			status, m = http.StatusOK, *old
		case body.Location == "":
			return refuse(http.StatusBadRequest, "LocationRequired", "The location property is required for this definition.")
		case !c.hasGroup(next):
			return refuse(http.StatusNotFound, "ResourceGroupNotFound", "Resource group '%s' could not be found.", printable(c.path.group))
		default:
			status = http.StatusCreated
			next.principals[m.ObjectID] = &servicePrincipal{
				id: m.ObjectID, appID: m.ClientID, name: m.Name, managed: true, resourceID: m.ResourceID, created: c.s.now(ARM),
			}
		}
		m.tags = body.Tags
		next.identities[c.path.parent()] = &m
		answer = c.showIdentity(&m)
		return nil
	})
	return status, answer, refusal
}

// deleteIdentity is done when there is no such identity.
func (c *armCall) deleteIdentity() (status int, _ any, refusal *telemetryError) {
	status = http.StatusNoContent
	refusal = c.s.edit(c.tenant, func(next *directory) *telemetryError {
		if m := next.identities[c.path.parent()]; m != nil {
			status = http.StatusOK
			delete(next.identities, c.path.parent())
			next.removePrincipal(m.ObjectID)
		}
		return nil
	})
	return status, nil, refusal
}

// showCredential is "Federated Identity Credentials - Get".
func (c *armCall) showCredential(m *assignedIdentity, k credential) object {
	return object{
		"id": m.ResourceID + "/federatedIdentityCredentials/" + k.Name, "name": k.Name,
		"type":       "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
		"properties": object{"issuer": k.Issuer, "subject": k.Subject, "audiences": []string{k.Audience}},
	}
}

func (c *armCall) listCredentials() (int, any, *telemetryError) {
	m, refusal := c.identity(c.tenant.directory.latest())
	if refusal != nil {
		return 0, nil, refusal
	}
	list := []object{}
	for _, k := range m.credentials {
		list = append(list, c.showCredential(m, k))
	}
	return http.StatusOK, object{"value": list}, nil
}

// find is the place of the credential that the path names, -1 when there is none.
func (c *armCall) find(m *assignedIdentity) int {
	return slices.IndexFunc(m.credentials, func(k credential) bool { return strings.EqualFold(k.Name, c.path.names[1]) })
}

func (c *armCall) getCredential() (int, any, *telemetryError) {
	m, refusal := c.identity(c.tenant.directory.latest())
	if refusal != nil {
		return 0, nil, refusal
	}
	at := c.find(m)
	if at < 0 {
		return 0, nil, c.missing()
	}
	return http.StatusOK, c.showCredential(m, m.credentials[at]), nil
}

func (c *armCall) putCredential() (status int, answer any, refusal *telemetryError) {
	var body struct {
		Properties struct {
			Issuer, Subject string
			Audiences       []string
		}
	}
	if refusal := c.read(&body); refusal != nil {
		return 0, nil, refusal
	}
	p := body.Properties
	refusal = c.editIdentity(func(m *assignedIdentity) *telemetryError {
		k := credential{id: randomGUID(), FIC: FIC{Name: c.path.names[1], Issuer: p.Issuer, Subject: p.Subject, Audience: strings.Join(p.Audiences, " ")}}
		status = http.StatusCreated
		if at := c.find(m); at >= 0 {
			k.id, status = m.credentials[at].id, http.StatusOK
		}
		answer = c.showCredential(m, k)
		return m.store(k)
	})
	return status, answer, refusal
}

// store is the writing of a credential. The codes are unverified.
func (m *assignedIdentity) store(k credential) *telemetryError {
	if flaw := k.flaw(); flaw != "" {
		return refuse(http.StatusBadRequest, "", "%s", flaw)
	}
	list, conflict := withCredential(m.credentials, k)
	switch {
	case conflict != "":
		return refuse(http.StatusConflict, "", "%s", conflict)
	case len(list) > maxCredentials:
		return refuse(http.StatusBadRequest, "", "The limit of %d federated identity credentials on a managed identity is reached.", maxCredentials)
	}
	m.credentials = list
	return nil
}

// deleteCredential is done when there is no such credential.
func (c *armCall) deleteCredential() (status int, _ any, refusal *telemetryError) {
	status = http.StatusNoContent
	refusal = c.editIdentity(func(m *assignedIdentity) *telemetryError {
		if at := c.find(m); at >= 0 {
			status = http.StatusOK
			m.credentials = slices.Delete(slices.Clone(m.credentials), at, at+1)
		}
		return nil
	})
	return status, nil, refusal
}

// editIdentity puts a changed copy in its place.
func (c *armCall) editIdentity(change func(m *assignedIdentity) *telemetryError) *telemetryError {
	return c.s.edit(c.tenant, func(next *directory) *telemetryError {
		old, refusal := c.identity(next)
		if refusal != nil {
			return refusal
		}
		m := *old
		next.identities[c.path.parent()] = &m
		return change(&m)
	})
}
