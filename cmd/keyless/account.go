package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awshost"
	"github.com/keyless-id/keyless/internal/iam"
	"github.com/keyless-id/keyless/internal/wire"
)

// account is IAM of the AWS account that somebody is signed in to on this machine, in
// whatever way.
func (p *program) account(ctx context.Context) (iam.Client, error) {
	login, err := p.awsLogin(ctx)
	if err != nil {
		return iam.Client{}, err
	}
	client, _, err := p.accountOf(ctx, login, "")
	return client, err
}

// awsLogin is who is signed in to AWS on this machine.
func (p *program) awsLogin(ctx context.Context) (keyless.CredentialsProvider, error) {
	found, err := awshost.Detect(ctx, awshost.Host{Getenv: p.getenv, Cloud: p.awsClient()})
	if err != nil {
		return nil, err
	}
	return keyless.CachedCredentials(found.Provider), nil
}

// accountOf is IAM of the account that a login is for, and who that is. STS is asked in the
// region, or that of the environment.
func (p *program) accountOf(ctx context.Context, login keyless.CredentialsProvider, region string) (iam.Client, iam.Caller, error) {
	sts := iam.STS{
		Credentials: login, Region: cmp.Or(region, p.getenv("AWS_REGION"), p.getenv("AWS_DEFAULT_REGION")),
		Endpoint: p.getenv("AWS_ENDPOINT_URL_STS"), HTTPClient: p.awsClient(),
	}
	caller, err := sts.Caller(ctx)
	if err != nil {
		return iam.Client{}, caller, err
	}
	address, signed := iam.Endpoint(caller.Partition)
	if address = cmp.Or(p.getenv("AWS_ENDPOINT_URL_IAM"), address); address == "" {
		return iam.Client{}, caller, usageError{fmt.Errorf("partition %s: where its IAM is, is not known; set AWS_ENDPOINT_URL_IAM", caller.Partition)}
	}
	return iam.Client{Credentials: login, Endpoint: address, Region: signed, HTTPClient: p.awsClient()}, caller, nil
}

// awsClient trusts what AWS's own variable says; nil: what the system does.
func (p *program) awsClient() *http.Client {
	if file := p.getenv("AWS_CA_BUNDLE"); file != "" {
		return wire.NewCloud(file)
	}
	return nil
}
