// Package awssts trades tokens for credentials at the AWS Security Token Service
// ("AWS Security Token Service API Reference", version 2011-06-15).
//
//	exchange := awssts.WebIdentity{
//		RoleARN:  "arn:aws:iam::123456789012:role/app",
//		Region:   "eu-west-1",
//		Audience: "api://11111111-1111-1111-1111-111111111111",
//	}
//
// The token is a bearer token for whatever its audience names. [WebIdentity]
// therefore looks at the audience before it sends the token anywhere, and never
// sends one that is for a service of Microsoft's own.
//
// [Chain] goes on from the first role to others by AssumeRole.
//
// [GetWebIdentityToken] goes the other way: AWS credentials become a token that Entra
// trusts.
package awssts
