package awshost_test

import (
	"context"
	"fmt"
	"net/http"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awshost"
	"github.com/keyless-id/keyless/awssts"
	"github.com/keyless-id/keyless/entra"
	"github.com/keyless-id/keyless/sandbox"
)

// A program on an EC2 instance becomes an application in Entra. Here both clouds are
// played by the sandbox, in process; leave Client out for the real ones.
func ExampleDetect() {
	world := sandbox.Demo()
	world.Host.RoleARN = sandbox.DemoRoleARN
	world.Accounts[0].OutboundIssuer = outboundIssuer
	world.Tenants[0].Apps[2].FederatedCredentials = []sandbox.FIC{{Issuer: outboundIssuer, Subject: sandbox.DemoRoleARN, Audience: sandbox.ExchangeAudience}}
	clouds, err := sandbox.New(world, sandbox.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: clouds.RoundTripper()}

	host, err := awshost.Detect(context.Background(), awshost.Host{Getenv: func(string) string { return "" }, Client: client})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(host.Name, host.Why)
	source := keyless.Cached(entra.Assertion{
		TenantID: sandbox.DemoTenantID, ClientID: sandbox.DemoAppClientID, Scope: entra.Scope(sandbox.DemoAudience),
		Source: awssts.GetWebIdentityToken{Credentials: host.Provider, Region: "eu-west-1", Client: client},
		Client: client,
	})
	token, err := source.Token(context.Background())
	fmt.Println(token.Value, err)
	// Output:
	// instance metadata http://169.254.169.254
	// [redacted] <nil>
}
