package pipelines_test

import (
	"net/http"
	"testing"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/awssts"
	"github.com/keyless-id/keyless/entra"
	"github.com/keyless-id/keyless/pipelines"
	"github.com/keyless-id/keyless/sandbox"
)

const (
	vstokenIssuer  = "https://vstoken.dev.azure.com/" + organizationID
	oldID          = "55555555-5555-5555-5555-555555555550"
	unreferencedID = "55555555-5555-5555-5555-555555555551"
	oldRole        = "arn:aws:iam::" + sandbox.DemoAccountID + ":role/old"
	newRole        = "arn:aws:iam::" + sandbox.DemoAccountID + ":role/new"
)

// world is the demo with an organization, one connection of each issuer, and roles
// and an application that trust them.
func world(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	subject, err := pipelines.Subject(sandbox.DemoTenantID, organizationID, connectionID)
	if err != nil {
		t.Fatal(err)
	}
	w := sandbox.Demo()
	w.Organizations = []sandbox.Organization{{ID: organizationID, Name: "org", Pipelines: []sandbox.Pipeline{{
		Project: "project", Name: "build", AccessToken: accessToken, Connections: []sandbox.ServiceConnection{
			{ID: connectionID, Name: "aws", TenantID: sandbox.DemoTenantID},
			{ID: oldID, Name: "aws-old"},
			{ID: unreferencedID, Name: "other", Unreferenced: true},
		},
	}}}}
	account := &w.Accounts[0]
	account.Providers = []sandbox.OIDCProvider{
		{URL: vstokenIssuer, ClientIDs: []string{pipelines.ExchangeAudience}},
		{URL: sandbox.DemoV2Issuer, ClientIDs: []string{pipelines.AppID}},
	}
	trusting := func(provider, aud, sub string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::` + sandbox.DemoAccountID + `:oidc-provider/` + provider +
			`"},"Action":"sts:AssumeRoleWithWebIdentity","Condition":{"StringEquals":{"` + provider + `:aud":"` + aud + `","` + provider + `:sub":"` + sub + `"}}}]}`
	}
	account.Roles = []sandbox.Role{
		{Name: "old", TrustPolicy: trusting("vstoken.dev.azure.com/"+organizationID, pipelines.ExchangeAudience, "sc://org/project/aws-old")},
		{Name: "new", TrustPolicy: trusting("login.microsoftonline.com/"+sandbox.DemoTenantID+"/v2.0", pipelines.AppID, subject)},
	}
	w.Tenants[0].Apps[2].FederatedCredentials = []sandbox.FIC{
		{Issuer: sandbox.DemoV2Issuer, Subject: subject, Audience: pipelines.ExchangeAudience},
		{Issuer: vstokenIssuer, Subject: "sc://org/project/aws-old", Audience: pipelines.ExchangeAudience},
	}
	s, err := sandbox.New(w, sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func inside(s *sandbox.Sandbox, connection string) pipelines.Job {
	return pipelines.Job{
		RequestURI: "https://dev.azure.com" + path, AccessToken: keyless.NewSecret(accessToken), ServiceConnectionID: connection,
		Client: &http.Client{Transport: s.RoundTripper()},
	}
}

func TestTheSandboxIssuesAllThreeKinds(t *testing.T) {
	s := world(t)
	for connection, want := range map[string]struct {
		kind pipelines.Kind
		left time.Duration
	}{
		connectionID: {pipelines.KindEntra, 86700 * time.Second}, oldID: {pipelines.KindConnection, 5 * time.Minute}, "": {pipelines.KindPipeline, 5 * time.Minute},
	} {
		token, err := inside(s, connection).Token(t.Context())
		if err != nil {
			t.Errorf("%q: %v", connection, err)
			continue
		}
		id, err := pipelines.Inspect(token)
		if left := time.Until(token.Expiry); err != nil || id.Kind != want.kind || left > want.left || left < want.left-time.Minute {
			t.Errorf("%q: %+v, %s left, %v", connection, id, left, err)
		}
	}
	if got := s.Requests(sandbox.Pipelines); got != 3 {
		t.Errorf("%d requests", got)
	}
}

func TestTheSandboxRefuses(t *testing.T) {
	s := world(t)
	_, err := inside(s, unreferencedID).Token(t.Context())
	wantError(t, err, "OrchestrationSessionNotFoundException", "condition: false")
	_, err = inside(s, tenantID).Token(t.Context())
	wantError(t, err, "ServiceEndpointNotFoundException", "connection id right")
	stranger := inside(s, connectionID)
	stranger.AccessToken = keyless.NewSecret("hunter22")
	_, err = stranger.Token(t.Context())
	wantError(t, err, pipelines.CodeSignIn, "SYSTEM_ACCESSTOKEN")
}

// TestBothIssuersReachAWS is the whole way; each role trusts one of the connections.
func TestBothIssuersReachAWS(t *testing.T) {
	s := world(t)
	for connection, roles := range map[string][2]string{connectionID: {newRole, oldRole}, oldID: {oldRole, newRole}} {
		for i, role := range roles {
			job := inside(s, connection)
			_, err := keyless.Federate(job, awssts.WebIdentity{
				RoleARN: role, Region: "eu-west-1", Audience: pipelines.ExchangeAudience, AllowTokenExchangeAudience: true, Client: job.Client,
			}).Credentials(t.Context())
			if allowed := i == 0; allowed != (err == nil) {
				t.Errorf("%s to %s: %v", connection, role, err)
			}
		}
	}
}

func TestBothIssuersReachEntra(t *testing.T) {
	s := world(t)
	for connection, allowed := range map[string]bool{connectionID: true, oldID: true, "": false} {
		job := inside(s, connection)
		_, err := entra.Assertion{
			TenantID: sandbox.DemoTenantID, ClientID: sandbox.DemoAppClientID, Scope: entra.Scope(sandbox.DemoAudience), Source: job, Client: job.Client,
		}.Token(t.Context())
		if allowed != (err == nil) {
			t.Errorf("%q: %v", connection, err)
		}
	}
}

func TestAFaultOfTheSandboxPasses(t *testing.T) {
	for name, fault := range map[string]sandbox.Fault{"reset": {Reset: true}, "cut off": {Truncate: true}, "503": {Status: 503}, "throttled": {Status: 429, RetryAfter: time.Second}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := world(t)
			fault.Times = 1
			s.SetFault(sandbox.Pipelines, fault)
			if _, err := inside(s, connectionID).Token(t.Context()); err != nil || s.Requests(sandbox.Pipelines) != 2 {
				t.Errorf("%d requests: %v", s.Requests(sandbox.Pipelines), err)
			}
		})
	}
}
