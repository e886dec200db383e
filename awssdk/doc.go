// Package awssdk joins keyless and the AWS SDK for Go, version 2: keyless's credentials
// for the SDK's clients, the SDK's credentials for keyless, and keyless's tokens for
// the SDK's own web-identity provider.
//
//	cfg.Credentials = awssdk.NewProvider(keyless.CachedCredentials(keyless.Federate(source, exchange)))
//	client := s3.NewFromConfig(cfg)
package awssdk
