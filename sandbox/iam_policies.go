package sandbox

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

func rolePolicyActions() map[string]iamAction {
	return map[string]iamAction{
		"PutRolePolicy":            (*iamCall).putRolePolicy,
		"GetRolePolicy":            (*iamCall).getRolePolicy,
		"DeleteRolePolicy":         (*iamCall).deleteRolePolicy,
		"ListRolePolicies":         (*iamCall).listRolePolicies,
		"AttachRolePolicy":         (*iamCall).attachRolePolicy,
		"DetachRolePolicy":         (*iamCall).detachRolePolicy,
		"ListAttachedRolePolicies": (*iamCall).listAttachedRolePolicies,
		"CreatePolicy":             (*iamCall).createPolicy,
		"GetPolicy":                (*iamCall).getPolicy,
		"GetPolicyVersion":         (*iamCall).getPolicyVersion,
		"DeletePolicy":             (*iamCall).deletePolicy,
		"ListPolicies":             (*iamCall).listPolicies,
	}
}

// The sizes of "IAM and AWS STS quotas"; white space is not counted.
const (
	maxInlinePolicies = 10240 // of one role together
	maxManagedPolicy  = 6144
	maxAttached       = 10
)

// checkDocument looks at a permissions policy only as far as its form: what it allows is
// not modelled.
func checkDocument(document string) *awsError {
	switch {
	case document == "":
		return constraint("policyDocument", "Member must have length greater than or equal to 1")
	case !isPolicyText(document) || !isJSONObject(document):
		return iamError("MalformedPolicyDocument", "Syntax errors in policy.")
	case !strings.Contains(document, `"Statement"`):
		return iamError("MalformedPolicyDocument", "Missing required field Statement")
	}
	return nil
}

func noRolePolicy(name string) *awsError {
	return iamError("NoSuchEntity", "The role policy with name "+printable(name)+" cannot be found.")
}

func (c *iamCall) putRolePolicy() (any, *awsError) {
	name, document := c.form.Get("PolicyName"), c.form.Get("PolicyDocument")
	if refusal := firstRefusal(checkName("policyName", name, maxPolicyName), checkDocument(document)); refusal != nil {
		return nil, refusal
	}
	return c.editRole(func(r *role) *awsError {
		next := map[string]string{}
		maps.Copy(next, r.Policies)
		next[name] = document
		size := 0
		for _, text := range next {
			size += visibleLength(text)
		}
		if size > maxInlinePolicies {
			return iamError("LimitExceeded", fmt.Sprintf("Maximum policy size of %d bytes exceeded for role %s", maxInlinePolicies, r.Name))
		}
		r.Policies = next
		return nil
	})
}

func (c *iamCall) getRolePolicy() (any, *awsError) {
	name := c.form.Get("PolicyName")
	r, refusal := c.role()
	if refusal != nil {
		return nil, refusal
	}
	document, found := r.Policies[name]
	if !found {
		return nil, noRolePolicy(name)
	}
	return struct{ RoleName, PolicyName, PolicyDocument string }{r.Name, name, xmlPolicy(document)}, nil
}

func (c *iamCall) deleteRolePolicy() (any, *awsError) {
	name := c.form.Get("PolicyName")
	return c.editRole(func(r *role) *awsError {
		if _, found := r.Policies[name]; !found {
			return noRolePolicy(name)
		}
		r.Policies = maps.Clone(r.Policies)
		delete(r.Policies, name)
		return nil
	})
}

func (c *iamCall) listRolePolicies() (any, *awsError) {
	r, refusal := c.role()
	if refusal != nil {
		return nil, refusal
	}
	names, part, refusal := c.paged(slices.Sorted(maps.Keys(r.Policies)))
	if refusal != nil {
		return nil, refusal
	}
	return struct {
		PolicyNames members[string]
		listPart
	}{members[string]{names}, part}, nil
}

// attachable takes every well-formed name of a policy of AWS's own: which there are the
// sandbox does not know.
func (c *iamCall) attachable(arn string) *awsError {
	if name, found := strings.CutPrefix(arn, "arn:"+c.account.Partition+":iam::aws:policy/"); found {
		return checkName("policyArn", name[strings.LastIndex(name, "/")+1:], maxPolicyName)
	}
	if c.state.policies[arn] == nil {
		return iamError("NoSuchEntity", "Policy "+printable(arn)+" does not exist or is not attachable.")
	}
	return nil
}

// attachRolePolicy is done when it was done before.
func (c *iamCall) attachRolePolicy() (any, *awsError) {
	arn := c.form.Get("PolicyArn")
	return c.editRole(func(r *role) *awsError {
		switch {
		case slices.Contains(r.Attached, arn):
			return nil
		case len(r.Attached) >= maxAttached:
			return iamError("LimitExceeded", fmt.Sprintf("Cannot exceed quota for PoliciesPerRole: %d", maxAttached))
		}
		r.Attached = append(slices.Clone(r.Attached), arn)
		return c.attachable(arn)
	})
}

func (c *iamCall) detachRolePolicy() (any, *awsError) {
	arn := c.form.Get("PolicyArn")
	return c.editRole(func(r *role) *awsError {
		if !slices.Contains(r.Attached, arn) {
			return iamError("NoSuchEntity", "Policy "+printable(arn)+" was not found.")
		}
		r.Attached = slices.DeleteFunc(slices.Clone(r.Attached), func(other string) bool { return other == arn })
		return nil
	})
}

type xmlAttached struct{ PolicyName, PolicyArn string }

func xmlAttachedPolicies(arns []string) members[xmlAttached] {
	var list members[xmlAttached]
	for _, arn := range arns {
		list.Member = append(list.Member, xmlAttached{arn[strings.LastIndex(arn, "/")+1:], arn})
	}
	return list
}

func (c *iamCall) listAttachedRolePolicies() (any, *awsError) {
	r, refusal := c.role()
	if refusal != nil {
		return nil, refusal
	}
	arns, part, refusal := c.paged(slices.Sorted(slices.Values(r.Attached)))
	if refusal != nil {
		return nil, refusal
	}
	return struct {
		AttachedPolicies members[xmlAttached]
		listPart
	}{xmlAttachedPolicies(arns), part}, nil
}

// xmlManaged is a managed policy; lists leave out description and tags.
type xmlManaged struct {
	PolicyName             string
	PolicyID               string `xml:"PolicyId"`
	Arn, Path              string
	DefaultVersionID       string `xml:"DefaultVersionId"`
	AttachmentCount        int
	IsAttachable           bool
	Description            string `xml:",omitempty"`
	CreateDate, UpdateDate string
	Tags                   *members[xmlTag] `xml:",omitempty"`
}

type policyResult struct{ Policy xmlManaged }

func (c *iamCall) listedPolicy(p *managedPolicy) xmlManaged {
	answer := xmlManaged{
		PolicyName: p.name, PolicyID: p.id, Arn: p.arn, Path: p.path, DefaultVersionID: "v1", IsAttachable: true,
		CreateDate: iamTime(p.created), UpdateDate: iamTime(p.created),
	}
	for _, r := range c.state.roles {
		if slices.Contains(r.Attached, p.arn) {
			answer.AttachmentCount++
		}
	}
	return answer
}

func (c *iamCall) wholePolicy(p *managedPolicy) policyResult {
	answer := c.listedPolicy(p)
	answer.Description = p.description
	if len(p.tags) > 0 {
		tags := xmlTags(p.tags)
		answer.Tags = &tags
	}
	return policyResult{answer}
}

// policy is the customer's policy that the request names; those of AWS are not played.
func (c *iamCall) policy() (*managedPolicy, *awsError) {
	arn := c.form.Get("PolicyArn")
	if p := c.state.policies[arn]; p != nil {
		return p, nil
	}
	return nil, iamError("NoSuchEntity", "Policy "+printable(arn)+" was not found.")
}

func (c *iamCall) createPolicy() (any, *awsError) {
	tags, refusal := c.tagged()
	p := &managedPolicy{
		name: c.form.Get("PolicyName"), path: orText(c.form.Get("Path"), "/"), id: "ANPA" + letters(randomBytes(17)),
		description: c.form.Get("Description"), document: c.form.Get("PolicyDocument"), tags: tags, created: c.now,
	}
	refusal = firstRefusal(checkName("policyName", p.name, maxPolicyName), checkPath(p.path), checkDescription(p.description), checkDocument(p.document), refusal)
	if refusal != nil {
		return nil, refusal
	}
	p.arn = c.account.arn("policy" + p.path + p.name)
	for _, other := range c.state.policies {
		if strings.EqualFold(other.name, p.name) {
			return nil, iamError("EntityAlreadyExists", "A policy called "+p.name+" already exists. Duplicate names are not allowed.")
		}
	}
	if visibleLength(p.document) > maxManagedPolicy {
		return nil, iamError("LimitExceeded", fmt.Sprintf("Cannot exceed quota for PolicySize: %d", maxManagedPolicy))
	}
	c.state.policies[p.arn] = p
	return c.wholePolicy(p), nil
}

func (c *iamCall) getPolicy() (any, *awsError) {
	p, refusal := c.policy()
	if refusal != nil {
		return nil, refusal
	}
	return c.wholePolicy(p), nil
}

// getPolicyVersion knows the first version: others cannot be made here.
func (c *iamCall) getPolicyVersion() (any, *awsError) {
	p, refusal := c.policy()
	switch {
	case refusal != nil:
		return nil, refusal
	case c.form.Get("VersionId") != "v1":
		return nil, &awsError{"NoSuchEntity", http.StatusNotFound, "Policy " + p.arn + " version " + printable(c.form.Get("VersionId")) + " does not exist or is not attachable."}
	}
	type xmlVersion struct {
		Document         string
		VersionID        string `xml:"VersionId"`
		IsDefaultVersion bool
		CreateDate       string
	}
	return struct{ PolicyVersion xmlVersion }{xmlVersion{xmlPolicy(p.document), "v1", true, iamTime(p.created)}}, nil
}

func (c *iamCall) deletePolicy() (any, *awsError) {
	p, refusal := c.policy()
	switch {
	case refusal != nil:
		return nil, refusal
	case c.listedPolicy(p).AttachmentCount > 0:
		return nil, iamError("DeleteConflict", "Cannot delete a policy attached to entities.")
	}
	delete(c.state.policies, p.arn)
	return nil, nil
}

// listPolicies shows the customer's: of AWS's own there are none here.
func (c *iamCall) listPolicies() (any, *awsError) {
	prefix := orText(c.form.Get("PathPrefix"), "/")
	arns := slices.DeleteFunc(slices.Sorted(maps.Keys(c.state.policies)), func(arn string) bool {
		return c.form.Get("Scope") == "AWS" || !strings.HasPrefix(c.state.policies[arn].path, prefix)
	})
	arns, part, refusal := c.paged(arns)
	if refusal != nil {
		return nil, refusal
	}
	var list members[xmlManaged]
	for _, arn := range arns {
		list.Member = append(list.Member, c.listedPolicy(c.state.policies[arn]))
	}
	return struct {
		Policies members[xmlManaged]
		listPart
	}{list, part}, nil
}
