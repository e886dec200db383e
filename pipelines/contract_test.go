package pipelines_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/sourcetest"
	"github.com/keyless-id/keyless/pipelines"
)

const (
	accessToken    = "hunter2.hunter3~x"
	tenantID       = "22222222-2222-2222-2222-222222222222"
	organizationID = "44444444-4444-4444-4444-444444444444"
	connectionID   = "55555555-5555-5555-5555-555555555555"
	path           = "/org/66666666-6666-6666-6666-666666666666/_apis/distributedtask/hubs/build/plans/77777777-7777-7777-7777-777777777777/jobs/88888888-8888-8888-8888-888888888888/oidctoken"
)

// jwt is not signed by anybody.
func jwt(claims map[string]any) string {
	encode := func(value any) string {
		text, err := json.Marshal(value)
		if err != nil {
			panic(err) // maps of plain values always encode
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	return encode(map[string]string{"alg": "RS256"}) + "." + encode(claims) + ".c2ln"
}

func vstoken(subject string) string {
	return jwt(map[string]any{"iss": "https://vstoken.dev.azure.com/" + organizationID, "sub": subject, "aud": pipelines.ExchangeAudience, "exp": time.Now().Add(5 * time.Minute).Unix()})
}

func says(token string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"oidcToken": token})
	})
}

func TestJobKeepsTheContract(t *testing.T) {
	sourcetest.Run(t, sourcetest.Contract{
		New: func(far sourcetest.Far) keyless.TokenSource {
			base := far.Address
			if base == "" {
				base = "https://dev.azure.com"
			}
			return pipelines.Job{RequestURI: base + path, AccessToken: keyless.NewSecret(accessToken), ServiceConnectionID: connectionID, Client: far.Client}
		},
		Secrets: []string{"hunter2", "hunter3"},
		Answer: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			says(vstoken("sc://org/project/aws")).ServeHTTP(w, r)
		}),
	})
}
