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

// cloudsOf are the clouds of a world as an administrator of both sees them.
func cloudsOf(t *testing.T, world sandbox.World, options sandbox.Options) (*http.Client, setup.Clouds) {
	t.Helper()
	s, err := sandbox.New(world, options)
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

// use goes the way that was made, as an identity of the host; "" is its own.
func use(t *testing.T, client *http.Client, state setup.State, identity string) error {
	t.Helper()
	uri := state.App.IdentifierURIs[0]
	source := azhost.ManagedIdentity{Resource: uri, ClientID: identity, Client: client}
	_, err := keyless.Federate(source, awssts.WebIdentity{RoleARN: state.Role.ARN, Audience: uri, Region: "us-east-1", Client: client}).Credentials(t.Context())
	return err
}

func TestSlowCloudsAreWaitedForAndOtherIdentitiesStayOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, clouds := cloudsOf(t, sandbox.Demo(), sandbox.Options{Replication: 20 * time.Second, Propagation: 30 * time.Second})
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
		if err := use(t, client, state, ""); err != nil {
			t.Errorf("the workload is refused: %v", err)
		}
		var refused *keyless.Error
		if err := use(t, client, state, sandbox.DemoAssignedClientID); !errors.As(err, &refused) || refused.Code != "AADSTS501051" {
			t.Errorf("another identity: %v", err)
		}
	})
}

// Whatever has an identity from the system is named by its resource id: what is pinned is
// that identity, and no other of the host.
func TestEveryKindOfHostIsFoundByItsResourceID(t *testing.T) {
	const group = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/demo/providers/"
	for _, resource := range []string{
		"Microsoft.HybridCompute/machines/server", "Microsoft.Web/sites/app", "Microsoft.Web/sites/app/slots/staging", "Microsoft.App/containerApps/app",
		"Microsoft.Compute/virtualMachineScaleSets/agents", "Microsoft.ContainerInstance/containerGroups/job",
	} {
		t.Run(resource, func(t *testing.T) {
			world := sandbox.Demo()
			identities := world.Tenants[0].Identities
			host := slices.IndexFunc(identities, func(m sandbox.ManagedIdentity) bool { return m.SystemAssigned })
			identities[host].ResourceID = group + resource
			client, clouds := cloudsOf(t, world, sandbox.Options{})
			spec := setup.Spec{Name: "host", Kind: setup.ManagedIdentity, Identity: group + resource}
			state, err := clouds.Observe(t.Context(), spec)
			if err != nil {
				t.Fatal(err)
			}
			if state, err = (setup.Applier{Clouds: clouds}).Apply(t.Context(), spec, state); err != nil {
				t.Fatal(err)
			}
			if err := use(t, client, state, ""); err != nil {
				t.Errorf("the host is refused: %v", err)
			}
			if use(t, client, state, sandbox.DemoAssignedClientID) == nil {
				t.Error("another identity of the host gets in")
			}
			if _, err := clouds.Observe(t.Context(), setup.Spec{Name: "host", Kind: setup.ManagedIdentity, Identity: group + resource + "2"}); err == nil {
				t.Error("a host that is not there is found")
			}
		})
	}
}
