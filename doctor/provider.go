package doctor

import (
	"fmt"
	"slices"
	"strings"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/trust"
)

// issuerName is the name of a provider taken apart, if it is one of Entra's.
type issuerName struct {
	tenant  string
	version int // of the tokens; zero: another issuer's
}

// readIssuer knows the names of Entra's issuers: sts.windows.net/TENANT/ for version 1,
// login.microsoftonline.com/TENANT/v2.0 for version 2 ("Access token claims reference",
// Microsoft Learn), and the same on the hosts of national clouds.
func readIssuer(key string) issuerName {
	parts := strings.Split(strings.TrimSuffix(key, "/"), "/")
	switch {
	case len(parts) == 2 && (parts[0] == "sts.windows.net" || parts[0] == "sts.chinacloudapi.cn"):
		return issuerName{parts[1], 1}
	case len(parts) == 3 && strings.HasPrefix(parts[0], "login.") && parts[2] == "v2.0":
		return issuerName{parts[1], 2}
	}
	return issuerName{}
}

// How one provider's name differs from the one that is wanted, the nearest first. They
// are the ends of codes.
const (
	differsSlash   = "slash"
	differsCase    = "case"
	differsVersion = "other-version"
	differsTenant  = "other-tenant"
	differsIssuer  = "other-issuer"
)

// difference says how a provider's name differs from the one that is wanted; empty: it
// does not.
func difference(want, have string) string {
	w, h := readIssuer(want), readIssuer(have)
	switch {
	case want == have:
		return ""
	case strings.TrimSuffix(want, "/") == strings.TrimSuffix(have, "/"):
		return differsSlash
	case strings.EqualFold(strings.TrimSuffix(want, "/"), strings.TrimSuffix(have, "/")):
		return differsCase
	case w.tenant != "" && w.tenant == h.tenant:
		return differsVersion
	case w.tenant != "" && h.tenant != "":
		return differsTenant
	}
	return differsIssuer
}

// nearest is the name that differs least from the one that is wanted, and how.
func nearest(want string, names []string) (name, how string) {
	order := []string{differsSlash, differsCase, differsVersion, differsTenant, differsIssuer}
	best := len(order)
	for _, candidate := range names {
		if at := slices.Index(order, difference(want, candidate)); at >= 0 && at < best {
			best, name = at, candidate
		}
	}
	if best == len(order) {
		return "", ""
	}
	return name, order[best]
}

// providerEntry is about the account's entry for the token's issuer.
func (e *evidence) providerEntry() Finding {
	if !e.shown() {
		return Finding{}
	}
	f := Finding{Check: "provider", Hop: keyless.HopExchange, Verdict: OK, Summary: "the account has a provider for the token's issuer"}
	switch {
	case e.provider.absent(), !e.provider.known() && e.stsSays("no openidconnect provider"):
		e.noProvider(&f)
	case e.provider.known():
		f.Evidence = []string{named("provider", e.provider.value.ARN), named("client ids", strings.Join(e.provider.value.ClientIDs, ", "))}
		if !slices.ContainsFunc(e.audiences(), func(a string) bool { return slices.Contains(e.provider.value.ClientIDs, a) }) {
			e.noClientID(&f)
		}
	case e.stsSays("audience"):
		e.noClientID(&f)
	case !e.first:
		return Finding{}
	default:
		f.Summary = "STS knows the token's issuer"
	}
	return e.overruled(f)
}

// shown reports whether STS has seen a token that can be read.
func (e *evidence) shown() bool {
	return e.built != nil && e.built.Exchanger != nil && e.tokenErr == nil && e.claimsErr == nil && !guarded(e.exchangeErr)
}

// stsSays reports whether STS refuses the token with these words.
func (e *evidence) stsSays(words string) bool {
	failed := asError(e.exchangeErr)
	return failed != nil && failed.Code == "InvalidIdentityToken" && strings.Contains(strings.ToLower(failed.Message), words)
}

// overruled makes a judgement that STS does not share a warning: it let the token in.
func (e *evidence) overruled(f Finding) Finding {
	if f.Verdict == Failed && e.first {
		f.Verdict = Warning
		f.Evidence = append(f.Evidence, "STS let the token in all the same: what was read may be older or newer than what STS goes by")
	}
	return f
}

func (e *evidence) noProvider(f *Finding) {
	name, how := e.nearestProvider()
	f.Verdict, f.Code = Failed, "provider-missing"
	f.Summary = fmt.Sprintf("account %s has no IAM OIDC provider for %s", splitARN(e.built.STS.RoleARN).account, clean(e.claims.Issuer))
	f.Evidence = []string{named("wanted", e.providerARN())}
	create := "aws iam create-open-id-connect-provider --url " + quoted(e.claims.Issuer) + " --client-id-list " + e.clientIDs()
	why := "the URL must be the token's issuer, character by character"
	switch how {
	case differsSlash:
		f.Code, why = "provider-slash", "the slash at the end is part of the name, and a provider cannot be renamed: make the right one"
	case differsCase:
		f.Code, why = "provider-case", "names of providers are compared to the letter: make the right one"
	case differsVersion:
		f.Code, why = "provider-other-version", e.versionAdvice(name)
	case differsTenant:
		f.Code, why = "provider-other-tenant", "the token is of another tenant than the provider: make a provider for this one, or take the identity from the other tenant"
	case differsIssuer:
		f.Code, why = "provider-other-issuer", "the service connection has another issuer than the provider, as after it was converted: make a provider for this one"
	}
	if name != "" {
		f.Evidence = append(f.Evidence, named("there is", name))
	}
	f.Fix = lines(why, create)
}

// nearestProvider is the one that may be meant for the token's issuer. Providers of issuers
// that are not Entra's stand for others, but for the older one of Azure Pipelines, whose
// tokens have one version only.
func (e *evidence) nearestProvider() (name, how string) {
	others := e.otherProviders()
	if e.Profile.Source.AzurePipelines == nil {
		if name, how = nearest(e.key(), others); how == differsIssuer {
			return "", ""
		}
		return name, how
	}
	older := slices.IndexFunc(others, func(name string) bool { return strings.HasPrefix(name, "vstoken.dev.azure.com/") })
	if older < 0 {
		return "", ""
	}
	return others[older], differsIssuer
}

// versionAdvice is for a provider of the tokens' other version.
func (e *evidence) versionAdvice(name string) string {
	have, want := readIssuer(name).version, readIssuer(e.key()).version
	return fmt.Sprintf("the token is of version %d, and the provider for version %d: make a provider for it, or have the application issue version %d (az ad app update --id %s --set api.requestedAccessTokenVersion=%d)",
		want, have, have, quoted(e.resourceID()), have)
}

// resourceID is the client id of the application that tokens are for.
func (e *evidence) resourceID() string {
	if id, found := strings.CutPrefix(e.audience(), "api://"); found {
		return id
	}
	return "CLIENT_ID"
}

// otherProviders are the names of providers that the account has, or that the role's
// policy names.
func (e *evidence) otherProviders() []string {
	var names []string
	for _, arn := range e.providers.value {
		names = append(names, trust.ProviderName(arn))
	}
	policy, _, err := e.policy()
	if err != nil || policy == nil {
		return names
	}
	for _, statement := range policy.Statements {
		for _, principal := range statement.Principals {
			if principal.Type == trust.Federated {
				names = append(names, trust.ProviderName(principal.ID))
			}
		}
	}
	return names
}

// clientIDs are what the provider must list for this token, as arguments.
func (e *evidence) clientIDs() string {
	var ids []string
	for _, id := range append(e.audiences(), e.claims.Audience...) {
		if !slices.Contains(ids, quoted(id)) {
			ids = append(ids, quoted(id))
		}
	}
	return strings.Join(ids, " ")
}

// noClientID knows that AWS takes azp for the audience of tokens that have one ("Available
// keys for AWS OIDC federation", IAM User Guide). That it compares azp, and not aud, with
// the client ids of the provider is unverified.
func (e *evidence) noClientID(f *Finding) {
	f.Verdict, f.Code = Failed, "client-id-missing"
	missing := strings.Join(e.audiences(), ", ")
	f.Summary = fmt.Sprintf("the provider does not list %q among its client ids", clean(missing))
	why := "the provider must list what the token is for, character by character"
	if e.claims.AuthorizedParty != "" {
		f.Code = "client-id-azp"
		f.Summary = fmt.Sprintf("the provider does not list %q: AWS takes the token's azp, which version 2 tokens have, for the audience", clean(missing))
		why = "list the caller's client id (azp) too, or have the application issue version 1 tokens"
	}
	f.Evidence = append(f.Evidence, e.claimLines()...)
	f.Fix = why
	for _, audience := range e.audiences() {
		f.Fix = lines(f.Fix, "aws iam add-client-id-to-open-id-connect-provider --open-id-connect-provider-arn "+quoted(e.providerARN())+" --client-id "+quoted(audience))
	}
}
