package interop_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/keyless-id/keyless/sandbox"
)

// stsCaller is a program that finds credentials as its SDK does by default, and asks
// STS who it is: each answer is a line.
type stsCaller struct {
	name     string
	ask      func(t *testing.T, env environment, calls int) result
	oneShot  bool // each call is a process of its own
	bodies   bool // its errors show what an endpoint answers
	silent   bool // its errors do not show what a credential process says
	tokenVar bool // it knows no file with the container's token
	fixedSTS bool // no variable leads its own requests for a role elsewhere
}

// stsCallers are all of them.
func stsCallers() []stsCaller {
	all := []stsCaller{
		{name: "aws-sdk-go-v2", ask: askGo, bodies: true},
		{name: "aws-sdk-js-v3", ask: askJS, silent: true},
	}
	for _, client := range awsClients {
		old := client.name == "debian"
		all = append(all, stsCaller{name: "cli-" + client.name, oneShot: true, tokenVar: old, fixedSTS: old, bodies: true, ask: func(t *testing.T, env environment, _ int) result {
			return run(t, env, client.cli(t), "sts", "get-caller-identity", "--output", "text", "--query", "Arn", "--endpoint-url", env["AWS_ENDPOINT_URL_STS"])
		}}, stsCaller{name: "boto3-" + client.name, tokenVar: old, fixedSTS: old, bodies: true, ask: func(t *testing.T, env environment, calls int) result {
			const script = `
import boto3, os, sys
sts = boto3.client("sts", endpoint_url=os.environ["AWS_ENDPOINT_URL_STS"])
for _ in range(int(sys.argv[1])):
    print(sts.get_caller_identity()["Arn"])
`
			return run(t, env, client.python(t), "-c", script, strconv.Itoa(calls))
		}})
	}
	return all
}

// lasting are those of which one process makes many calls.
func lasting() []stsCaller {
	return slices.DeleteFunc(stsCallers(), func(s stsCaller) bool { return s.oneShot })
}

// goClientCalls says that this test binary is the client in Go, and how many calls it is
// to make.
const goClientCalls = "INTEROP_GO_CLIENT_CALLS"

func askGo(t *testing.T, env environment, calls int) result {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return run(t, env.with(environment{goClientCalls: strconv.Itoa(calls)}), self)
}

func goClient() int {
	ctx := context.Background()
	calls, _ := strconv.Atoi(os.Getenv(goClientCalls))
	found, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	client := sts.NewFromConfig(found, func(o *sts.Options) { o.Retryer = aws.NopRetryer{} })
	for range calls {
		identity, err := client.GetCallerIdentity(ctx, nil)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println(aws.ToString(identity.Arn))
	}
	return 0
}

func askJS(t *testing.T, env environment, calls int) result {
	t.Helper()
	const script = `
const { STSClient, GetCallerIdentityCommand } = require("@aws-sdk/client-sts");
const { fromNodeProviderChain } = require("@aws-sdk/credential-providers");
const sts = new STSClient({ credentials: fromNodeProviderChain(), maxAttempts: 1 });
(async () => {
  for (let i = 0; i < Number(process.argv[1]); i++) {
    console.log((await sts.send(new GetCallerIdentityCommand({}))).Arn);
  }
})().catch((err) => { console.error(String(err)); process.exitCode = 1; });
`
	node, err := exec.LookPath("node")
	if err != nil {
		missing(t, "Node.js", err.Error())
	}
	modules := installed(t, "the AWS SDK for JavaScript", "js/node_modules/@aws-sdk/client-sts")
	env = env.with(environment{"NODE_PATH": filepath.Dir(filepath.Dir(modules))})
	return run(t, env, node, "-e", script, strconv.Itoa(calls))
}

// noCredentials is an environment in which a client finds STS, and nothing to show there.
func noCredentials(t *testing.T, c *cloud) environment {
	t.Helper()
	nowhere := filepath.Join(t.TempDir(), "none")
	return bareEnvironment(t).with(environment{
		"AWS_CONFIG_FILE": nowhere, "AWS_SHARED_CREDENTIALS_FILE": nowhere,
		"AWS_REGION": region, "AWS_DEFAULT_REGION": region,
		"AWS_ENDPOINT_URL_STS": c.URL(sandbox.STS), "AWS_EC2_METADATA_DISABLED": "true",
	})
}

// wantRole fails the test unless each call was one of the role.
func (r result) wantRole(t *testing.T, role string, calls int) {
	t.Helper()
	arn := "arn:aws:sts::" + account + ":assumed-role/" + role + "/"
	if got := strings.Count(r.wantSuccess(t).stdout, arn); got != calls {
		t.Errorf("%d of %d calls were answered to %s: %s", got, calls, arn, r.stdout)
	}
}
