package interop_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/keyless-id/keyless/sandbox"
)

// Programs that know nothing of the sandbox run inside of it, and go to the true names
// and addresses of the clouds.

// isolated runs a program in the isolated sandbox, with nothing else in its environment.
func isolated(t *testing.T, host, program string, args ...string) result {
	t.Helper()
	needNamespaces(t)
	return run(t, bareEnvironment(t).with(environment{"TMPDIR": t.TempDir()}), keyless(t),
		append([]string{"sandbox", "exec", "--isolated", "--host", host, "--", program}, args...)...)
}

func needNamespaces(t *testing.T) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "unshare", "-rmn", "true").CombinedOutput(); err != nil {
		missing(t, "a network namespace", string(out)+err.Error())
	}
}

// insideMark says that this test binary is the program inside.
const insideMark = "INTEROP_INSIDE"

func TestAzidentitysDefaultCredentialIsAtHomeInIsolation(t *testing.T) {
	if os.Getenv(insideMark) != "" {
		defaultCredential(t)
		return
	}
	for _, host := range []string{"vm", "app-service", "aks", "arc"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			got := isolated(t, host, "/usr/bin/env", insideMark+"=1", os.Args[0], "-test.v", "-test.run", "^"+strings.Split(t.Name(), "/")[0]+"$")
			if got.code != 0 || !strings.Contains(got.stdout, "--- PASS: ") || strings.Contains(got.stdout, "--- SKIP") {
				t.Errorf("%+v", got)
			}
		})
	}
}

// defaultCredential is a program with no option set.
func defaultCredential(t *testing.T) {
	t.Helper()
	credential, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	token, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{sandbox.DemoAudience + "/.default"}})
	if err != nil || strings.Count(token.Token, ".") != 2 {
		t.Errorf("%v", err)
	}
	if _, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"api://nobody/.default"}}); err == nil {
		t.Error("a token for a resource that does not exist")
	}
}

func TestNothingLeavesTheIsolatedSandbox(t *testing.T) {
	if os.Getenv(insideMark) == "" {
		got := isolated(t, "vm", "/usr/bin/env", insideMark+"=1", os.Args[0], "-test.v", "-test.run", "^"+t.Name()+"$")
		if got.code != 0 || !strings.Contains(got.stdout, "--- PASS: ") {
			t.Errorf("%+v", got)
		}
		return
	}
	dialer := net.Dialer{Timeout: 10 * time.Second}
	for _, address := range []string{"192.0.2.1:443", "[2001:db8::1]:443", "8.8.8.8:53", "168.63.129.16:80"} {
		if connection, err := dialer.DialContext(t.Context(), "tcp", address); err == nil {
			_ = connection.Close()
			t.Errorf("%s answers", address)
		}
	}
	var unknown *net.DNSError
	if _, err := net.DefaultResolver.LookupHost(t.Context(), "example.com"); !errors.As(err, &unknown) || !unknown.IsNotFound {
		t.Errorf("example.com: %v", err)
	}
	for _, name := range []string{"login.microsoftonline.com", "sts.eu-central-1.amazonaws.com", "bucket.s3.dualstack.us-east-1.amazonaws.com", "x.eastus-1.ingest.monitor.azure.com"} {
		if got, err := net.DefaultResolver.LookupHost(t.Context(), name); err != nil || len(got) != 1 || got[0] != "127.0.0.1" {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// On a host in AWS the clients find its role by themselves; on a host in Azure they
// need a profile, which asks keyless.
func TestAWSClientsAreAtHomeInIsolation(t *testing.T) {
	const script = `
import boto3
print(boto3.client("sts").get_caller_identity()["Arn"])
print([o["Key"] for o in boto3.client("s3").list_objects_v2(Bucket="` + sandbox.DemoBucket + `")["Contents"]])
`
	for host, role := range map[string]string{"ec2": "keyless-demo-host", "container": "keyless-demo-host", "vm": "keyless-demo/"} {
		for _, client := range awsClients {
			t.Run(host+"/"+client.name, func(t *testing.T) {
				t.Parallel()
				cli := client.cli(t)
				identity := isolated(t, host, cli, "sts", "get-caller-identity", "--query", "Arn").wantSuccess(t)
				listing := isolated(t, host, cli, "s3", "ls", "s3://"+sandbox.DemoBucket).wantSuccess(t)
				if !strings.Contains(identity.stdout, role) || !strings.Contains(listing.stdout, "hello.txt") {
					t.Errorf("%s\n%s", identity.stdout, listing.stdout)
				}
				python := isolated(t, host, client.python(t), "-c", script).wantSuccess(t)
				if !strings.Contains(python.stdout, role) || !strings.Contains(python.stdout, "hello.txt") {
					t.Error(python.stdout)
				}
				if refused := isolated(t, "vm", cli, "s3", "ls", "--profile", "stranger"); refused.code == 0 || !strings.Contains(refused.stderr, "AccessDenied") {
					t.Errorf("%+v", refused)
				}
			})
		}
	}
}

// An isolated sandbox is for users without privileges, too.
func TestNobodyCanBeIsolated(t *testing.T) {
	needNamespaces(t)
	if os.Geteuid() != 0 {
		t.Skip("the other tests run as such a user already")
	}
	program := filepath.Join("/tmp", "keyless-of-nobody-"+filepath.Base(t.TempDir()))
	data, err := os.ReadFile(keyless(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, data, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(program) })
	got := run(t, environment{"PATH": "/usr/bin:/bin"}, "/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
		program, "sandbox", "exec", "--isolated", "--host", "arc", "--", "sh", "-c", "id -u && "+program+" token server --claims").wantSuccess(t)
	if !strings.HasPrefix(got.stdout, "65534\n") || !strings.Contains(got.stdout, sandbox.DemoVMObjectID) {
		t.Error(got.stdout)
	}
}

func TestTheAzureCLISignsInInIsolation(t *testing.T) {
	az := azureCLI(t)
	const login = ` login --identity --output none && `
	token := isolated(t, "vm", "sh", "-c", az+login+az+" account get-access-token --output tsv --query accessToken --resource "+sandbox.DemoAudience).wantSuccess(t)
	if strings.Count(token.stdout, ".") != 2 {
		t.Errorf("%+v", token)
	}
	// And keyless asks it who is signed in.
	claims := isolated(t, "vm", "sh", "-c", az+login+keyless(t)+" token --source azure_cli --audience "+sandbox.DemoAudience+" --claims").wantSuccess(t)
	if !strings.Contains(claims.stdout, sandbox.DemoVMObjectID) {
		t.Errorf("%+v", claims)
	}
	if refused := isolated(t, "vm", keyless(t), "token", "--source", "azure_cli", "--audience", sandbox.DemoAudience); refused.code != 3 || !strings.Contains(refused.stderr, "NotSignedIn") {
		t.Errorf("%+v", refused)
	}
}
