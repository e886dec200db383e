package audit

import (
	"fmt"
	"strings"

	"github.com/keyless-id/keyless/trust"
)

// issuerForm: nobody signs tokens with such an iss.
func (e *entry) issuerForm() {
	name := trust.ProviderName(e.principal.ID)
	right, why := rightIssuer(name)
	if why == "" {
		return
	}
	e.dead = true
	e.report(issuerForm, e.whole(), fmt.Sprintf("%q: %s; no token passes", name, why), "name the provider as the issuer names itself", func(s *edited) {
		rename(s.Statement, e.principal, name, right)
	})
}

// rename gives a principal and its condition keys another provider.
func rename(s *trust.Statement, p trust.Principal, from, to string) {
	for i := range s.Principals {
		if s.Principals[i] == p {
			s.Principals[i].ID = strings.TrimSuffix(p.ID, from) + to
		}
	}
	for i, c := range s.Conditions {
		if claim, ours := strings.CutPrefix(strings.ToLower(c.Key), strings.ToLower(from)+":"); ours {
			s.Conditions[i].Key = to + ":" + claim
		}
	}
}

// rightIssuer returns what a provider's name should be, and why it is not that.
func rightIssuer(name string) (right, why string) {
	host, path, _ := strings.Cut(name, "/")
	host = strings.ToLower(host)
	tenant, rest, slash := strings.Cut(path, "/")
	lower := strings.ToLower(tenant)
	switch {
	case isEntraV1(host) && (!slash || rest != ""):
		return host + "/" + lower + "/", "the issuer of Entra's version 1 tokens ends in a slash behind the tenant"
	case isEntraV2(host) && rest != "v2.0":
		return host + "/" + lower + "/v2.0", "the issuer of Entra's version 2 tokens ends in /v2.0"
	case isEntra(host) && (lower == "common" || lower == "organizations" || lower == "consumers"):
		return host + "/TENANT_ID" + strings.TrimPrefix(path, tenant), "tokens name the tenant by its id"
	case isEntra(host) && isGUID(tenant) && tenant != lower:
		return host + "/" + lower + strings.TrimPrefix(path, tenant), "Entra writes tenants in lower case"
	case !isEntra(host) && !isAKS(host) && strings.HasSuffix(name, "/") && issuerOf(strings.TrimSuffix(name, "/")).recognised():
		return strings.TrimSuffix(name, "/"), "the issuer has no slash at its end"
	case host == "vstoken.dev.azure.com" && !isGUID(path):
		return host + "/ORGANIZATION_ID", "the issuer names the organization by its id"
	}
	return name, ""
}

// recognised reports whether the issuer is one that is known by name.
func (i *issuer) recognised() bool { return i.shared || i.strict }
