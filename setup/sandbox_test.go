package setup_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awssts"
	"github.com/keyless-id/keyless/azhost"
	"github.com/keyless-id/keyless/entra"
	"github.com/keyless-id/keyless/internal/graph"
	"github.com/keyless-id/keyless/internal/iam"
	"github.com/keyless-id/keyless/sandbox"
	"github.com/keyless-id/keyless/setup"
)

// slowClouds is a sandbox whose parts take a while to know what was made, and its clouds
// as an administrator of both sees them.
func slowClouds(t *testing.T) (*http.Client, setup.Clouds) {
	t.Helper()
	s, err := sandbox.New(sandbox.Demo(), sandbox.Options{Replication: 20 * time.Second, Propagation: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: s.RoundTripper()}
	login := func(audience string) keyless.TokenSource {
		return entra.ClientSecret{
			TenantID: sandbox.DemoTenantID, ClientID: sandbox.DemoAdminClientID, Secret: keyless.NewSecret(sandbox.DemoAdminAppSecret),
			Scope: entra.Scope(audience), Client: client,
		}
	}
	user := keyless.CredentialsProviderFunc(func(context.Context) (keyless.Credentials, error) {
		return keyless.Credentials{AccessKeyID: sandbox.DemoAdminKeyID, SecretAccessKey: keyless.NewSecret(sandbox.DemoAdminSecret)}, nil
	})
	return client, setup.Clouds{
		Amazon: iam.Client{Credentials: user, HTTPClient: client}, Caller: iam.STS{Credentials: user, HTTPClient: client},
		Directory: graph.Client{Source: login(graph.Endpoint), HTTPClient: client}, Resources: graph.ARM{Source: login(graph.ARMEndpoint), HTTPClient: client},
	}
}

func TestSlowCloudsAreWaitedForAndOtherIdentitiesStayOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, clouds := slowClouds(t)
		spec := setup.Spec{Name: "slow", Kind: setup.ManagedIdentity, Identity: sandbox.DemoVMResourceID, Policies: []string{readOnly}}
		state, err := clouds.Observe(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		var waited []string
		applier := setup.Applier{Clouds: clouds, Waiting: func(what string) { waited = append(waited, what) }}
		if state, err = applier.Apply(t.Context(), spec, state); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(waited, "Entra to know the application") || len(waited) > 6 {
			t.Errorf("waited for %q", waited)
		}
		time.Sleep(time.Minute)
		if again, err := clouds.Observe(t.Context(), spec); err != nil || len(setup.Pending(setup.Plan(spec, again))) != 0 {
			t.Errorf("still to do: %+v, %v", setup.Pending(setup.Plan(spec, again)), err)
		}
		use := func(identity string) error {
			source := azhost.ManagedIdentity{Resource: state.App.IdentifierURIs[0], ClientID: identity, Client: client}
			_, err := keyless.Federate(source, awssts.WebIdentity{RoleARN: state.Role.ARN, Audience: state.App.IdentifierURIs[0], Region: "us-east-1", Client: client}).Credentials(t.Context())
			return err
		}
		if err := use(""); err != nil {
			t.Errorf("the workload is refused: %v", err)
		}
		var refused *keyless.Error
		if err := use(sandbox.DemoAssignedClientID); !errors.As(err, &refused) || refused.Code != "AADSTS501051" {
			t.Errorf("another identity: %v", err)
		}
	})
}
