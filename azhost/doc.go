// Package azhost gets tokens from what an Azure host offers to the programs on it:
// the managed identity of a virtual machine, an App Service, a Function, a
// Container App, a machine of Azure Arc, a Machine Learning compute or a Service
// Fabric application, the service account of a pod, the person in a Cloud Shell.
//
//	source := azhost.ManagedIdentity{Resource: "api://11111111-1111-1111-1111-111111111111"}
//
// A host's endpoint is on this machine or near it: it is never asked through a
// proxy, and whether somebody is there shows within three seconds.
package azhost
