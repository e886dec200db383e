// Package sandbox plays both clouds offline: Entra, Microsoft Graph, Azure Resource
// Manager, the Azure instance metadata service and Azure Monitor on one side, STS, IAM,
// S3, an EC2 host, CloudWatch with the instances of EC2 and their tags, and Amazon Managed
// Service for Prometheus on the other, a job of Azure Pipelines in between, and an
// Elasticsearch.
//
//	s, err := sandbox.New(sandbox.Demo(), sandbox.Options{})
//	client := &http.Client{Transport: s.RoundTripper()}   // the real host names, no sockets
//
// or, for programs that need an address, [Sandbox.Listen] and [Sandbox.URL].
//
// A [World] is plain data: tenants with applications and identities, accounts
// with OIDC providers, roles and buckets, and what takes logs and metrics. The sandbox
// holds its callers to what the real services hold them to: Entra checks secrets,
// certificates and federated assertions, STS fetches the issuer's keys and verifies the
// token, applies the audience rule and the role's trust policy, and signed requests
// are verified. Refusals carry the codes, texts and HTTP statuses of the real
// services; where these could not be checked against the vendor's pages the
// code says "unverified".
//
// What an administrator makes through IAM is in force in STS, and what one makes through
// Microsoft Graph or Azure Resource Manager is in force in Entra: at once, or after
// Options.Propagation. The World itself never changes.
//
// What was written is in ledgers ([Sandbox.Rows], [Sandbox.Series], [Sandbox.Documents]), which tests in other
// languages read by GET at /sandbox/rows/STREAM and /sandbox/series/METRIC of the
// receivers.
//
// Metrics are not stored: each point follows from the name of its series and its time,
// with the moment from which it is seen. [Sandbox.Datapoints] says what a collector should
// have, [Sandbox.Calls] and [Sandbox.MetricsBilled] what it has asked.
//
// What it does not model: permissions other than all or nothing (administrators are listed,
// sessions read the buckets of their own account, and write to the metrics workspaces that
// name them), the recycle bin of deleted applications, new secrets and certificates, groups
// and users, and quotas other than those of IAM, of federated credentials and of data
// collection rules.
package sandbox
