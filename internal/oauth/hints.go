package oauth

import (
	"maps"
	"slices"
)

// Propagating reports whether code says that no federated credential matches,
// which is also the answer for some seconds after one was created.
func Propagating(code string) bool { return code == "AADSTS70021" }

// Hint is what a person can do about an AADSTS code, from "Microsoft Entra
// authentication and authorization error codes"; empty for codes not listed here.
func Hint(aadsts int) string { return hints()[aadsts] }

// Known returns the AADSTS codes for which there is a hint, in ascending order.
func Known() []int { return slices.Sorted(maps.Keys(hints())) }

func hints() map[int]string {
	return map[int]string{
		7000215: "wrong client secret; use the secret's value, which the portal shows once, not its id",
		7000222: "the client secret has expired; create a new one (or use a certificate, a managed identity or a federated credential, which need none)",
		700016:  "there is no such application in this tenant; check client_id and tenant_id",
		7000229: "the application has no service principal in this tenant; create it (az ad sp create --id CLIENT_ID)",
		90002:   "there is no such tenant in this cloud; check tenant_id, and the authority for national clouds",
		900023:  "tenant_id is neither a tenant's id nor one of its domains",
		500011:  "no application in this tenant has this App ID URI, or it has no service principal; check the audience, character by character",
		65001:   "nobody has allowed this client to ask for the application's tokens; let the application pre-authorize it (Expose an API, authorized client applications)",
		50001:   "no application in this tenant has this App ID URI, or it has no service principal; check the audience, character by character",
		1002012: "the scope must be the App ID URI followed by /.default",
		70011:   "the scope must be the App ID URI followed by /.default",
		501051:  "the target application demands assignment; assign one of its app roles to this identity",
		7000218: "the application proved itself with nothing; is it set up as a public client?",
		700027:  "the certificate is not registered on the application, or the assertion was signed with another key; upload this certificate's public part",
		700024:  "the assertion is not valid now; check this machine's clock, or get a fresh assertion",
		70021:   "no federated credential of the application matches issuer, subject and audience of the assertion; right after creating one, wait a minute",
		700211:  "no federated credential of the application has the assertion's issuer",
		700212:  "no federated credential of the application has the assertion's audience",
		700213:  "no federated credential of the application has the assertion's subject; it must be equal to the letter",
		70025:   "the application has no federated credential; create one",
		700222:  "Entra does not take a token that Entra issued to an application as an assertion; use a managed identity's, or another issuer's",
		700214:  "the assertion's audience must be api://AzureADTokenExchange in its URI form, on the federated credential and in the assertion",
		700231:  "a policy of the tenant forbids this federated credential's issuer",
		700223:  "a policy of the tenant has switched workload identity federation off",
		700238:  "a policy of the tenant limits workload identity federation for this application",
		70052:   "this way of federation needs a single-tenant application",
		50166:   "Entra could not fetch the assertion issuer's OpenID configuration or keys; they must be public, on https",
		90061:   "Entra could not fetch the assertion issuer's OpenID configuration or keys; they must be public, on https",
		53003:   "a Conditional Access policy for workload identities blocks this sign-in",
		700021:  "the assertion is not the application's own: its issuer and subject must be client_id",
		700023:  "the assertion is for another token endpoint; check the authority and tenant_id",
		50027:   "the assertion is no JWT that Entra takes",
		90033:   hintBusy,
		7000112: "the application is disabled in this tenant",
	}
}
