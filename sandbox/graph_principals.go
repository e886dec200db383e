package sandbox

import (
	"net/http"
	"slices"
	"strings"
)

// showPrincipal is a service principal as Graph has it; the app roles are those of the
// application.
func (c *graphCall) showPrincipal(d *directory, p *servicePrincipal) object {
	answer := object{
		"id": p.id, "appId": p.appID, "displayName": p.name, "appDisplayName": p.name, "servicePrincipalType": "Application", "accountEnabled": !p.disabled,
		"appRoleAssignmentRequired": p.assignmentRequired, "tags": texts(p.tags), "alternativeNames": []string{}, "appRoles": []appRole{},
		"servicePrincipalNames": []string{p.appID}, "appOwnerOrganizationId": c.tenant.ID, "createdDateTime": graphTime(p.created),
	}
	if p.managed {
		explicit := "isExplicit=False" // assigned by the system
		if d.identities[strings.ToLower(p.resourceID)] != nil {
			explicit = "isExplicit=True"
		}
		answer["servicePrincipalType"], answer["alternativeNames"] = "ManagedIdentity", []string{explicit, p.resourceID}
		answer["appOwnerOrganizationId"] = nil
	}
	if a := d.application(p.appID); a != nil {
		answer["appRoles"] = append([]appRole{}, a.roles...)
		answer["servicePrincipalNames"] = append([]string{p.appID}, a.uris...)
	}
	return answer
}

func (d *directory) lookUpPrincipal(s graphSegment) *servicePrincipal {
	switch s.property {
	case "":
		return d.principals[strings.ToLower(s.key)]
	case "appid":
		return d.principalOf(s.key)
	}
	return nil
}

func (c *graphCall) principal() (*servicePrincipal, *telemetryError) {
	if p := c.seen.lookUpPrincipal(c.path[0]); p != nil {
		return p, nil
	}
	return nil, notInGraph(c.path[0].key)
}

func (c *graphCall) listPrincipals() (int, any, *telemetryError) {
	var all []object
	for _, p := range c.seen.principals {
		all = append(all, c.showPrincipal(c.seen, p))
	}
	return c.list(all)
}

func (c *graphCall) getPrincipal() (int, any, *telemetryError) {
	p, refusal := c.principal()
	if refusal != nil {
		return 0, nil, refusal
	}
	return c.show(http.StatusOK, c.showPrincipal(c.seen, p))
}

// principalBody is what can be written to a service principal.
type principalBody struct {
	AppID              *string   `json:"appId"`
	AssignmentRequired *bool     `json:"appRoleAssignmentRequired"`
	AccountEnabled     *bool     `json:"accountEnabled"`
	Tags               *[]string `json:"tags"`
}

func (b *principalBody) apply(p *servicePrincipal) {
	set(&p.assignmentRequired, b.AssignmentRequired)
	set(&p.tags, b.Tags)
	if b.AccountEnabled != nil {
		p.disabled = !*b.AccountEnabled
	}
}

func (c *graphCall) createPrincipal() (int, any, *telemetryError) {
	var body principalBody
	if refusal := c.read(&body); refusal != nil {
		return 0, nil, refusal
	}
	if body.AppID == nil {
		return 0, nil, badGraph("A value is required for property 'appId' of resource 'ServicePrincipal'.")
	}
	a := c.seen.application(*body.AppID)
	if a == nil {
		return 0, nil, refuse(http.StatusBadRequest, "NoBackingApplicationObject", "The appId '%s' of the service principal does not reference a valid application object.", printable(*body.AppID))
	}
	p := &servicePrincipal{id: randomGUID(), appID: a.appID, name: a.name, created: c.s.now(Graph)}
	body.apply(p)
	var answer object
	refusal := c.s.edit(c.tenant, func(next *directory) *telemetryError {
		if next.principalOf(a.appID) != nil {
			return refuse(http.StatusConflict, "", "The service principal cannot be created, updated, or restored because the service principal name %s is already in use.", a.appID)
		}
		next.principals[p.id] = p
		answer = c.showPrincipal(next, p)
		return nil
	})
	if refusal != nil {
		return 0, nil, refusal
	}
	return c.show(http.StatusCreated, answer)
}

func (c *graphCall) updatePrincipal() (int, any, *telemetryError) {
	var body principalBody
	if refusal := c.read(&body); refusal != nil {
		return 0, nil, refusal
	}
	seen, refusal := c.principal()
	if refusal != nil {
		return 0, nil, refusal
	}
	return http.StatusNoContent, nil, c.s.edit(c.tenant, func(next *directory) *telemetryError {
		key := strings.ToLower(seen.id)
		if next.principals[key] == nil {
			return notInGraph(seen.id)
		}
		p := *next.principals[key]
		body.apply(&p)
		next.principals[key] = &p
		return nil
	})
}

// deletePrincipal leaves those of managed identities: they go with their resource.
func (c *graphCall) deletePrincipal() (int, any, *telemetryError) {
	p, refusal := c.principal()
	switch {
	case refusal != nil:
		return 0, nil, refusal
	case p.managed:
		return 0, nil, refuse(http.StatusForbidden, "", "Insufficient privileges to complete the operation.") // unverified
	}
	return http.StatusNoContent, nil, c.s.edit(c.tenant, func(next *directory) *telemetryError {
		next.removePrincipal(p.id)
		return nil
	})
}

// isHolder says whose assignments the path means: those that the principal has, or those
// that it gives as a resource.
func (c *graphCall) isHolder() bool { return strings.EqualFold(c.path[1].name, "appRoleAssignments") }

func (c *graphCall) ofPath(p *servicePrincipal, a *assignment) bool {
	if c.isHolder() {
		return strings.EqualFold(a.principalID, p.id)
	}
	return strings.EqualFold(a.resourceID, p.id)
}

func (d *directory) showAssignment(a *assignment) object {
	answer := object{
		"id": a.id, "principalId": a.principalID, "resourceId": a.resourceID, "appRoleId": a.roleID, "principalType": "ServicePrincipal",
		"createdDateTime": graphTime(a.created), "principalDisplayName": nil, "resourceDisplayName": nil,
	}
	if p := d.principals[strings.ToLower(a.principalID)]; p != nil {
		answer["principalDisplayName"] = p.name
	}
	if p := d.principals[strings.ToLower(a.resourceID)]; p != nil {
		answer["resourceDisplayName"] = p.name
	}
	return answer
}

func (c *graphCall) listAssignments() (int, any, *telemetryError) {
	p, refusal := c.principal()
	if refusal != nil {
		return 0, nil, refusal
	}
	var all []object
	for _, a := range c.seen.assignments {
		if c.ofPath(p, a) {
			all = append(all, c.seen.showAssignment(a))
		}
	}
	return c.list(all)
}

func (c *graphCall) assignment() (*assignment, *telemetryError) {
	p, refusal := c.principal()
	if refusal != nil {
		return nil, refusal
	}
	a := c.seen.assignments[c.path[1].key]
	if a == nil || !c.ofPath(p, a) {
		return nil, notInGraph(c.path[1].key)
	}
	return a, nil
}

func (c *graphCall) getAssignment() (int, any, *telemetryError) {
	a, refusal := c.assignment()
	if refusal != nil {
		return 0, nil, refusal
	}
	return c.show(http.StatusOK, c.seen.showAssignment(a))
}

func (c *graphCall) deleteAssignment() (int, any, *telemetryError) {
	a, refusal := c.assignment()
	if refusal != nil {
		return 0, nil, refusal
	}
	return http.StatusNoContent, nil, c.s.edit(c.tenant, func(next *directory) *telemetryError {
		delete(next.assignments, a.id)
		return nil
	})
}

func (c *graphCall) createAssignment() (int, any, *telemetryError) {
	p, refusal := c.principal()
	if refusal != nil {
		return 0, nil, refusal
	}
	var body struct{ PrincipalID, ResourceID, AppRoleID string }
	if refusal := c.read(&body); refusal != nil {
		return 0, nil, refusal
	}
	a := &assignment{id: randomText(32), principalID: body.PrincipalID, resourceID: body.ResourceID, roleID: body.AppRoleID, created: c.s.now(Graph)}
	if !c.ofPath(p, a) {
		return 0, nil, badGraph("The principal or resource of the assignment is not the one of the path.") // unverified wording
	}
	if refusal := c.checkAssignment(a); refusal != nil {
		return 0, nil, refusal
	}
	var answer object
	refusal = c.s.edit(c.tenant, func(next *directory) *telemetryError {
		if next.has(a) {
			return badGraph("Permission being assigned already exists on the object")
		}
		next.assignments[a.id] = a
		answer = next.showAssignment(a)
		return nil
	})
	if refusal != nil {
		return 0, nil, refusal
	}
	return c.show(http.StatusCreated, answer)
}

func (d *directory) has(a *assignment) bool {
	for _, other := range d.assignments {
		if strings.EqualFold(other.principalID, a.principalID) && strings.EqualFold(other.resourceID, a.resourceID) && strings.EqualFold(other.roleID, a.roleID) {
			return true
		}
	}
	return false
}

// checkAssignment wants both ends to be there, and a role that applications can have.
func (c *graphCall) checkAssignment(a *assignment) *telemetryError {
	for _, id := range []string{a.principalID, a.resourceID} {
		if c.seen.principals[strings.ToLower(id)] == nil {
			return notInGraph(id)
		}
	}
	resource := c.seen.principals[strings.ToLower(a.resourceID)]
	var roles []appRole
	if registered := c.seen.application(resource.appID); registered != nil {
		roles = registered.roles
	}
	switch known := slices.ContainsFunc(roles, func(r appRole) bool {
		return strings.EqualFold(r.ID, a.roleID) && r.IsEnabled && slices.Contains(r.AllowedMemberTypes, "Application")
	}); {
	case known, a.roleID == noRole && len(roles) == 0:
		return nil
	}
	return badGraph("Permission being assigned was not found on application '%s'.", resource.appID)
}
