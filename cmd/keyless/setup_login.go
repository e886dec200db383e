package main

import (
	"context"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awshost"
	"github.com/keyless-id/keyless/azhost"
	"github.com/keyless-id/keyless/internal/graph"
	"github.com/keyless-id/keyless/internal/iam"
	"github.com/keyless-id/keyless/profile"
	"github.com/keyless-id/keyless/setup"
)

// clouds are both sides as the logins of az and aws, or a profile, see them.
func (w *wish) clouds(ctx context.Context, spec setup.Spec) (setup.Clouds, error) {
	cloud, err := setup.CloudOf(spec.Cloud)
	if err != nil {
		return setup.Clouds{}, usageError{err}
	}
	directory, err := w.azureLogin(cloud.Graph, spec)
	if err != nil {
		return setup.Clouds{}, err
	}
	resources, err := w.azureLogin(cloud.ARM, spec)
	if err != nil {
		return setup.Clouds{}, err
	}
	login, err := w.awsLogin(ctx)
	if err != nil {
		return setup.Clouds{}, err
	}
	who, err := iam.STS{Credentials: login, Region: spec.Region, Endpoint: w.getenv("AWS_ENDPOINT_URL_STS")}.Caller(ctx)
	if err != nil {
		return setup.Clouds{}, err
	}
	address, region := iam.Endpoint(who.Partition)
	return setup.Clouds{
		Amazon:    iam.Client{Credentials: login, Endpoint: firstOf(w.getenv("AWS_ENDPOINT_URL_IAM"), address), Region: region},
		Caller:    known(who),
		Directory: graph.Client{Source: directory, Endpoint: firstOf(w.graphEndpoint, cloud.Graph)},
		Resources: graph.ARM{Source: resources, Endpoint: firstOf(w.armAddress, cloud.ARM)},
	}, nil
}

// known is a caller that was asked before, because IAM's address depends on it.
type known iam.Caller

func (k known) Caller(context.Context) (iam.Caller, error) { return iam.Caller(k), nil }

// azureLogin is a source of tokens for a service of Azure; it is asked when one is needed.
func (w *wish) azureLogin(audience string, spec setup.Spec) (keyless.TokenSource, error) {
	if w.as == "" {
		return keyless.Cached(azhost.AzureCLI{Resource: audience, TenantID: spec.TenantID, Env: w.environ}), nil
	}
	selected, err := profile.Select(w.as, w.config, nil, w.getenv)
	if err != nil {
		return nil, err
	}
	selected.Audience, selected.Scope, selected.AWS = audience, "", nil
	built, err := selected.Build(w.getenv)
	if err != nil {
		return nil, err
	}
	return keyless.Cached(built.Source), nil
}

// awsLogin is the profile's role if it has one, and otherwise what the AWS CLI would use.
func (w *wish) awsLogin(ctx context.Context) (keyless.CredentialsProvider, error) {
	if w.as != "" {
		selected, err := profile.Select(w.as, w.config, nil, w.getenv)
		if err != nil {
			return nil, err
		}
		built, err := selected.Build(w.getenv)
		if err != nil {
			return nil, err
		}
		if built.Exchanger != nil {
			return keyless.CachedCredentials(keyless.Federate(built.Source, built.Exchanger)), nil
		}
	}
	found, err := awshost.Detect(ctx, awshost.Host{Getenv: w.getenv})
	if err != nil {
		return nil, err
	}
	return keyless.CachedCredentials(found.Provider), nil
}
