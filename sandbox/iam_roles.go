package sandbox

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/keyless-id/keyless/trust"
)

func roleActions() map[string]iamAction {
	return map[string]iamAction{
		"CreateRole":             (*iamCall).createRole,
		"GetRole":                (*iamCall).getRole,
		"UpdateRole":             (*iamCall).updateRole,
		"UpdateRoleDescription":  (*iamCall).updateRoleDescription,
		"DeleteRole":             (*iamCall).deleteRole,
		"ListRoles":              (*iamCall).listRoles,
		"UpdateAssumeRolePolicy": (*iamCall).updateAssumeRolePolicy,
		"TagRole":                (*iamCall).tagRole,
		"UntagRole":              (*iamCall).untagRole,
		"ListRoleTags":           (*iamCall).listRoleTags,
	}
}

// xmlRole has the members of the service model; lists leave some of them out.
type xmlRole struct {
	Path        string
	RoleName    string
	RoleID      string `xml:"RoleId"`
	Arn         string
	CreateDate  string
	TrustPolicy string           `xml:"AssumeRolePolicyDocument"`
	Description string           `xml:",omitempty"`
	MaxSession  int              `xml:"MaxSessionDuration,omitempty"`
	Tags        *members[xmlTag] `xml:",omitempty"`
	LastUsed    *struct{}        `xml:"RoleLastUsed"`
}

type roleResult struct{ Role xmlRole }

// listed is a role as a list shows it: without tags and use.
func (r *role) listed() xmlRole {
	return xmlRole{
		Path: r.Path, RoleName: r.Name, RoleID: r.id, Arn: r.arn, CreateDate: iamTime(r.created),
		TrustPolicy: xmlPolicy(r.TrustPolicy), Description: r.Description, MaxSession: int(r.maxSession() / time.Second),
	}
}

func (r *role) whole() roleResult {
	answer := r.listed()
	answer.LastUsed = &struct{}{}
	if len(r.Tags) > 0 {
		tags := xmlTags(r.Tags)
		answer.Tags = &tags
	}
	return roleResult{answer}
}

// role is the role that the request names.
func (c *iamCall) role() (*role, *awsError) {
	name := c.form.Get("RoleName")
	if refusal := checkName("roleName", name, maxRoleName); refusal != nil {
		return nil, refusal
	}
	r := c.state.roles[strings.ToLower(name)]
	if r == nil {
		return nil, iamError("NoSuchEntity", "The role with name "+name+" cannot be found.")
	}
	return r, nil
}

// editRole puts a changed copy of the role in its place.
func (c *iamCall) editRole(change func(r *role) *awsError) (any, *awsError) {
	r, refusal := c.role()
	if refusal != nil {
		return nil, refusal
	}
	next := *r
	if refusal := change(&next); refusal != nil {
		return nil, refusal
	}
	c.state.roles[strings.ToLower(r.Name)] = &next
	return nil, nil
}

// The lengths of "IAM and AWS STS quotas".
const (
	maxRoleName    = 64
	maxPolicyName  = 128
	maxDescription = 1000
	maxTrustPolicy = 8192 // the highest quota that an account can get
	maxRoles       = 1000
)

// checkName holds names to [\w+=,.@-]+.
func checkName(member, name string, longest int) *awsError {
	switch {
	case name == "":
		return constraint(member, "Member must have length greater than or equal to 1")
	case len(name) > longest:
		return constraint(member, fmt.Sprintf("Member must have length less than or equal to %d", longest))
	case !consistsOf(name, isNameRune):
		return invalid("The specified value for %s is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-", member)
	}
	return nil
}

// checkPath holds paths to /, or to text between two slashes.
func checkPath(path string) *awsError {
	if path == "/" || path == "" {
		return nil
	}
	if len(path) > 512 || !strings.HasPrefix(path, "/") || !strings.HasSuffix(path, "/") || !consistsOf(path, func(r rune) bool { return r > ' ' && r < 0x7f }) {
		return invalid("The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.")
	}
	return nil
}

func (c *iamCall) createRole() (any, *awsError) {
	data, refusal := c.readRole()
	if refusal != nil {
		return nil, refusal
	}
	key := strings.ToLower(data.Name)
	switch {
	case c.state.roles[key] != nil:
		return nil, iamError("EntityAlreadyExists", "Role with name "+data.Name+" already exists.")
	case len(c.state.roles) >= maxRoles:
		return nil, iamError("LimitExceeded", "Cannot exceed quota for RolesPerAccount: 1000")
	}
	if refusal := c.checkTrustPolicy(data.TrustPolicy); refusal != nil {
		return nil, refusal
	}
	r, err := c.account.newRole(data)
	if err != nil {
		return nil, malformedPolicy(err)
	}
	r.id, r.created = "AROA"+letters(randomBytes(17)), c.now
	c.state.roles[key] = r
	c.details["role"] = r.arn
	return r.whole(), nil
}

func (c *iamCall) readRole() (Role, *awsError) {
	data := Role{
		Name: c.form.Get("RoleName"), Path: c.form.Get("Path"),
		TrustPolicy: c.form.Get("AssumeRolePolicyDocument"), Description: c.form.Get("Description"),
	}
	tags, tagRefusal := c.tagged()
	length, lengthRefusal := c.maxSessionDuration()
	data.Tags, data.MaxSession = tags, length
	return data, firstRefusal(
		checkName("roleName", data.Name, maxRoleName), checkPath(data.Path), checkDescription(data.Description), lengthRefusal, tagRefusal)
}

func firstRefusal(refusals ...*awsError) *awsError {
	for _, refusal := range refusals {
		if refusal != nil {
			return refusal
		}
	}
	return nil
}

func checkDescription(text string) *awsError {
	if len(text) > maxDescription {
		return constraint("description", "Member must have length less than or equal to 1000")
	}
	return nil
}

// maxSessionDuration is zero where the request does not say.
func (c *iamCall) maxSessionDuration() (time.Duration, *awsError) {
	text := c.form.Get("MaxSessionDuration")
	if text == "" {
		return 0, nil
	}
	seconds, err := strconv.Atoi(text)
	switch {
	case err != nil:
		return 0, &awsError{"MalformedInput", http.StatusBadRequest, "maxSessionDuration is not an integer"} // unverified
	case seconds < defaultDuration:
		return 0, constraint("maxSessionDuration", "Member must have value greater than or equal to 3600")
	case seconds > maxDuration:
		return 0, constraint("maxSessionDuration", "Member must have value less than or equal to 43200")
	}
	return time.Duration(seconds) * time.Second, nil
}

func malformedPolicy(err error) *awsError {
	return iamError("MalformedPolicyDocument", err.Error())
}

// checkTrustPolicy leaves the judgement to [trust.Parse], and looks for the principals:
// IAM keeps those of AWS by their id, so they must exist.
func (c *iamCall) checkTrustPolicy(document string) *awsError {
	if document == "" {
		return constraint("assumeRolePolicyDocument", "Member must have length greater than or equal to 1")
	}
	if visibleLength(document) > maxTrustPolicy {
		return iamError("LimitExceeded", fmt.Sprintf("Cannot exceed quota for ACLSizePerRole: %d", maxTrustPolicy))
	}
	policy, err := trust.Parse([]byte(document))
	if err != nil {
		return malformedPolicy(err)
	}
	for _, s := range policy.Statements {
		for _, p := range s.Principals {
			if p.Type == trust.AWS && !c.exists(p.ID) {
				return iamError("MalformedPolicyDocument", fmt.Sprintf("Invalid principal in policy: %q:%q", p.Type, p.ID))
			}
		}
	}
	return nil
}

// visibleLength is what quotas count: white space is free.
func visibleLength(document string) int { return len(strings.Join(strings.Fields(document), "")) }

// exists reports whether a principal of AWS can be there. Who is in accounts that the
// sandbox does not play is not known.
func (c *iamCall) exists(principal string) bool {
	a := c.s.index.accounts[accountOf(principal)]
	switch {
	case a == nil:
		return true
	case strings.Contains(principal, ":user/"):
		return slices.ContainsFunc(a.Users, func(u AccessKey) bool { return a.arn("user/"+u.UserName) == principal })
	case strings.Contains(principal, ":role/") && a == c.account:
		return c.state.role(principal) != nil
	case strings.Contains(principal, ":role/"):
		return a.iam.latest().role(principal) != nil
	}
	return true
}

func (c *iamCall) getRole() (any, *awsError) {
	r, refusal := c.role()
	if refusal != nil {
		return nil, refusal
	}
	return r.whole(), nil
}

func (c *iamCall) updateRole() (any, *awsError) {
	length, refusal := c.maxSessionDuration()
	if refusal := firstRefusal(refusal, checkDescription(c.form.Get("Description"))); refusal != nil {
		return nil, refusal
	}
	_, refusal = c.editRole(func(r *role) *awsError {
		if length > 0 {
			r.MaxSession = length
		}
		if c.form.Has("Description") {
			r.Description = c.form.Get("Description")
		}
		return nil
	})
	return struct{}{}, refusal
}

func (c *iamCall) updateRoleDescription() (any, *awsError) {
	if _, refusal := c.updateRole(); refusal != nil {
		return nil, refusal
	}
	return c.getRole()
}

func (c *iamCall) updateAssumeRolePolicy() (any, *awsError) {
	document := c.form.Get("PolicyDocument")
	return c.editRole(func(r *role) *awsError {
		if refusal := c.checkTrustPolicy(document); refusal != nil {
			return refusal
		}
		policy, err := trust.Parse([]byte(document))
		if err != nil {
			return malformedPolicy(err)
		}
		r.TrustPolicy, r.policy = document, policy
		return nil
	})
}

func (c *iamCall) deleteRole() (any, *awsError) {
	r, refusal := c.role()
	switch {
	case refusal != nil:
		return nil, refusal
	case len(r.Attached) > 0:
		return nil, iamError("DeleteConflict", "Cannot delete entity, must detach all policies first.")
	case len(r.Policies) > 0:
		return nil, iamError("DeleteConflict", "Cannot delete entity, must delete policies first.")
	}
	delete(c.state.roles, strings.ToLower(r.Name))
	return nil, nil
}

func (c *iamCall) listRoles() (any, *awsError) {
	prefix := orText(c.form.Get("PathPrefix"), "/")
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(c.state.roles)), func(name string) bool {
		return !strings.HasPrefix(c.state.roles[name].Path, prefix)
	})
	names, part, refusal := c.paged(names)
	if refusal != nil {
		return nil, refusal
	}
	var roles members[xmlRole]
	for _, name := range names {
		roles.Member = append(roles.Member, c.state.roles[name].listed())
	}
	return struct {
		Roles members[xmlRole]
		listPart
	}{roles, part}, nil
}

func (c *iamCall) tagRole() (any, *awsError) {
	more, refusal := c.tagged()
	if refusal != nil {
		return nil, refusal
	}
	return c.retagRole(more, nil)
}

func (c *iamCall) untagRole() (any, *awsError) {
	return c.retagRole(nil, formList(c.form, "TagKeys"))
}

func (c *iamCall) retagRole(more map[string]string, without []string) (any, *awsError) {
	return c.editRole(func(r *role) (refusal *awsError) {
		r.Tags, refusal = withTags(r.Tags, more, without)
		return refusal
	})
}

func (c *iamCall) listRoleTags() (any, *awsError) {
	r, refusal := c.role()
	if refusal != nil {
		return nil, refusal
	}
	return c.tagList(r.Tags)
}

// tagList is a page of tags.
func (c *iamCall) tagList(tags map[string]string) (any, *awsError) {
	keys, part, refusal := c.paged(slices.Sorted(maps.Keys(tags)))
	if refusal != nil {
		return nil, refusal
	}
	var list members[xmlTag]
	for _, key := range keys {
		list.Member = append(list.Member, xmlTag{key, tags[key]})
	}
	return struct {
		Tags members[xmlTag]
		listPart
	}{list, part}, nil
}
