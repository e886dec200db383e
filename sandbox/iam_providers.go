package sandbox

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/keyless-id/keyless/trust"
)

func providerActions() map[string]iamAction {
	return map[string]iamAction{
		"CreateOpenIDConnectProvider":             (*iamCall).createProvider,
		"GetOpenIDConnectProvider":                (*iamCall).getProvider,
		"ListOpenIDConnectProviders":              (*iamCall).listProviders,
		"DeleteOpenIDConnectProvider":             (*iamCall).deleteProvider,
		"AddClientIDToOpenIDConnectProvider":      (*iamCall).addClientID,
		"RemoveClientIDFromOpenIDConnectProvider": (*iamCall).removeClientID,
		"UpdateOpenIDConnectProviderThumbprint":   (*iamCall).updateThumbprint,
		"TagOpenIDConnectProvider":                (*iamCall).tagProvider,
		"UntagOpenIDConnectProvider":              (*iamCall).untagProvider,
		"ListOpenIDConnectProviderTags":           (*iamCall).listProviderTags,
	}
}

// The limits of "IAM and AWS STS quotas" and of CreateOpenIDConnectProvider.
const (
	maxProviders   = 700
	maxClientIDs   = 100
	maxClientID    = 255
	maxThumbprints = 5
	maxProviderURL = 255
)

type xmlProvider struct {
	URL         string          `xml:"Url"`
	ClientIDs   members[string] `xml:"ClientIDList"`
	Thumbprints members[string] `xml:"ThumbprintList"`
	CreateDate  string
	Tags        members[xmlTag]
}

// provider is the provider that the request names.
func (c *iamCall) provider() (*provider, *awsError) {
	arn := c.form.Get("OpenIDConnectProviderArn")
	if accountOf(arn) == "" || !strings.Contains(arn, ":oidc-provider/") {
		return nil, iamError("InvalidInput", "Invalid ARN") // unverified wording
	}
	p := c.state.provider(arn)
	if p == nil {
		return nil, iamError("NoSuchEntity", "OpenIDConnect Provider not found for arn "+printable(arn))
	}
	return p, nil
}

func (c *iamCall) editProvider(change func(p *provider) *awsError) (any, *awsError) {
	p, refusal := c.provider()
	if refusal != nil {
		return nil, refusal
	}
	next := *p
	if refusal := change(&next); refusal != nil {
		return nil, refusal
	}
	c.state.providers[trust.ProviderKey(p.URL)] = &next
	return nil, nil
}

// checkProviderURL is the Url of CreateOpenIDConnectProvider: https, no port, no query.
func checkProviderURL(text string) *awsError {
	u, err := url.Parse(text)
	switch {
	case text == "":
		return constraint("url", "Member must have length greater than or equal to 1")
	case len(text) > maxProviderURL:
		return constraint("url", "Member must have length less than or equal to 255")
	case err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil:
		return invalid("Invalid Open ID Connect Provider URL")
	case strings.Contains(u.Host, ":"), u.RawQuery != "", u.ForceQuery, strings.Contains(text, "#"):
		return iamError("InvalidInput", "Invalid Open ID Connect Provider URL: it must have no port, no query and no fragment") // unverified wording
	}
	return nil
}

func (c *iamCall) createProvider() (any, *awsError) {
	data, refusal := c.readProvider()
	if refusal != nil {
		return nil, refusal
	}
	key := trust.ProviderKey(data.URL)
	switch {
	case c.state.providers[key] != nil:
		return nil, iamError("EntityAlreadyExists", "Provider with url "+data.URL+" already exists.")
	case len(c.state.providers) >= maxProviders:
		return nil, iamError("LimitExceeded", fmt.Sprintf("Cannot exceed quota for OpenIdConnectProvidersPerAccount: %d", maxProviders))
	}
	p := &provider{OIDCProvider: data, arn: trust.ProviderARN(c.account.Partition, c.account.ID, data.URL), created: c.now}
	c.state.providers[key] = p
	c.details["provider"] = p.arn
	return struct {
		Arn  string `xml:"OpenIDConnectProviderArn"`
		Tags members[xmlTag]
	}{p.arn, xmlTags(p.Tags)}, nil
}

func (c *iamCall) readProvider() (OIDCProvider, *awsError) {
	tags, refusal := c.tagged()
	p := OIDCProvider{URL: c.form.Get("Url"), ClientIDs: formList(c.form, "ClientIDList"), Thumbprints: formList(c.form, "ThumbprintList"), Tags: tags}
	refusal = firstRefusal(checkProviderURL(p.URL), checkClientIDs(p.ClientIDs), checkThumbprints(p.Thumbprints), refusal)
	if len(p.Thumbprints) == 0 { // the service looks for that of the issuer's certificate authority
		p.Thumbprints = []string{strings.ReplaceAll(namedGUID("thumbprint", p.URL), "-", "") + "00000000"}
	}
	return p, refusal
}

func checkClientIDs(ids []string) *awsError {
	if len(ids) > maxClientIDs {
		return iamError("LimitExceeded", fmt.Sprintf("Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: %d", maxClientIDs))
	}
	for _, id := range ids {
		if id == "" || len(id) > maxClientID {
			return constraint("clientIDList", "Member must satisfy constraint: [Member must have length less than or equal to 255, Member must have length greater than or equal to 1]")
		}
	}
	return nil
}

func checkThumbprints(thumbprints []string) *awsError {
	if len(thumbprints) > maxThumbprints {
		return invalid("Thumbprint list must contain fewer than 5 entries.")
	}
	for _, thumbprint := range thumbprints {
		if len(thumbprint) != 40 {
			return constraint("thumbprintList", "Member must satisfy constraint: [Member must have length less than or equal to 40, Member must have length greater than or equal to 40]")
		}
	}
	return nil
}

// getProvider gives the URL back without its scheme, as the service does.
func (c *iamCall) getProvider() (any, *awsError) {
	p, refusal := c.provider()
	if refusal != nil {
		return nil, refusal
	}
	return xmlProvider{trust.ProviderKey(p.URL), members[string]{p.ClientIDs}, members[string]{p.Thumbprints}, iamTime(p.created), xmlTags(p.Tags)}, nil
}

func (c *iamCall) listProviders() (any, *awsError) {
	type entry struct{ Arn string }
	var list members[entry]
	for _, key := range slices.Sorted(maps.Keys(c.state.providers)) {
		list.Member = append(list.Member, entry{c.state.providers[key].arn})
	}
	return struct {
		List members[entry] `xml:"OpenIDConnectProviderList"`
	}{list}, nil
}

// deleteProvider is done when there is no such provider: the reference calls it
// idempotent.
func (c *iamCall) deleteProvider() (any, *awsError) {
	p, refusal := c.provider()
	switch {
	case refusal == nil:
		delete(c.state.providers, trust.ProviderKey(p.URL))
	case refusal.code != "NoSuchEntity":
		return nil, refusal
	}
	return nil, nil
}

// addClientID is done when it was done before.
func (c *iamCall) addClientID() (any, *awsError) {
	id := c.form.Get("ClientID")
	return c.editProvider(func(p *provider) *awsError {
		if !slices.Contains(p.ClientIDs, id) {
			p.ClientIDs = append(slices.Clone(p.ClientIDs), id)
		}
		return checkClientIDs(p.ClientIDs)
	})
}

// removeClientID is done when there is no such client.
func (c *iamCall) removeClientID() (any, *awsError) {
	id := c.form.Get("ClientID")
	return c.editProvider(func(p *provider) *awsError {
		p.ClientIDs = slices.DeleteFunc(slices.Clone(p.ClientIDs), func(other string) bool { return other == id })
		return nil
	})
}

func (c *iamCall) updateThumbprint() (any, *awsError) {
	thumbprints := formList(c.form, "ThumbprintList")
	return c.editProvider(func(p *provider) *awsError {
		p.Thumbprints = thumbprints
		return checkThumbprints(thumbprints)
	})
}

func (c *iamCall) tagProvider() (any, *awsError) {
	more, refusal := c.tagged()
	if refusal != nil {
		return nil, refusal
	}
	return c.retagProvider(more, nil)
}

func (c *iamCall) untagProvider() (any, *awsError) {
	return c.retagProvider(nil, formList(c.form, "TagKeys"))
}

func (c *iamCall) retagProvider(more map[string]string, without []string) (any, *awsError) {
	return c.editProvider(func(p *provider) (refusal *awsError) {
		p.Tags, refusal = withTags(p.Tags, more, without)
		return refusal
	})
}

func (c *iamCall) listProviderTags() (any, *awsError) {
	p, refusal := c.provider()
	if refusal != nil {
		return nil, refusal
	}
	return c.tagList(p.Tags)
}
