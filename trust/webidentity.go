package trust

import (
	"fmt"
	"sort"
	"strings"
)

// The actions that a trust policy allows or denies.
const (
	AssumeRoleWithWebIdentity = "sts:AssumeRoleWithWebIdentity"
	AssumeRole                = "sts:AssumeRole"
	TagSession                = "sts:TagSession"
	SetSourceIdentity         = "sts:SetSourceIdentity"
)

// The claims by which an identity provider hands session tags, a source
// identity and the roles it authorises to STS.
const (
	claimTags           = "https://aws.amazon.com/tags"
	claimSourceIdentity = "https://aws.amazon.com/source_identity"
	claimRoles          = "https://aws.amazon.com/roles"
)

// Claims are the claims of a JWT as encoding/json reads them into an any.
type Claims map[string]any

// WebIdentityRequest returns the request that STS puts before the trust policy
// of role (an ARN) when someone presents a token with these claims. The
// provider is the ARN of the IAM OIDC provider, its URL, or its host and path;
// give the ARN if the Principal of the policy is to match.
//
// The claims become condition keys by the default mapping of "Available keys
// for AWS OIDC federation", which is the one that Entra and Azure DevOps get:
// :aud is azp if the token has one and aud otherwise, :oaud is always aud, and
// there are :sub, :amr and :email, and no others.
func WebIdentityRequest(provider string, claims Claims, session, role string) Request {
	key := providerKeyOf(provider)
	context := map[string][]string{
		key + ":aud":            Audience(claims),
		key + ":oaud":           claims.texts("aud"),
		key + ":sub":            claims.texts("sub"),
		key + ":amr":            claims.texts("amr"),
		key + ":email":          claims.texts("email"),
		"aws:FederatedProvider": {provider}, // unverified: its form for OIDC
		"sts:RoleSessionName":   {session},
		"sts:SourceIdentity":    claims.texts(claimSourceIdentity),
	}
	addTags(context, claims)
	addAuthorized(context, claims, role)
	for name, values := range context {
		if len(values) == 0 {
			delete(context, name)
		}
	}
	return Request{Action: AssumeRoleWithWebIdentity, Principal: Principal{Federated, provider}, Context: context}
}

// WebIdentityActions returns every action that the trust policy must allow for
// a token with these claims: tags and a source identity each need one more.
func WebIdentityActions(claims Claims) []string {
	actions := []string{AssumeRoleWithWebIdentity}
	if len(SessionTags(claims)) > 0 {
		actions = append(actions, TagSession)
	}
	if len(claims.texts(claimSourceIdentity)) > 0 {
		actions = append(actions, SetSourceIdentity)
	}
	return actions
}

// Audience returns what STS takes for the audience of a token: azp if there is
// one, otherwise aud.
func Audience(claims Claims) []string {
	if azp := claims.texts("azp"); len(azp) > 0 {
		return azp
	}
	return claims.texts("aud")
}

// SessionTags returns the session tags that the token asks for, from the nested
// or the flattened form of the claim ("Passing session tags using
// AssumeRoleWithWebIdentity").
func SessionTags(claims Claims) map[string]string {
	tags := map[string]string{}
	nested, _ := claims[claimTags].(map[string]any)
	principal, _ := nested["principal_tags"].(map[string]any)
	for name, value := range principal {
		addTag(tags, name, value)
	}
	for name, value := range claims {
		if tag, found := strings.CutPrefix(name, claimTags+"/principal_tags/"); found {
			addTag(tags, tag, value)
		}
	}
	return tags
}

func addTag(tags map[string]string, name string, value any) {
	if texts := textsOf(value); len(texts) > 0 {
		tags[name] = texts[0]
	}
}

func addTags(context map[string][]string, claims Claims) {
	var names []string
	for name, value := range SessionTags(claims) {
		context["aws:RequestTag/"+name] = []string{value}
		names = append(names, name)
	}
	sort.Strings(names)
	context["aws:TagKeys"] = names
	nested, _ := claims[claimTags].(map[string]any)
	transitive := textsOf(nested["transitive_tag_keys"])
	context["sts:TransitiveTagKeys"] = append(transitive, claims.texts(claimTags+"/transitive_tag_keys")...)
}

// addAuthorized sets sts:RoleAuthorizedByIdp when the token lists roles, as a
// list or as ARNs joined by semicolons.
func addAuthorized(context map[string][]string, claims Claims, role string) {
	listed := claims.texts(claimRoles)
	if len(listed) == 0 {
		return
	}
	authorized := false
	for _, arn := range strings.Split(strings.Join(listed, ";"), ";") {
		authorized = authorized || strings.TrimSpace(arn) == role
	}
	context["sts:RoleAuthorizedByIdp"] = []string{fmt.Sprint(authorized)}
}

func (c Claims) texts(name string) []string { return textsOf(c[name]) }

// textsOf returns a claim as a list of texts: aud may be a string or an array.
func textsOf(value any) []string {
	switch v := value.(type) {
	case nil:
		return nil
	case string:
		return []string{v}
	case []string:
		return v
	case []any:
		var texts []string
		for _, item := range v {
			texts = append(texts, textsOf(item)...)
		}
		return texts
	case map[string]any:
		return nil
	}
	return []string{fmt.Sprint(value)}
}
