package sandbox

import (
	"maps"
	"slices"
)

func accountActions() map[string]iamAction {
	return map[string]iamAction{
		"EnableOutboundWebIdentityFederation":  (*iamCall).enableOutbound,
		"DisableOutboundWebIdentityFederation": (*iamCall).disableOutbound,
		"GetOutboundWebIdentityFederationInfo": (*iamCall).outboundInfo,
		"GetAccountAuthorizationDetails":       (*iamCall).accountDetails,
		"ListAccountAliases":                   (*iamCall).listAccountAliases,
	}
}

// enableOutbound gives an account the issuer that it had before, if it had one
// (unverified).
func (c *iamCall) enableOutbound() (any, *awsError) {
	if c.state.outbound {
		return nil, iamError("FeatureEnabled", "Outbound web identity federation is already enabled for this account.") // unverified wording
	}
	c.state.outbound = true
	return struct{ IssuerIdentifier string }{c.account.outboundIssuer()}, nil
}

// disableOutbound leaves the tokens that were given out as they are, and the issuer's
// keys where they were.
func (c *iamCall) disableOutbound() (any, *awsError) {
	if !c.state.outbound {
		return nil, outboundDisabled()
	}
	c.state.outbound = false
	return nil, nil
}

func (c *iamCall) outboundInfo() (any, *awsError) {
	if !c.state.outbound {
		return nil, outboundDisabled()
	}
	return struct {
		IssuerIdentifier  string
		JwtVendingEnabled bool
	}{c.account.outboundIssuer(), true}, nil
}

func outboundDisabled() *awsError {
	return iamError("FeatureDisabled", "Outbound web identity federation is not enabled for this account.") // unverified wording
}

type xmlInline struct{ PolicyName, PolicyDocument string }

// xmlRoleDetail is a role with its policies in one.
type xmlRoleDetail struct {
	Path             string
	RoleName         string
	RoleID           string `xml:"RoleId"`
	Arn              string
	CreateDate       string
	TrustPolicy      string `xml:"AssumeRolePolicyDocument"`
	Tags             members[xmlTag]
	InstanceProfiles members[string]      `xml:"InstanceProfileList"`
	Inline           members[xmlInline]   `xml:"RolePolicyList"`
	Attached         members[xmlAttached] `xml:"AttachedManagedPolicies"`
	LastUsed         struct{}             `xml:"RoleLastUsed"`
}

func (r *role) detail() xmlRoleDetail {
	detail := xmlRoleDetail{
		Path: r.Path, RoleName: r.Name, RoleID: r.id, Arn: r.arn, CreateDate: iamTime(r.created),
		TrustPolicy: xmlPolicy(r.TrustPolicy), Tags: xmlTags(r.Tags), Attached: xmlAttachedPolicies(r.Attached),
	}
	for _, name := range slices.Sorted(maps.Keys(r.Policies)) {
		detail.Inline.Member = append(detail.Inline.Member, xmlInline{name, xmlPolicy(r.Policies[name])})
	}
	return detail
}

// accountDetails has the roles; users, groups and policies are left out.
func (c *iamCall) accountDetails() (any, *awsError) {
	names := slices.Sorted(maps.Keys(c.state.roles))
	if filter := formList(c.form, "Filter"); len(filter) > 0 && !slices.Contains(filter, "Role") {
		names = nil
	}
	names, part, refusal := c.paged(names)
	if refusal != nil {
		return nil, refusal
	}
	var roles members[xmlRoleDetail]
	for _, name := range names {
		roles.Member = append(roles.Member, c.state.roles[name].detail())
	}
	return struct {
		Users    members[string]        `xml:"UserDetailList"`
		Groups   members[string]        `xml:"GroupDetailList"`
		Roles    members[xmlRoleDetail] `xml:"RoleDetailList"`
		Policies members[string]
		listPart
	}{Roles: roles, listPart: part}, nil
}

// listAccountAliases finds the one of the world: nobody can make one here.
func (c *iamCall) listAccountAliases() (any, *awsError) {
	var aliases members[string]
	if c.account.Alias != "" {
		aliases.Member = []string{c.account.Alias}
	}
	return struct {
		AccountAliases members[string]
		listPart
	}{AccountAliases: aliases}, nil
}
