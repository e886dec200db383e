package pipelines_test

import (
	"strings"
	"testing"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/pipelines"
)

func inspect(t *testing.T, issuer, subject string) pipelines.Identity {
	t.Helper()
	id, err := pipelines.Inspect(keyless.Token{Value: keyless.NewSecret(jwt(map[string]any{"iss": issuer, "sub": subject, "aud": "a"}))})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestTheSubjectIsComputedOffline(t *testing.T) {
	got, err := pipelines.Subject("00112233-4455-6677-8899-aabbccddeeff", organizationID, strings.ToUpper(connectionID))
	want := "/eid1/c/pub/t/MyIRAFVEd2aImaq7zN3u_w/a/rISbSSETf0KqFyZ8ppdXmA/sc/" + organizationID + "/" + connectionID
	if err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	// The application's part is the same encoding of an id that is known.
	if got, err := pipelines.Subject(pipelines.AppID, organizationID, connectionID); err != nil || !strings.HasPrefix(got, "/eid1/c/pub/t/rISbSSETf0KqFyZ8ppdXmA/a/rISbSSETf0KqFyZ8ppdXmA/") {
		t.Errorf("got %q, %v", got, err)
	}
	for _, wrong := range [][3]string{{"contoso.com", organizationID, connectionID}, {tenantID, "org", connectionID}, {tenantID, organizationID, "aws"}, {"", "", ""}} {
		if got, err := pipelines.Subject(wrong[0], wrong[1], wrong[2]); err == nil {
			t.Errorf("%v gave %q", wrong, got)
		}
	}
}

func TestInspectTellsTheKindsApart(t *testing.T) {
	const old, entra = "https://vstoken.dev.azure.com/" + organizationID, "https://login.microsoftonline.com/" + tenantID + "/v2.0"
	subject, err := pipelines.Subject(tenantID, organizationID, connectionID)
	if err != nil {
		t.Fatal(err)
	}
	id := inspect(t, entra, subject)
	if id.Kind != pipelines.KindEntra || id.TenantID != tenantID || id.OrganizationID != organizationID || id.ConnectionID != connectionID || id.Retired() {
		t.Errorf("got %+v", id)
	}
	if id := inspect(t, old, "sc://org/my project/aws/prod"); id.Kind != pipelines.KindConnection || id.Organization != "org" || id.Project != "my project" || id.Name != "aws/prod" || !id.Retired() {
		t.Errorf("got %+v", id)
	}
	if id := inspect(t, old, "p://org/project/build"); id.Kind != pipelines.KindPipeline || id.Name != "build" || !id.Retired() {
		t.Errorf("got %+v", id)
	}
	for _, c := range [][2]string{
		{old, "sc://org"},
		{old, "sc://org//x"},
		{old, "x"},
		{"https://vstoken.dev.azure.com.example/", "sc://o/p/c"},
		{entra, "sc://o/p/c"},
		{entra, strings.Replace(subject, "rISb", "AISb", 1)},
		{entra, subject + "/x"},
		{entra, strings.Replace(subject, "/sc/", "/xx/", 1)},
		{entra, strings.Replace(subject, "IiIi", "", 1)},
		{"", ""},
	} {
		if id := inspect(t, c[0], c[1]); id.Kind != pipelines.KindUnknown {
			t.Errorf("%v is %+v", c, id)
		}
	}
	if _, err := pipelines.Inspect(keyless.Token{Value: keyless.NewSecret("hunter2")}); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v", err)
	}
}
