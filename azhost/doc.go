// Package azhost gets tokens from what an Azure host offers to the programs on it:
// the managed identity of the machine, asked for at the instance metadata service.
//
//	source := azhost.ManagedIdentity{Resource: "api://11111111-1111-1111-1111-111111111111"}
//
// The host's endpoint is on this machine or one hop away from it: it is never
// asked through a proxy, and whether somebody is there shows within three seconds.
package azhost
