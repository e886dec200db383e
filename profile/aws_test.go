package profile

import (
	"strings"
	"testing"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/sandbox"
)

const workloadFile = `
profiles:
  any:
    source:
      aws: { tenant_id: ` + sandbox.DemoTenantID + `, client_id: ` + sandbox.DemoAppClientID + `, region: eu-west-1 }
    audience: ` + sandbox.DemoAudience + `
    ca_file: CA
`

// workloadWorld is the demo where the application trusts the role of the host in AWS.
func workloadWorld(subject string) sandbox.World {
	const issuer = "https://c0ffee00-0000-4000-8000-0000000000ff.tokens.sts.global.api.aws"
	world := sandbox.Demo()
	world.Host.RoleARN, world.Host.ContainerToken = sandbox.DemoRoleARN, "hunter2-of-the-container"
	world.Accounts[0].OutboundIssuer = issuer
	app := &world.Tenants[0].Apps[2]
	app.FederatedCredentials = append(app.FederatedCredentials, sandbox.FIC{Issuer: issuer, Subject: subject, Audience: sandbox.ExchangeAudience})
	return world
}

func TestAWorkloadInAWSBecomesAnApplication(t *testing.T) {
	for trusted, allowed := range map[string]bool{sandbox.DemoRoleARN: true, sandbox.DemoVMRoleARN: false} {
		s, ca := listening(t, workloadWorld(trusted))
		common := []string{"AZURE_AUTHORITY_HOST", s.URL(sandbox.Entra), "AWS_ENDPOINT_URL_STS", s.URL(sandbox.STS)}
		path := write(t, strings.Replace(workloadFile, "CA", ca, 1))
		for host, environ := range map[string][]string{
			"container (AWS_CONTAINER_CREDENTIALS_FULL_URI)": {"AWS_CONTAINER_CREDENTIALS_FULL_URI", s.URL(sandbox.Container) + "/v2/credentials", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "hunter2-of-the-container"},
			"instance metadata (" + s.URL(sandbox.EC2) + ")": {"AWS_EC2_METADATA_SERVICE_ENDPOINT", s.URL(sandbox.EC2)},
		} {
			built := buildAny(t, path, env(append(environ, common...)...))
			if got, err := built.Found(t.Context()); err != nil || got != host {
				t.Errorf("found %q, %v, want %q", got, err, host)
			}
			got, err := subject(t, built)
			if allowed && (err != nil || got != sandbox.DemoAppObjectID) {
				t.Errorf("%s: %v, subject %q", host, err, got)
			}
			if !allowed && (err == nil || !strings.Contains(err.Error(), "AADSTS700213") || strings.Contains(err.Error(), "hunter2")) {
				t.Errorf("%s: %v", host, err)
			}
		}
	}
}

func TestAWorkloadWithoutCredentialsOfAWS(t *testing.T) {
	t.Setenv("PATH", "")
	path := write(t, strings.Replace(workloadFile, "    ca_file: CA\n", "", 1))
	built := buildAny(t, path, env("AWS_EC2_METADATA_DISABLED", "true"))
	if _, err := subject(t, built); err == nil || keyless.IsTemporary(err) || !strings.Contains(err.Error(), "NoAWSCredentials") {
		t.Errorf("%v", err)
	}
	if _, err := built.Found(t.Context()); err == nil {
		t.Error("something was found")
	}
}

func TestAWorkloadInAWSIsDescribedInFull(t *testing.T) {
	file := strings.Replace(workloadFile, "    ca_file: CA\n", "", 1)
	for change, want := range map[string]string{
		"tenant_id: " + sandbox.DemoTenantID + ", ":                      "source.aws.tenant_id: is missing",
		"client_id: " + sandbox.DemoAppClientID + ", ":                   "source.aws.client_id: is missing",
		"region: eu-west-1=>region: 'not a region'":                      "source.aws",
		"region: eu-west-1=>sts_endpoint: 'https://sts.amazonaws.com'":   "the global endpoint does not issue tokens",
		"region: eu-west-1=>cloud: usgov, authority_host: 'https://a.b'": "stands beside cloud",
		"region: eu-west-1=>cloud: mars":                                 "cloud",
	} {
		from, to, _ := strings.Cut(change, "=>")
		selected, err := Select("any", write(t, strings.Replace(file, from, to, 1)), nil, env())
		if err == nil {
			_, err = selected.Build(env())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", change, err, want)
		}
	}
}

// The audience of federated credentials is each cloud's own.
func TestTheAudienceIsTheClouds(t *testing.T) {
	file := strings.Replace(workloadFile, "    ca_file: CA\n", "", 1)
	for cloud, want := range map[string]string{"public": "api://AzureADTokenExchange", "AzureUSGovernment": "api://AzureADTokenExchangeUSGov", "china": "api://AzureADTokenExchangeChina"} {
		built := buildAny(t, write(t, strings.Replace(file, "region: eu-west-1", "cloud: "+cloud, 1)), env())
		if got := built.Source.(inAWS).token.Audience; got != want {
			t.Errorf("%s: %q, want %q", cloud, got, want)
		}
	}
}
