// Package pipelines gets the token with which Azure Pipelines says which job of
// which service connection is running ("Azure Pipelines, Oidctoken - Create", Azure
// DevOps REST API 7.1).
//
//	source := pipelines.Job{
//		RequestURI:          os.Getenv("SYSTEM_OIDCREQUESTURI"),
//		AccessToken:         keyless.NewSecret(os.Getenv("SYSTEM_ACCESSTOKEN")),
//		ServiceConnectionID: "55555555-5555-5555-5555-555555555555",
//	}
//
// Two issuers sign such tokens. The older one, vstoken.dev.azure.com, is retired on
// [VSTokenRetired]; tokens of Entra name other issuers, audiences and subjects, so
// that a trust policy for one does not fit the other. [Inspect] tells them apart, and
// [Subject] computes the newer subject before there is a token.
package pipelines
