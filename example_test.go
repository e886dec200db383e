package keyless_test

import (
	"context"
	"fmt"
	"net/http"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awssts"
	"github.com/keyless-id/keyless/azhost"
	"github.com/keyless-id/keyless/sandbox"
)

// The managed identity of a virtual machine becomes credentials of a role. Here both
// clouds are played by the sandbox, in process; leave Client out for the real ones.
func ExampleFederate() {
	clouds, err := sandbox.New(sandbox.Demo(), sandbox.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: clouds.RoundTripper()}

	provider := keyless.CachedCredentials(keyless.Federate(
		azhost.ManagedIdentity{Resource: sandbox.DemoAudience, Client: client},
		awssts.WebIdentity{RoleARN: sandbox.DemoRoleARN, Region: "eu-west-1", Audience: sandbox.DemoAudience, Client: client},
	))
	for range 3 {
		credentials, err := provider.Credentials(context.Background())
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(credentials.AccountID, credentials.SecretAccessKey)
	}
	fmt.Println("requests to STS:", clouds.Requests(sandbox.STS))
	// Output:
	// 111122223333 [redacted]
	// 111122223333 [redacted]
	// 111122223333 [redacted]
	// requests to STS: 1
}

// A role that trusts somebody else: the error says on which hop it was refused, and
// what to do.
func ExampleError() {
	clouds, err := sandbox.New(sandbox.Demo(), sandbox.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: clouds.RoundTripper()}
	_, err = keyless.Federate(
		azhost.ManagedIdentity{Resource: sandbox.DemoAudience, Client: client},
		awssts.WebIdentity{RoleARN: sandbox.DemoOtherARN, Client: client},
	).Credentials(context.Background())
	if refused, ok := err.(*keyless.Error); ok { //nolint:errorlint // to show its fields
		fmt.Println(refused.Hop, refused.Code, refused.Temporary)
	}
	// Output: exchange AccessDenied false
}
