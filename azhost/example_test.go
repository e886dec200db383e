package azhost_test

import (
	"context"
	"fmt"
	"log"
	"os"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awssts"
	"github.com/keyless-id/keyless/azhost"
	"github.com/keyless-id/keyless/sandbox"
)

func ExampleDetector() {
	far, err := sandbox.New(sandbox.Demo(), sandbox.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := far.Listen(""); err != nil {
		log.Fatal(err)
	}
	defer far.Close()
	env := map[string]string{"AZURE_POD_IDENTITY_AUTHORITY_HOST": far.URL(sandbox.IMDS)}

	host, err := azhost.Detector{Getenv: func(name string) string { return env[name] }}.Detect(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	source, err := host.Source(sandbox.DemoAudience, azhost.Identity{})
	if err != nil {
		log.Fatal(err)
	}
	token, err := source.Token(context.Background())
	fmt.Println(host.Kind, token.Value, err)
	// Output: managed identity [redacted] <nil>
}

// A program on App Service, in a Function or in a Container App.
func ExampleAppService() {
	source := azhost.AppService{
		Resource: "api://11111111-1111-1111-1111-111111111111",
		Endpoint: os.Getenv("IDENTITY_ENDPOINT"),
		Header:   keyless.NewSecret(os.Getenv("IDENTITY_HEADER")),
	}
	credentials := keyless.CachedCredentials(keyless.Federate(keyless.Cached(source), awssts.WebIdentity{
		RoleARN: "arn:aws:iam::111122223333:role/app", Region: "eu-west-1", Audience: source.Resource,
	}))
	_ = credentials // its Credentials method asks when they are needed
}
