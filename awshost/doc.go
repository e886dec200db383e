// Package awshost finds the credentials that a host in AWS offers to the programs on
// it, without AWS's SDK: in the environment, at the container's endpoint, in a
// web-identity token's file, at the instance metadata service, or wherever else the
// AWS CLI finds them ("Standardized credential providers", AWS SDKs and Tools Reference
// Guide).
//
//	found, err := awshost.Detect(ctx, awshost.Host{Getenv: os.Getenv})
//	source := awssts.GetWebIdentityToken{Credentials: found.Provider, Region: "eu-west-1"}
//
// The endpoints are on the host or its link: they are never asked through a proxy,
// and the metadata service only by version 2 of its protocol.
package awshost
