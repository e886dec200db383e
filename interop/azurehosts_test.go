package interop_test

import (
	"crypto/tls"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azcloud "github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/keyless-id/keyless/sandbox"
)

// arcTokens is the only folder in which azidentity looks for challenge files.
const arcTokens = "/var/opt/azcmagent/tokens"

// host is a sandbox whose environment this process has. Its API has a name of its
// own, because azidentity keeps the tokens of all managed identities of a process
// in one place.
func host(t *testing.T, kind sandbox.HostKind) (s *sandbox.Sandbox, api string, options azcore.ClientOptions) {
	t.Helper()
	world := sandbox.Demo()
	api = "api://" + strings.ReplaceAll(string(kind), " ", "-")
	world.Tenants[0].Apps[0].AppIDURI = api
	s, err := sandbox.New(world, sandbox.Options{ArcTokenDir: arcTokens})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	env, err := s.HostEnv(kind, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv(name, value)
	}
	// Service Fabric's certificate and the sandbox's CA are pinned elsewhere.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	return s, api, azcore.ClientOptions{
		Cloud:     azcloud.Configuration{ActiveDirectoryAuthorityHost: s.TLSURL(sandbox.Entra) + "/"},
		Retry:     policy.RetryOptions{MaxRetries: -1},
		Transport: &http.Client{Transport: transport},
	}
}

func TestAzidentityTakesTheSandboxForTheHostsItKnows(t *testing.T) {
	for kind, choose := range map[sandbox.HostKind]azidentity.ManagedIDKind{
		sandbox.HostAppService:    azidentity.ClientID(sandbox.DemoAssignedClientID),
		sandbox.HostAzureML:       azidentity.ClientID(sandbox.DemoAssignedClientID),
		sandbox.HostCloudShell:    nil,
		sandbox.HostServiceFabric: nil,
	} {
		t.Run(string(kind), func(t *testing.T) {
			s, api, options := host(t, kind)
			credential, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ClientOptions: options, ID: choose})
			if err != nil {
				t.Fatal(err)
			}
			token, err := getToken(t, credential, api)
			if err != nil || strings.Count(token.Token, ".") != 2 || s.Requests(sandbox.AppService) != 1 {
				t.Errorf("%v, %d requests", err, s.Requests(sandbox.AppService))
			}
			if _, err := getToken(t, credential, "api://nobody"); err == nil {
				t.Error("a token for a resource that does not exist")
			}
		})
	}
}

func TestAzidentityTakesTheSandboxForACluster(t *testing.T) {
	s, api, options := host(t, sandbox.HostAKS)
	credential, err := azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	if err != nil {
		t.Fatal(err)
	}
	if token, err := getToken(t, credential, api); err != nil || strings.Count(token.Token, ".") != 2 || s.Requests(sandbox.Entra) != 1 {
		t.Errorf("%v, %d requests", err, s.Requests(sandbox.Entra))
	}
	if _, err := getToken(t, credential, "api://nobody"); err == nil {
		t.Error("a token for a resource that does not exist")
	}
}

// azidentity reads the agent's own folder and no other.
func TestAzidentityTakesTheSandboxForAzureArc(t *testing.T) {
	if !withArcTokens(t) {
		return
	}
	s, api, options := host(t, sandbox.HostArc)
	for _, choose := range []azidentity.ManagedIDKind{nil, azidentity.ClientID(sandbox.DemoAssignedClientID)} {
		credential, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ClientOptions: options, ID: choose})
		if err != nil {
			t.Fatal(err)
		}
		if token, err := getToken(t, credential, api); err != nil || strings.Count(token.Token, ".") != 2 {
			t.Errorf("%v, %d requests", err, s.Requests(sandbox.Arc))
		}
		if _, err := getToken(t, credential, "api://nobody"); err == nil {
			t.Error("a token for a resource that does not exist")
		}
	}
}

// withArcTokens reports whether there is a folder for the agent's keys. A test makes
// nothing outside of its own folder, so the test is run once more, in a mount namespace that
// has one; here it has passed if it did there.
func withArcTokens(t *testing.T) bool {
	t.Helper()
	if os.Getenv("INTEROP_ARC") != "" {
		return true
	}
	if out, err := exec.Command("unshare", "-rm", "true").CombinedOutput(); err != nil {
		missing(t, "a mount namespace", string(out)+err.Error())
	}
	again := exec.Command("unshare", "-rm", "sh", "-c",
		`mount -t tmpfs none /var/opt && mkdir -p "$1" && exec "$0" -test.run="^$2\$" -test.v`, os.Args[0], arcTokens, t.Name())
	again.Env = append(os.Environ(), "INTEROP_ARC=1")
	if out, err := again.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in the namespace: %v\n%s", err, out)
	}
	return false
}
