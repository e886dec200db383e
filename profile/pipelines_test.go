package profile

import (
	"strings"
	"testing"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/pipelines"
	"github.com/keyless-id/keyless/sandbox"
)

const (
	jobPath      = "/org/p/_apis/distributedtask/hubs/build/plans/1/jobs/2/oidctoken"
	connectionID = "55555555-5555-5555-5555-555555555555"
	pipelineFile = `
profiles:
  job:
    source:
      azure_pipelines: { service_connection_id: ` + connectionID + ` }
    aws: { role_arn: "arn:aws:iam::111122223333:role/job", region: eu-west-1 }
`
)

// jobWorld is the demo with one job, whose connection the role trusts.
func jobWorld(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	w := sandbox.Demo()
	const organizationID = "44444444-4444-4444-4444-444444444444"
	w.Organizations = []sandbox.Organization{{ID: organizationID, Name: "org", Pipelines: []sandbox.Pipeline{{
		Project: "p", Name: "build", AccessToken: "hunter2", Connections: []sandbox.ServiceConnection{{ID: connectionID, Name: "aws", TenantID: sandbox.DemoTenantID}},
	}}}}
	subject, err := pipelines.Subject(sandbox.DemoTenantID, organizationID, connectionID)
	if err != nil {
		t.Fatal(err)
	}
	provider := "login.microsoftonline.com/" + sandbox.DemoTenantID + "/v2.0"
	w.Accounts[0].Providers = []sandbox.OIDCProvider{{URL: sandbox.DemoV2Issuer, ClientIDs: []string{pipelines.AppID}}}
	w.Accounts[0].Roles = []sandbox.Role{{Name: "job", TrustPolicy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::111122223333:oidc-provider/` + provider +
		`"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"` + provider + `:aud":"` + pipelines.AppID + `","` + provider + `:oaud":"` + pipelines.ExchangeAudienceID + `","` + provider + `:sub":"` + subject + `"}}}]}`}}
	s, _ := listening(t, w)
	return s
}

func TestAPipelinesJobReachesItsRole(t *testing.T) {
	s := jobWorld(t)
	var keys []string
	for token, allowed := range map[string]bool{"hunter2": true, "hunter3": false} {
		environ := env("SYSTEM_OIDCREQUESTURI", s.URL(sandbox.Pipelines)+jobPath, "SYSTEM_ACCESSTOKEN", token, "AWS_ENDPOINT_URL_STS", s.URL(sandbox.STS))
		selected, err := Select("job", write(t, pipelineFile), nil, environ)
		if err != nil {
			t.Fatal(err)
		}
		built, err := selected.Build(environ)
		if err != nil {
			t.Fatal(err)
		}
		credentials, err := keyless.Federate(built.Source, built.Exchanger).Credentials(t.Context())
		if allowed != (err == nil) || allowed && credentials.AccountID != "111122223333" {
			t.Errorf("%s: %v", token, err)
		}
		if !built.Fleeting {
			t.Error("the job's token may be kept on disk")
		}
		keys = append(keys, built.CredentialsKey)
	}
	if keys[0] == keys[1] {
		t.Error("two jobs share what is remembered")
	}
}

func TestAPipelinesProfileHasOneAudience(t *testing.T) {
	environ := env("SYSTEM_OIDCREQUESTURI", "https://dev.azure.com"+jobPath, "SYSTEM_ACCESSTOKEN", "hunter2")
	for add, want := range map[string]string{
		"": "",
		"    audience: api://AzureADTokenExchange": "",
		"    audience: api://other":                "the only one",
		"    scope: api://other/.default":          "does not go with",
	} {
		selected, err := Select("job", write(t, pipelineFile+add+"\n"), nil, environ)
		if err == nil {
			_, err = selected.Build(environ)
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", add, err, want)
		}
	}
	for id, want := range map[string]string{"": "is missing", "aws": "not its name"} {
		selected, err := Select("job", write(t, strings.Replace(pipelineFile, connectionID, `"`+id+`"`, 1)), nil, environ)
		if err == nil {
			_, err = selected.Build(environ)
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v, want %q", id, err, want)
		}
	}
}
