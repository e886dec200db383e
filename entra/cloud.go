package entra

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// DefaultAuthority is the public cloud's.
const DefaultAuthority = "https://login.microsoftonline.com"

// authorities are the clouds by the names that configurations use. The first
// three are from "Microsoft Entra authentication and national clouds"; the
// sovereign ones are hosts that Microsoft's own libraries trust.
func authorities() map[string]string {
	return map[string]string{
		"public":            DefaultAuthority,
		"usgov":             "https://login.microsoftonline.us",
		"china":             "https://login.partner.microsoftonline.cn",
		"bleu":              "https://login.sovcloud-identity.fr",
		"delos":             "https://login.sovcloud-identity.de",
		"singapore":         "https://login.sovcloud-identity.sg",
		"azurecloud":        DefaultAuthority, // the names that az cloud uses
		"azureusgovernment": "https://login.microsoftonline.us",
		"azurechinacloud":   "https://login.partner.microsoftonline.cn",
		"azurepublic":       DefaultAuthority, // the names that Prometheus uses
		"azuregovernment":   "https://login.microsoftonline.us",
		"azurechina":        "https://login.partner.microsoftonline.cn",
	}
}

// Clouds returns the names that [AuthorityFor] knows, sorted.
func Clouds() []string { return slices.Sorted(maps.Keys(authorities())) }

// AuthorityFor returns the authority of a cloud, for example "usgov". The case of
// the name does not matter; the empty name is the public cloud.
func AuthorityFor(cloud string) (string, error) {
	if cloud == "" {
		return DefaultAuthority, nil
	}
	authority, ok := authorities()[strings.ToLower(cloud)]
	if !ok {
		return "", fmt.Errorf("cloud %q: want one of %s", cloud, strings.Join(Clouds(), ", "))
	}
	return authority, nil
}

// ExchangeAudience returns the audience that federated credentials and their assertions
// have at an authority ("Create a trust relationship", Microsoft Learn; those of the
// national clouds are unverified).
func ExchangeAudience(authority string) string {
	const audience = "api://AzureADTokenExchange"
	switch strings.TrimSuffix(authority, "/") {
	case "https://login.microsoftonline.us":
		return audience + "USGov"
	case "https://login.partner.microsoftonline.cn", "https://login.chinacloudapi.cn":
		return audience + "China"
	}
	return audience
}

const defaultSuffix = "/.default"

// Scope returns the scope for an audience: "api://x" becomes "api://x/.default".
// An audience that ends in a slash gets a second one, and needs it: Entra cuts
// off "/.default" and puts the rest into the token as it stands.
func Scope(audience string) string {
	if audience == "" || strings.HasSuffix(audience, defaultSuffix) {
		return audience
	}
	return audience + defaultSuffix
}

// Audience is the opposite of [Scope].
func Audience(scope string) string { return strings.TrimSuffix(scope, defaultSuffix) }
