// Package azsdk joins keyless and the Azure SDK for Go: keyless's tokens for the SDK's
// clients, and any of the SDK's credentials as a source for keyless.
//
//	credential := azsdk.NewCredential(func(audience string) keyless.TokenSource {
//		return azhost.ManagedIdentity{Resource: audience}
//	})
//	client, err := azblob.NewClient(address, credential, nil)
package azsdk
