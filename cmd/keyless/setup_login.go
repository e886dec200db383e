package main

import (
	"cmp"
	"context"

	keyless "github.com/keyless-id/keyless"
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
	login, err := w.login(ctx)
	if err != nil {
		return setup.Clouds{}, err
	}
	amazon, who, err := w.accountOf(ctx, login, spec.Region)
	if err != nil {
		return setup.Clouds{}, err
	}
	return setup.Clouds{
		Amazon:    amazon,
		Caller:    known(who),
		Directory: graph.Client{Source: directory, Endpoint: cmp.Or(w.graphEndpoint, cloud.Graph)},
		Resources: graph.ARM{Source: resources, Endpoint: cmp.Or(w.armAddress, cloud.ARM)},
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

// login is the profile's role if it has one, and otherwise who is signed in to AWS.
func (w *wish) login(ctx context.Context) (keyless.CredentialsProvider, error) {
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
	return w.awsLogin(ctx)
}
