package sandbox_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/keyless-id/keyless/sandbox"
)

const (
	jobPath      = "/org/p/_apis/distributedtask/hubs/build/plans/1/jobs/2/oidctoken"
	connectionID = "55555555-5555-5555-5555-555555555555"
)

func devOps() sandbox.World {
	w := sandbox.Demo()
	w.Organizations = []sandbox.Organization{{ID: "44444444-4444-4444-4444-444444444444", Name: "org", Pipelines: []sandbox.Pipeline{{
		Project: "project", Name: "build", AccessToken: "job-token",
		Connections: []sandbox.ServiceConnection{{ID: connectionID, Name: "aws", TenantID: sandbox.DemoTenantID}},
	}}}}
	return w
}

func TestPipelinesAnswersAsAzureDevOpsDoes(t *testing.T) {
	for _, c := range []struct {
		name, method, path, bearer, suppress string
		status                               int
		body                                 string
	}{
		{"a job", "POST", jobPath + "?api-version=7.1", "job-token", "Suppress", 200, "oidcToken"},
		{"a connection", "POST", jobPath + "?api-version=7.1&serviceConnectionId=" + connectionID, "job-token", "Suppress", 200, "oidcToken"},
		{"a connection by name", "POST", jobPath + "?api-version=7.1&serviceConnectionId=aws", "job-token", "Suppress", 200, "oidcToken"},
		{"no such connection", "POST", jobPath + "?api-version=7.1&serviceConnectionId=44444444-4444-4444-4444-444444444444", "job-token", "Suppress", 404, "typeKey"},
		{"a stranger", "POST", jobPath + "?api-version=7.1", "x", "Suppress", 401, ""},
		{"a stranger who may sign in", "POST", jobPath + "?api-version=7.1", "x", "", 302, ""},
		{"another organization", "POST", strings.Replace(jobPath, "org", "other", 1) + "?api-version=7.1", "job-token", "Suppress", 401, ""},
		{"no version", "POST", jobPath, "job-token", "Suppress", 400, "api-version"},
		{"GET", "GET", jobPath + "?api-version=7.1", "job-token", "Suppress", 405, "typeKey"},
		{"no plan", "POST", "/org/p/oidctoken?api-version=7.1", "job-token", "Suppress", 404, "plan"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cloud := inProcess(newSandbox(t, devOps(), sandbox.Options{}))
			cloud.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			r, err := http.NewRequest(c.method, "https://dev.azure.com"+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+c.bearer)
			if c.suppress != "" {
				r.Header.Set("X-TFS-FedAuthRedirect", c.suppress)
			}
			if got := cloud.do(t, r); got.status != c.status || !strings.Contains(got.body, c.body) {
				t.Errorf("got %d %s, want %d %q", got.status, got.body, c.status, c.body)
			}
		})
	}
}

func TestAWrongOrganizationIsRefused(t *testing.T) {
	for name, change := range map[string]func(*sandbox.World){
		"no GUID":    func(w *sandbox.World) { w.Organizations[0].ID = "org" },
		"no token":   func(w *sandbox.World) { w.Organizations[0].Pipelines[0].AccessToken = "" },
		"no tenant":  func(w *sandbox.World) { w.Organizations[0].Pipelines[0].Connections[0].TenantID = "x" },
		"twice":      func(w *sandbox.World) { w.Organizations = append(w.Organizations, w.Organizations[0]) },
		"no role":    func(w *sandbox.World) { w.Host.RoleARN = "arn:aws:iam::111122223333:role/none" },
		"bad issuer": func(w *sandbox.World) { w.Accounts[0].OutboundIssuer = "x" },
	} {
		w := devOps()
		change(&w)
		if _, err := sandbox.New(w, sandbox.Options{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
