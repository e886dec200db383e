// Command aws-sdk lists a bucket from a host in Azure, with the AWS SDK and without a
// stored key.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awssdk"
	"github.com/keyless-id/keyless/awssts"
	"github.com/keyless-id/keyless/azhost"
)

func main() {
	if err := run(context.Background(), os.Getenv, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "aws-sdk:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, getenv func(string) string, out io.Writer) error {
	// keyless, from here:
	host, err := azhost.Detect(ctx, getenv)
	if err != nil {
		return err
	}
	source, err := host.Source(getenv("AUDIENCE"), azhost.Identity{})
	if err != nil {
		return err
	}
	role := awssts.WebIdentity{RoleARN: getenv("ROLE_ARN"), Region: "us-east-1", Audience: getenv("AUDIENCE"), Endpoint: getenv("AWS_ENDPOINT_URL_STS")}
	credentials := awssdk.NewProvider(keyless.CachedCredentials(keyless.Federate(keyless.Cached(source), role)))
	// to here.

	client := s3.New(s3.Options{Region: "us-east-1", Credentials: credentials, UsePathStyle: true}, func(o *s3.Options) {
		if endpoint := getenv("AWS_ENDPOINT_URL_S3"); endpoint != "" {
			o.BaseEndpoint = aws.String(endpoint)
		}
	})
	list, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String(getenv("BUCKET"))})
	if err != nil {
		return err
	}
	for _, object := range list.Contents {
		fmt.Fprintln(out, aws.ToString(object.Key))
	}
	return nil
}
