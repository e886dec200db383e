package azhost_test

import (
	"testing"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/azhost"
	"github.com/keyless-id/keyless/internal/sourcetest"
)

const (
	resource = "api://11111111-1111-1111-1111-111111111111"
	hunter2  = "hunter2~&+/=hunter3"
	nowhere  = "http://127.0.0.1:1/msi/token"
)

func TestManagedIdentityKeepsTheContract(t *testing.T) {
	sourcetest.Run(t, sourcetest.Contract{
		New: func(far sourcetest.Far) keyless.TokenSource {
			return azhost.ManagedIdentity{Resource: resource, Endpoint: far.Address, Client: far.Client}
		},
		Local: true,
	})
}

func TestAppServiceKeepsTheContract(t *testing.T) {
	sourcetest.Run(t, sourcetest.Contract{
		New: func(far sourcetest.Far) keyless.TokenSource {
			return azhost.AppService{Resource: resource, Endpoint: nowhere, Header: keyless.NewSecret(hunter2), Client: far.Client}
		},
		Secrets: []string{"hunter2", "hunter3"},
		Local:   true,
	})
}

func TestTheAppServiceOf2017KeepsTheContract(t *testing.T) {
	sourcetest.Run(t, sourcetest.Contract{
		New: func(far sourcetest.Far) keyless.TokenSource {
			return azhost.AppService{Resource: resource, Endpoint: nowhere, Header: keyless.NewSecret(hunter2), Legacy: true, Client: far.Client}
		},
		Secrets: []string{"hunter2", "hunter3"},
		Local:   true,
	})
}

func TestAzureMLKeepsTheContract(t *testing.T) {
	sourcetest.Run(t, sourcetest.Contract{
		New: func(far sourcetest.Far) keyless.TokenSource {
			return azhost.AzureML{Resource: resource, Endpoint: nowhere, Secret: keyless.NewSecret(hunter2), Client: far.Client}
		},
		Secrets: []string{"hunter2", "hunter3"},
		Local:   true,
	})
}

func TestCloudShellKeepsTheContract(t *testing.T) {
	sourcetest.Run(t, sourcetest.Contract{
		New: func(far sourcetest.Far) keyless.TokenSource {
			return azhost.CloudShell{Resource: resource, Endpoint: nowhere, Client: far.Client}
		},
		Local: true,
	})
}

func TestServiceFabricKeepsTheContract(t *testing.T) {
	sourcetest.Run(t, sourcetest.Contract{
		New: func(far sourcetest.Far) keyless.TokenSource {
			return azhost.ServiceFabric{
				Resource: resource, Endpoint: "https://127.0.0.1:1/metadata/identity/oauth2/token", Header: keyless.NewSecret(hunter2),
				Thumbprint: "00112233445566778899AABBCCDDEEFF00112233", Client: far.Client,
			}
		},
		Secrets: []string{"hunter2", "hunter3"},
		Local:   true,
	})
}
