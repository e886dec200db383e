package iam

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Role is a role and whom it trusts.
type Role struct {
	Name                string
	Path                string // begins and ends with a slash; zero: "/"
	ARN                 string
	Description         string
	PermissionsBoundary string        // ARN of a managed policy; empty: none
	TrustPolicy         []byte        // JSON
	MaxSession          time.Duration // zero in what is created: an hour
	Tags                map[string]string
}

// role is the element of the answers.
type role struct {
	Name        string `xml:"RoleName"`
	Path        string `xml:"Path"`
	ARN         string `xml:"Arn"`
	Description string `xml:"Description"`
	Boundary    string `xml:"PermissionsBoundary>PermissionsBoundaryArn"`
	Document    string `xml:"AssumeRolePolicyDocument"`
	MaxSession  int    `xml:"MaxSessionDuration"`
	Tags        []tag  `xml:"Tags>member"`
}

type tag struct {
	Key   string `xml:"Key"`
	Value string `xml:"Value"`
}

func (r role) role() (Role, error) {
	policy, err := document(r.Document)
	if err == nil && (r.Name == "" || r.ARN == "") {
		err = errors.New("the answer has a role without a name or an ARN")
	}
	return Role{
		Name: r.Name, Path: r.Path, ARN: r.ARN, Description: r.Description, PermissionsBoundary: r.Boundary,
		TrustPolicy: policy, MaxSession: time.Duration(r.MaxSession) * time.Second, Tags: tagMap(r.Tags),
	}, err
}

// document decodes a policy: IAM percent-encodes the documents in its answers as
// RFC 3986 says, where a plus is a plus ("GetRole", IAM API Reference).
func document(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	if !strings.HasPrefix(text, "{") {
		decoded, err := url.PathUnescape(text)
		if err != nil {
			return nil, errors.New("the answer has a policy that is not percent-encoded")
		}
		text = decoded
	}
	if !json.Valid([]byte(text)) {
		return nil, errors.New("the answer has a policy that is not JSON")
	}
	return []byte(text), nil
}

func tagMap(tags []tag) map[string]string {
	if len(tags) == 0 {
		return nil
	}
	values := make(map[string]string, len(tags))
	for _, t := range tags {
		values[t.Key] = t.Value
	}
	return values
}

// setTags adds tags to the parameters of a call, in the order of their keys.
func (p parameters) setTags(tags map[string]string) {
	keys := make([]string, 0, len(tags))
	for key := range tags {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for i, key := range keys {
		member := "Tags.member." + strconv.Itoa(i+1)
		p[member+".Key"], p[member+".Value"] = key, tags[key]
	}
}

// Role returns a role. The code of a role that there is none of is [CodeNoSuchEntity].
func (c Client) Role(ctx context.Context, name string) (Role, error) {
	var answer struct {
		Role role `xml:"GetRoleResult>Role"`
	}
	if err := c.ask(ctx, "GetRole", parameters{"RoleName": name}, &answer); err != nil {
		return Role{}, err
	}
	found, err := answer.Role.role()
	if err != nil {
		return Role{}, wrong("GetRole", err)
	}
	return found, nil
}

// rolePage is how many roles are asked for at a time: each may have a policy of 8,192
// characters, most of which are three in an answer, and an answer is bounded.
const rolePage = "40"

// Roles returns all roles of the account. IAM lists them without their tags and
// permissions boundaries ("ListRoles", IAM API Reference).
func (c Client) Roles(ctx context.Context) ([]Role, error) {
	var roles []Role
	err := pages(func(marker string) (page, error) {
		var answer struct {
			Result struct {
				Roles []role `xml:"Roles>member"`
				page
			} `xml:"ListRolesResult"`
		}
		if err := c.ask(ctx, "ListRoles", parameters{"MaxItems": rolePage, "Marker": marker}, &answer); err != nil {
			return page{}, err
		}
		for _, r := range answer.Result.Roles {
			found, err := r.role()
			if err != nil {
				return page{}, wrong("ListRoles", err)
			}
			roles = append(roles, found)
		}
		return answer.Result.page, nil
	})
	return roles, err
}

// page says whether a listing goes on.
type page struct {
	Truncated bool   `xml:"IsTruncated"`
	Marker    string `xml:"Marker"`
}

// pages asks for each page of a listing.
func pages(ask func(marker string) (page, error)) error {
	for marker := ""; ; {
		got, err := ask(marker)
		if err != nil || !got.Truncated {
			return err
		}
		if got.Marker == "" || got.Marker == marker { // it would never end
			return wrong("List", errors.New("the answer says that it goes on, and not where"))
		}
		marker = got.Marker
	}
}

// CreateRole creates a role and returns it as IAM tells it.
func (c Client) CreateRole(ctx context.Context, r Role) (Role, error) {
	p := parameters{
		"RoleName": r.Name, "Path": r.Path, "Description": r.Description, "PermissionsBoundary": r.PermissionsBoundary,
		"AssumeRolePolicyDocument": string(r.TrustPolicy),
	}
	if r.MaxSession != 0 {
		p["MaxSessionDuration"] = strconv.Itoa(int(r.MaxSession / time.Second))
	}
	p.setTags(r.Tags)
	var answer struct {
		Role role `xml:"CreateRoleResult>Role"`
	}
	if err := c.ask(ctx, "CreateRole", p, &answer); err != nil {
		return Role{}, err
	}
	created, err := answer.Role.role()
	if err != nil {
		return Role{}, wrong("CreateRole", err)
	}
	return created, nil
}

// UpdateTrustPolicy replaces whom a role trusts.
func (c Client) UpdateTrustPolicy(ctx context.Context, role string, policy []byte) error {
	return c.ask(ctx, "UpdateAssumeRolePolicy", parameters{"RoleName": role, "PolicyDocument": string(policy)}, nil)
}

// UpdateMaxSession changes how long the sessions of a role may last, in whole seconds.
func (c Client) UpdateMaxSession(ctx context.Context, role string, longest time.Duration) error {
	return c.ask(ctx, "UpdateRole", parameters{"RoleName": role, "MaxSessionDuration": strconv.Itoa(int(longest / time.Second))}, nil)
}

// TagRole adds tags to a role.
func (c Client) TagRole(ctx context.Context, role string, tags map[string]string) error {
	p := parameters{"RoleName": role}
	p.setTags(tags)
	return c.ask(ctx, "TagRole", p, nil)
}

// DeleteRole deletes a role that has no policies any more.
func (c Client) DeleteRole(ctx context.Context, role string) error {
	return c.ask(ctx, "DeleteRole", parameters{"RoleName": role}, nil)
}

// AttachedPolicies returns the ARNs of the managed policies of a role.
func (c Client) AttachedPolicies(ctx context.Context, role string) ([]string, error) {
	var arns []string
	err := pages(func(marker string) (page, error) {
		var answer struct {
			Result struct {
				ARNs []string `xml:"AttachedPolicies>member>PolicyArn"`
				page
			} `xml:"ListAttachedRolePoliciesResult"`
		}
		err := c.ask(ctx, "ListAttachedRolePolicies", parameters{"RoleName": role, "Marker": marker}, &answer)
		arns = append(arns, answer.Result.ARNs...)
		return answer.Result.page, err
	})
	return arns, err
}

// AttachPolicy attaches a managed policy, by its ARN, to a role.
func (c Client) AttachPolicy(ctx context.Context, role, policy string) error {
	return c.ask(ctx, "AttachRolePolicy", parameters{"RoleName": role, "PolicyArn": policy}, nil)
}

// DetachPolicy takes a managed policy from a role.
func (c Client) DetachPolicy(ctx context.Context, role, policy string) error {
	return c.ask(ctx, "DetachRolePolicy", parameters{"RoleName": role, "PolicyArn": policy}, nil)
}

// InlinePolicies returns the names of the policies that are part of a role.
func (c Client) InlinePolicies(ctx context.Context, role string) ([]string, error) {
	var names []string
	err := pages(func(marker string) (page, error) {
		var answer struct {
			Result struct {
				Names []string `xml:"PolicyNames>member"`
				page
			} `xml:"ListRolePoliciesResult"`
		}
		err := c.ask(ctx, "ListRolePolicies", parameters{"RoleName": role, "Marker": marker}, &answer)
		names = append(names, answer.Result.Names...)
		return answer.Result.page, err
	})
	return names, err
}

// RolePolicy returns a policy that is part of a role, as JSON.
func (c Client) RolePolicy(ctx context.Context, role, name string) ([]byte, error) {
	var answer struct {
		Document string `xml:"GetRolePolicyResult>PolicyDocument"`
	}
	if err := c.ask(ctx, "GetRolePolicy", parameters{"RoleName": role, "PolicyName": name}, &answer); err != nil {
		return nil, err
	}
	policy, err := document(answer.Document)
	if err != nil {
		return nil, wrong("GetRolePolicy", err)
	}
	return policy, nil
}

// PutRolePolicy makes a policy part of a role, in the place of one of the same name.
func (c Client) PutRolePolicy(ctx context.Context, role, name string, policy []byte) error {
	return c.ask(ctx, "PutRolePolicy", parameters{"RoleName": role, "PolicyName": name, "PolicyDocument": string(policy)}, nil)
}

// DeleteRolePolicy takes a policy out of a role.
func (c Client) DeleteRolePolicy(ctx context.Context, role, name string) error {
	return c.ask(ctx, "DeleteRolePolicy", parameters{"RoleName": role, "PolicyName": name}, nil)
}
