package awshost_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awshost"
	"github.com/keyless-id/keyless/internal/sourcetest"
)

// credentialsJSON is what either endpoint answers.
func credentialsJSON() string {
	return fmt.Sprintf(`{"Code":"Success","AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"canary-secret","Token":"canary-token","Expiration":%q,"AccountId":"123456789012"}`,
		time.Now().Add(6*time.Hour).UTC().Format(time.RFC3339))
}

// asSource lets a provider be held to the contract of sources: what it brings is a
// secret with times, too.
func asSource(p keyless.CredentialsProvider) keyless.TokenSource {
	return keyless.TokenSourceFunc(func(ctx context.Context) (keyless.Token, error) {
		c, err := p.Credentials(ctx)
		return keyless.Token{Value: c.SecretAccessKey, Obtained: c.Obtained, Expiry: c.Expiry}, err
	})
}

func TestContainerKeepsTheContract(t *testing.T) {
	sourcetest.Run(t, sourcetest.Contract{
		New: func(far sourcetest.Far) keyless.TokenSource {
			return asSource(awshost.Container{RelativeURI: "/v2/credentials/hunter3", Token: keyless.NewSecret("hunter2 x"), Client: far.Client})
		},
		Secrets: []string{"hunter2"},
		Local:   true,
		Answer: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, credentialsJSON())
		}),
	})
}

func TestInstanceMetadataKeepsTheContract(t *testing.T) {
	sourcetest.Run(t, sourcetest.Contract{
		New: func(far sourcetest.Far) keyless.TokenSource {
			return asSource(awshost.InstanceMetadata{Endpoint: far.Address, Client: far.Client})
		},
		Cold:  3,
		Local: true,
		Answer: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodPut:
				fmt.Fprint(w, "a-session-of-version-2")
			case strings.HasSuffix(r.URL.Path, "/security-credentials/"):
				fmt.Fprint(w, "role-of-the-instance\n")
			default:
				fmt.Fprint(w, credentialsJSON())
			}
		}),
	})
}
