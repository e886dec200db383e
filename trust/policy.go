package trust

import (
	"slices"
	"strings"
)

// Effect says what a statement does when it matches.
type Effect string

// The two effects of IAM. A matching Deny always wins over a matching Allow.
const (
	Allow Effect = "Allow"
	Deny  Effect = "Deny"
)

// The two versions of the policy language. Policy variables exist only in
// [Version2012]; a policy without a version counts as [Version2008].
const (
	Version2012 = "2012-10-17"
	Version2008 = "2008-10-17"
)

// The kinds of principal that a trust policy can name.
const (
	Federated     = "Federated"
	AWS           = "AWS"
	Service       = "Service"
	CanonicalUser = "CanonicalUser"
	Anyone        = "*" // the bare Principal "*"; its ID is "*" too
)

// Policy is a trust policy (IAM calls it the assume-role policy document). It
// is plain data: build it by hand or with [Parse], change it, marshal it.
type Policy struct {
	Version    string
	ID         string
	Statements []Statement
}

// Clone returns a copy that shares nothing with p but the texts.
func (p *Policy) Clone() *Policy {
	c := *p
	c.Statements = slices.Clone(p.Statements)
	for i := range c.Statements {
		s := &c.Statements[i]
		s.Principals = slices.Clone(s.Principals)
		s.Actions = slices.Clone(s.Actions)
		s.Conditions = slices.Clone(s.Conditions)
		for k := range s.Conditions {
			s.Conditions[k].Values = slices.Clone(s.Conditions[k].Values)
		}
	}
	return &c
}

// Statement is one rule of a policy.
type Statement struct {
	Sid    string
	Effect Effect

	Principals   []Principal
	NotPrincipal bool // the statement is for everyone but Principals

	Actions   []string // may hold * and ?; compared without regard to case
	NotAction bool     // the statement is for every action but Actions

	Conditions []Condition // all of them must hold
}

// Principal names a caller: Type is one of [Federated], [AWS], [Service],
// [CanonicalUser] or [Anyone], ID is the ARN, account, host name or "*".
type Principal struct {
	Type string
	ID   string
}

// String returns "Federated arn:…".
func (p Principal) String() string {
	if p.Type == Anyone {
		return Anyone
	}
	return p.Type + " " + p.ID
}

// Condition is one comparison: Operator with its prefix and suffix as written
// (ForAnyValue:StringLikeIfExists), one key, and the values of which one must
// match.
type Condition struct {
	Operator string
	Key      string
	Values   []string
}

// variables reports whether ${…} means something in this policy.
func (p *Policy) variables() bool { return p.Version == Version2012 }

// ProviderKey returns what IAM makes of an issuer URL: the name of its OIDC
// provider and the prefix of its condition keys. Only the scheme goes; a
// trailing slash stays, as in sts.windows.net/<tenant>/.
func ProviderKey(issuer string) string {
	if _, rest, found := strings.Cut(issuer, "://"); found {
		return rest
	}
	return issuer
}

// ProviderARN returns the ARN of the OIDC provider for issuer in account, in
// the commercial partition when partition is empty.
func ProviderARN(partition, account, issuer string) string {
	if partition == "" {
		partition = "aws"
	}
	return "arn:" + partition + ":iam::" + account + ":oidc-provider/" + ProviderKey(issuer)
}

// providerKeyOf returns the condition-key prefix for a provider given as ARN,
// as URL or as host and path.
func providerKeyOf(provider string) string {
	if _, rest, found := strings.Cut(provider, ":oidc-provider/"); found {
		return rest
	}
	return ProviderKey(provider)
}
