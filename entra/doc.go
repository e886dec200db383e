// Package entra proves an application to Microsoft Entra ID and gets a token for
// one audience, by the OAuth 2.0 client credentials grant of the Microsoft
// identity platform ("Microsoft identity platform and the OAuth 2.0 client
// credentials flow", RFC 6749 section 4.4).
//
//	source := entra.ClientSecret{
//		TenantID:   "22222222-2222-2222-2222-222222222222",
//		ClientID:   "33333333-3333-3333-3333-333333333333",
//		SecretFile: "/run/secrets/entra",
//		Scope:      entra.Scope("api://11111111-1111-1111-1111-111111111111"),
//	}
//
// [ClientSecret], [Certificate] and [Assertion] differ in the proof only. Each
// makes one request for a token, without the discovery requests that come before
// it in other libraries, and keeps nothing: see keyless.Cached.
package entra
