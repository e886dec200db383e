// Package keyless turns the identity that a workload already has into the
// short-lived credentials that another cloud wants, so that nobody stores a key.
//
// Everything is one line of flow, and data goes along it one way only:
//
//	TokenSource → Token → Exchanger → Credentials → delivery
//
// A [TokenSource] proves who the workload is (packages entra and azhost), an
// [Exchanger] trades the proof for credentials (package awssts), and [Federate]
// joins the two into a [CredentialsProvider]. [Cached] and [CachedCredentials]
// keep the latest value fresh in the background and keep handing it out while
// the far side is down.
//
//	provider := keyless.CachedCredentials(keyless.Federate(
//		azhost.ManagedIdentity{Resource: "api://11111111-1111-1111-1111-111111111111"},
//		awssts.WebIdentity{RoleARN: "arn:aws:iam::123456789012:role/app", Region: "eu-west-1"},
//	))
//	credentials, err := provider.Credentials(ctx)
//
// # Errors
//
// Every error that comes from a far side is, or wraps, an [*Error]: which hop,
// what was asked, what the far side said, whether trying again can help, and a
// hint for a person.
//
// # Secrets
//
// Secret values travel as [Secret], which no fmt verb, logger or encoder prints.
package keyless
