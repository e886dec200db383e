// Command azure-sdk reads from an API that Entra guards, from a workload in AWS, with the
// Azure SDK and without a stored secret.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awshost"
	"github.com/keyless-id/keyless/awssts"
	"github.com/keyless-id/keyless/azsdk"
	"github.com/keyless-id/keyless/entra"
)

func main() {
	if err := run(context.Background(), os.Getenv, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "azure-sdk:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, getenv func(string) string, out io.Writer) error {
	// keyless, from here:
	host, err := awshost.Detect(ctx, awshost.Host{Getenv: getenv})
	if err != nil {
		return err
	}
	credential := azsdk.NewCredential(func(audience string) keyless.TokenSource {
		return entra.Assertion{
			TenantID: getenv("AZURE_TENANT_ID"), ClientID: getenv("AZURE_CLIENT_ID"), Authority: getenv("AZURE_AUTHORITY_HOST"), Scope: entra.Scope(audience),
			Source: awssts.GetWebIdentityToken{Credentials: host.Provider, Region: "eu-west-1", Endpoint: getenv("AWS_ENDPOINT_URL_STS")},
		}
	})
	// to here.

	pipeline := runtime.NewPipeline("example", "v1", runtime.PipelineOptions{
		PerRetry: []policy.Policy{runtime.NewBearerTokenPolicy(credential, []string{getenv("AUDIENCE") + "/.default"}, nil)},
	}, &policy.ClientOptions{})
	return get(ctx, pipeline, getenv("API_URL"), out)
}

func get(ctx context.Context, pipeline runtime.Pipeline, address string, out io.Writer) error {
	request, err := runtime.NewRequest(ctx, http.MethodGet, address)
	if err != nil {
		return err
	}
	answer, err := pipeline.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if !runtime.HasStatusCode(answer, http.StatusOK) {
		return &azcore.ResponseError{StatusCode: answer.StatusCode, RawResponse: answer}
	}
	_, err = io.Copy(out, answer.Body)
	return err
}
