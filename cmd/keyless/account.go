package main

import (
	"cmp"
	"context"
	"net/http"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awshost"
	"github.com/keyless-id/keyless/internal/iam"
	"github.com/keyless-id/keyless/internal/wire"
)

// account is IAM of the AWS account that somebody is signed in to on this machine, in
// whatever way.
func (p *program) account(ctx context.Context) (iam.Client, error) {
	var cloud *http.Client
	if file := p.getenv("AWS_CA_BUNDLE"); file != "" {
		cloud = wire.NewCloud(file)
	}
	found, err := awshost.Detect(ctx, awshost.Host{Getenv: p.getenv, Cloud: cloud})
	if err != nil {
		return iam.Client{}, err
	}
	login := keyless.CachedCredentials(found.Provider)
	sts := iam.STS{Credentials: login, Region: cmp.Or(p.getenv("AWS_REGION"), p.getenv("AWS_DEFAULT_REGION")), Endpoint: p.getenv("AWS_ENDPOINT_URL_STS"), HTTPClient: cloud}
	caller, err := sts.Caller(ctx)
	if err != nil {
		return iam.Client{}, err
	}
	address, region := iam.Endpoint(caller.Partition)
	return iam.Client{Credentials: login, Endpoint: cmp.Or(p.getenv("AWS_ENDPOINT_URL_IAM"), address), Region: region, HTTPClient: cloud}, nil
}
