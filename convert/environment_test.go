package convert

import (
	"errors"
	"strings"
	"testing"

	"github.com/keyless-id/keyless/profile"
)

const proxyEnvironment = "TARGET_HOST=https://x.example.com\nAUDIENCE=api://x\nIDENTITY_TYPE=aadapplication\nAAD_CLIENT_ID=a\nAAD_TENANT_ID=t\nAAD_CLIENT_CERTIFICATE_PATH=/c.pem\nLISTENING_PORT=8081\n"

const sidecarEnvironment = "INGESTION_URL=https://x.example.com/w\nLISTENING_PORT=8081\nIDENTITY_TYPE=aadApplication\nAZURE_CLIENT_ID=a\nAZURE_TENANT_ID=t\nAZURE_CLIENT_CERTIFICATE_PATH=/c.pem\n"

// What is missing, or makes no sense, is named; with everything in place nothing is wrong.
func TestAnIncompleteEnvironmentIsNamed(t *testing.T) {
	for _, c := range []struct{ environment, change, want string }{
		{proxyEnvironment, "", ""},
		{proxyEnvironment, "LISTENING_PORT=", "LISTENING_PORT: is not set"},
		{proxyEnvironment, "LISTENING_PORT=0", "LISTENING_PORT: is no port"},
		{proxyEnvironment, "LISTENING_PORT=65536", "LISTENING_PORT: is no port"},
		{proxyEnvironment, "LISTENING_PORT=:8081", "LISTENING_PORT: is no port"},
		{proxyEnvironment, "TARGET_HOST=x.example.com/api", "TARGET_HOST: is no host"},
		{proxyEnvironment, "TARGET_HOST=https://u:hunter2@x.example.com", "TARGET_HOST: is no host"},
		{proxyEnvironment, "TARGET_HOST=https://", "TARGET_HOST: is no host"},
		{proxyEnvironment, "AUDIENCE=", "AUDIENCE: is not set"},
		{proxyEnvironment, "AAD_CLIENT_ID=", "AAD_CLIENT_ID: is not set"},
		{proxyEnvironment, "AAD_TENANT_ID=", "AAD_TENANT_ID: is not set"},
		{proxyEnvironment, "AAD_CLIENT_CERTIFICATE_PATH=", "AAD_CLIENT_CERTIFICATE_PATH: is not set"},
		{proxyEnvironment, "IDENTITY_TYPE=userAssigned\nAAD_CLIENT_ID=", "AAD_CLIENT_ID: is not set"},
		{proxyEnvironment, "IDENTITY_TYPE=systemAssigned\nAAD_CLIENT_ID=", ""},
		{proxyEnvironment, "IDENTITY_TYPE=\nAAD_CLIENT_ID=", ""},
		{proxyEnvironment, "INGESTION_URL=https://x", "TARGET_HOST: is set beside INGESTION_URL"},
		{sidecarEnvironment, "", ""},
		{sidecarEnvironment, "LISTENING_PORT=", "LISTENING_PORT: is not set"},
		{sidecarEnvironment, "INGESTION_URL=http://u:hunter2@x.example.com", `INGESTION_URL: upstream: host "x.example.com" must be asked over https; plain http is for loopback only`},
		{sidecarEnvironment, "INGESTION_URL=http://127.0.0.1:9090/write", ""},
		{sidecarEnvironment, "INGESTION_URL=hunter2", "INGESTION_URL: is no address"},
		{sidecarEnvironment, "IDENTITY_TYPE=", "IDENTITY_TYPE: is not set"},
		{sidecarEnvironment, "IDENTITY_TYPE=systemAssigned", "IDENTITY_TYPE: is not known"},
		{sidecarEnvironment, "AZURE_CLIENT_ID=", "AZURE_CLIENT_ID: is not set"},
		{sidecarEnvironment, "AZURE_TENANT_ID=", "AZURE_TENANT_ID: is not set"},
		{sidecarEnvironment, "AZURE_CLIENT_CERTIFICATE_PATH=", "AZURE_CLIENT_CERTIFICATE_PATH: is not set"},
		{sidecarEnvironment, "IDENTITY_TYPE=userAssigned\nAZURE_CLIENT_ID=", "AZURE_CLIENT_ID: is not set"},
		{sidecarEnvironment, "IDENTITY_TYPE=workloadIdentity", "AZURE_FEDERATED_TOKEN_FILE: is not set"},
		{sidecarEnvironment, "CLOUD=AZUREMARS", "CLOUD: names a cloud that is not known here"},
		{sidecarEnvironment, "CLOUD=AZURE_CHINA", ""},
		{sidecarEnvironment, "CLOUD=AZURECUSTOM", "INGESTION_AAD_AUDIENCE: is not set, and CLOUD is AZURECUSTOM"},
	} {
		_, known, err := Environment(environment(c.environment + c.change))
		switch {
		case !known:
			t.Errorf("%q: not known", c.change)
		case c.want == "" && err != nil, c.want != "" && (err == nil || err.Error() != c.want || strings.Contains(err.Error(), "hunter2")):
			t.Errorf("%q: %v, want %q", c.change, err, c.want)
		}
		if wrong := new(profile.Error); err != nil && !errors.As(err, &wrong) {
			t.Errorf("%q: %T", c.change, err)
		}
	}
}

func TestAnEnvironmentOfNoSidecarIsNone(t *testing.T) {
	if result, known, err := Environment(environment("LISTENING_PORT=8081\nIDENTITY_TYPE=userAssigned\n")); known || err != nil || result.Config != nil {
		t.Errorf("%v, %v, %q", known, err, result.Config)
	}
}
