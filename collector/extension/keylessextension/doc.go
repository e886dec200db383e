// Package keylessextension proves the collector's identity to what it writes to, and asks
// those that write to it for theirs: by tokens of Entra ID, and by the AWS credentials that
// such a token is traded for. Nothing that could be stolen is stored.
package keylessextension

//go:generate mdatagen metadata.yaml
