package setup_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/keyless-id/keyless/audit"
	"github.com/keyless-id/keyless/internal/graph"
	"github.com/keyless-id/keyless/setup"
	"github.com/keyless-id/keyless/trust"
)

var update = flag.Bool("update", false, "write the golden files")

// renderable are the specs of the golden files, by the name of their folder.
func renderable() map[string]setup.Spec {
	all := map[string]setup.Spec{}
	for name, spec := range specs() {
		spec.TenantID = tenant
		all[strings.ReplaceAll(name, " ", "-")] = spec
	}
	full := machine()
	full.TenantID, full.Identity, full.RolePath, full.MaxSession = tenant, subject, "/workloads/", 4*3600*1e9
	full.PermissionsBoundary, full.Thumbprints = "arn:aws:iam::"+account+":policy/fence", []string{"0123456789abcdef0123456789abcdef01234567"}
	full.Policies = append(full.Policies, "arn:aws:iam::"+account+":policy/more")
	all["full"] = full
	app := setup.Spec{Name: "app", Kind: setup.Application, Identity: caller, TenantID: tenant, AppID: organization}
	all["application"] = app
	return all
}

// lacking are formats that cannot say what a spec needs.
func lacking(name string, format setup.Format) bool {
	switch format {
	case setup.Terraform: // nobody is asked for the object id of a resource
		return name == "vm" || name == "version-2" || name == "pod" || name == "back-to-a-uai"
	case setup.CloudFormation:
		return name == "way-back" || name == "back-to-a-uai"
	}
	return false
}

func rendered(t *testing.T, name string, format setup.Format) []setup.File {
	t.Helper()
	files, err := setup.Render(renderable()[name], format)
	if lacking(name, format) {
		if err == nil || !strings.Contains(err.Error(), string(setup.Commands)) {
			t.Errorf("%s as %s: %v, want an error that names the format commands", name, format, err)
		}
		return nil
	}
	if err != nil {
		t.Errorf("%s as %s: %v", name, format, err)
	}
	return files
}

func TestRenderedFilesAreTheGoldenOnes(t *testing.T) {
	for name := range renderable() {
		for _, format := range []setup.Format{setup.Terraform, setup.CloudFormation, setup.Commands} {
			for _, file := range rendered(t, name, format) {
				path := filepath.Join("testdata", "render", name, string(format), filepath.FromSlash(file.Name))
				if *update {
					if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(path, file.Data, file.Mode); err != nil {
						t.Fatal(err)
					}
				}
				if want, err := os.ReadFile(path); err != nil || !bytes.Equal(file.Data, want) {
					t.Errorf("%s is not what is rendered (%v); go test ./setup -update", path, err)
				}
				if i := bytes.IndexFunc(file.Data, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' }); i >= 0 {
					t.Errorf("%s: byte %d is no text: a reference is missing", path, i)
				}
			}
		}
	}
}

// filledIn is the state in which what the other tools look up has these values.
func filledIn(spec setup.Spec) setup.State {
	app := organization
	if spec.AppID == "" {
		app = "11111111-1111-1111-1111-000000000000"
	}
	uri := spec.AppIDURI
	if uri == "" {
		uri = "api://" + app
	}
	return setup.State{
		TenantID: tenant, Account: account, Partition: "aws", Principal: setup.Principal{ObjectID: subject, ClientID: caller},
		App: &graph.Application{AppID: app, IdentifierURIs: []string{uri}},
	}
}

func trustPolicy(t *testing.T, spec setup.Spec) string {
	t.Helper()
	policy, err := setup.TrustPolicy(spec, filledIn(spec))
	if err != nil {
		t.Fatal(err)
	}
	return string(policy)
}

func TestTheScriptsPolicyIsTheOneThatApplyWrites(t *testing.T) {
	document := regexp.MustCompile(`(?s)<<POLICY\n(.*)\nPOLICY`)
	for name, spec := range renderable() {
		if spec.Kind == setup.FromAWS {
			continue
		}
		text := string(rendered(t, name, setup.Commands)[0].Data)
		found := document.FindStringSubmatch(text)
		if found == nil {
			t.Errorf("%s has no policy: %s", name, text)
			continue
		}
		state := filledIn(spec)
		for variable, value := range map[string]string{
			"app": state.App.AppID, "subject": subject, "client": caller, "provider_entra": trust.ProviderARN("aws", account, issuerOf(spec)),
			"provider_azure_pipelines":         trust.ProviderARN("aws", account, "https://login.microsoftonline.com/"+tenant+"/v2.0"),
			"provider_azure_pipelines_vstoken": trust.ProviderARN("aws", account, "https://vstoken.dev.azure.com/"+organization),
		} {
			found[1] = strings.ReplaceAll(found[1], "${"+variable+"}", value)
		}
		if want := trustPolicy(t, spec); found[1] != want {
			t.Errorf("%s: script\n%s\nwant\n%s", name, found[1], want)
		}
	}
}

func issuerOf(spec setup.Spec) string {
	if spec.TokenVersion == 2 {
		return "https://login.microsoftonline.com/" + tenant + "/v2.0"
	}
	return issuer
}

// resolve does what CloudFormation does with references, in the account of these tests.
func resolve(node any, parameters map[string]string) any {
	switch v := node.(type) {
	case map[string]any:
		if name, ok := v["Ref"].(string); ok && len(v) == 1 {
			return parameters[name]
		}
		if branches, ok := v["Fn::If"].([]any); ok && len(v) == 1 {
			return resolve(branches[2], parameters) // the provider is there
		}
		if text, ok := v["Fn::Sub"].(string); ok && len(v) == 1 {
			for name, value := range parameters {
				text = strings.ReplaceAll(text, "${"+name+"}", value)
			}
			return text
		}
		for key, value := range v {
			v[key] = resolve(value, parameters)
		}
	case []any:
		for i, value := range v {
			v[i] = resolve(value, parameters)
		}
	}
	return node
}

func TestTheTemplatesPolicyIsTheOneThatApplyWrites(t *testing.T) {
	for name, spec := range renderable() {
		files := rendered(t, name, setup.CloudFormation)
		if files == nil {
			continue
		}
		var template struct {
			Resources map[string]struct{ Properties map[string]any }
		}
		if err := json.Unmarshal(files[0].Data, &template); err != nil {
			t.Fatal(err)
		}
		document, err := json.Marshal(resolve(template.Resources["Role"].Properties["AssumeRolePolicyDocument"], map[string]string{
			"AWS::Partition": "aws", "AWS::AccountId": account, "AppId": filledIn(spec).App.AppID, "Subject": subject, "WorkloadClientId": caller,
		}))
		if err != nil {
			t.Fatal(err)
		}
		got, err := trust.Parse(document)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want, err := trust.Parse([]byte(trustPolicy(t, spec)))
		if err != nil {
			t.Fatal(err)
		}
		request := func(sub string) trust.Request {
			c := claims(spec, filledIn(spec), 0)
			if sub != "" {
				c["sub"] = sub
			}
			return trust.WebIdentityRequest(want.Statements[0].Principals[0].ID, c, "s", "arn:aws:iam::"+account+":role/r")
		}
		if !got.Evaluate(request("")).Allowed || got.Evaluate(request(connection)).Allowed || len(got.Statements) != len(want.Statements) {
			t.Errorf("%s: %s", name, document)
		}
		for _, finding := range audit.Policy(got) {
			if name != "both-issuers" {
				t.Errorf("%s: %s: %s", name, finding.Rule, finding.Why)
			}
		}
	}
}

func TestWhatIsRenderedNeedsATenantAndAKnownFormat(t *testing.T) {
	spec := renderable()["full"]
	if _, err := setup.Render(spec, "pulumi"); err == nil {
		t.Error("an unknown format is rendered")
	}
	spec.TenantID = ""
	if _, err := setup.Render(spec, setup.Terraform); err == nil || !strings.Contains(err.Error(), "tenant") {
		t.Errorf("without a tenant: %v", err)
	}
}

func TestASpecIsCheckedBeforeAnybodyIsAsked(t *testing.T) {
	for want, change := range map[string]func(*setup.Spec){
		"name":                 func(s *setup.Spec) { s.Name = "a;b" },
		"cloud":                func(s *setup.Spec) { s.Cloud = "mars" },
		"Graph is":             func(s *setup.Spec) { s.Cloud = "bleu" },
		"object id":            func(s *setup.Spec) { s.Identity = "vm" },
		"want one of managed":  func(s *setup.Spec) { s.Kind = "" },
		"its client id":        func(s *setup.Spec) { s.AppID = "x" },
		"App ID URI":           func(s *setup.Spec) { s.AppIDURI = `api://"; rm -rf /` },
		"token version":        func(s *setup.Spec) { s.TokenVersion = 3 },
		"12 digits":            func(s *setup.Spec) { s.Account = "1" },
		"role":                 func(s *setup.Spec) { s.Role = "path/role" },
		"path of the role":     func(s *setup.Spec) { s.RolePath = "x" },
		"policy":               func(s *setup.Spec) { s.Policies = []string{"ReadOnlyAccess"} },
		"thumbprint":           func(s *setup.Spec) { s.Thumbprints = []string{"x"} },
		"longest session":      func(s *setup.Spec) { s.MaxSession = 13 * 3600 * 1e9 },
		"user-assigned":        func(s *setup.Spec) { s.Pod = setup.Pod{Issuer: "https://c", Namespace: "n", ServiceAccount: "s"} },
		"issuer of the cluste": func(s *setup.Spec) { s.Pod = setup.Pod{Namespace: "n", ServiceAccount: "s"} },
		"name of the role":     func(s *setup.Spec) { s.Kind, s.Identity, s.Role = setup.FromAWS, "", "" },
		"organization": func(s *setup.Spec) {
			s.Kind, s.Connection = setup.Pipelines, setup.Connection{ID: connection, Issuers: []setup.Issuer{setup.IssuerEntra}}
		},
		"ORGANIZATION/PROJECT": func(s *setup.Spec) {
			s.Kind, s.Connection = setup.Pipelines, setup.Connection{Path: "a/b/c`id`", Issuers: []setup.Issuer{setup.IssuerVSToken}}
		},
		"entra, vstoken": func(s *setup.Spec) {
			s.Kind, s.Connection = setup.Pipelines, setup.Connection{Issuers: []setup.Issuer{"x"}}
		},
	} {
		spec := machine()
		change(&spec)
		if err := spec.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	for name, spec := range specs() {
		if err := spec.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzTextsAreOneWordToAShell(f *testing.F) {
	f.Add("urn://x", "org/pro ject/conn's")
	f.Add("api://{appId}", "a/b/`c`")
	f.Fuzz(func(t *testing.T, uri, path string) {
		spec := renderable()["both-issuers"]
		spec.Connection.Path = path
		other := renderable()["full"]
		other.AppIDURI = uri
		for _, spec := range []setup.Spec{spec, other} {
			if spec.Validate() != nil {
				continue
			}
			for _, format := range []setup.Format{setup.Commands, setup.Terraform, setup.CloudFormation} {
				files, err := setup.Render(spec, format)
				if err != nil {
					t.Fatal(err)
				}
				if format == setup.Commands && strings.ContainsAny(spec.Connection.Path+spec.AppIDURI, "'\"$`\\\n") {
					t.Errorf("%q or %q is in a script: %s", path, uri, files[0].Data)
				}
			}
		}
	})
}
