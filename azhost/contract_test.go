package azhost_test

import (
	"testing"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/azhost"
	"github.com/keyless-id/keyless/internal/sourcetest"
)

const resource = "api://11111111-1111-1111-1111-111111111111"

func TestManagedIdentityKeepsTheContract(t *testing.T) {
	sourcetest.Run(t, sourcetest.Contract{
		New: func(far sourcetest.Far) keyless.TokenSource {
			return azhost.ManagedIdentity{Resource: resource, Endpoint: far.Address, Client: far.Client}
		},
		Local: true,
	})
}
