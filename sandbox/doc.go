// Package sandbox plays both clouds offline: Entra and the Azure instance metadata service on one side, STS, S3 and an EC2 host on the other, and a job of Azure Pipelines in between.
//
//	s, err := sandbox.New(sandbox.Demo(), sandbox.Options{})
//	client := &http.Client{Transport: s.RoundTripper()}   // the real host names, no sockets
//
// or, for programs that need an address, [Sandbox.Listen] and [Sandbox.URL].
//
// A [World] is plain data: tenants with applications and identities, accounts
// with OIDC providers, roles and buckets. The sandbox holds its callers to what
// the real services hold them to: Entra checks secrets, certificates and
// federated assertions, STS fetches the issuer's keys and verifies the token,
// applies the audience rule and the role's trust policy, and signed requests
// are verified. Refusals carry the codes, texts and HTTP statuses of the real
// services; where these could not be checked against the vendor's pages the
// code says "unverified".
//
// What it does not model: permissions of a role once it is assumed (sessions
// read the buckets of their own account and nothing else), and quotas.
package sandbox
