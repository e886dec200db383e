package interop_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyless-id/keyless/internal/graph"
	"github.com/keyless-id/keyless/sandbox"
	"github.com/keyless-id/keyless/setup"
)

// What keyless setup writes for other tools, and sends, before those who know these
// tools and services: Terraform, cfn-lint, moto's IAM, botocore's model of IAM.

const (
	setupOrganization = "55555555-5555-5555-5555-555555555555"
	setupConnection   = "66666666-6666-6666-6666-666666666666"
)

// setupArgs are for a service connection, which needs nothing of Entra.
func setupArgs(verb, name string, more ...string) []string {
	return append([]string{
		"setup", verb, name, "--service-connection", setupConnection, "--organization-id", setupOrganization, "--connection-path", "org/project/conn",
		"--issuer", "both", "--tenant", tenantID, "--role", name,
	}, more...)
}

// moto starts moto's server and returns its address.
func moto(t *testing.T) string {
	t.Helper()
	server := installed(t, "moto", "venv-setup/bin/moto_server")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	host, port, _ := net.SplitHostPort(address)
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, server, "-H", host, "-p", port)
	cmd.Env = bareEnvironment(t).with(environment{"MOTO_IAM_LOAD_MANAGED_POLICIES": "true"}).list()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		connection, err := net.Dial("tcp", address)
		if err == nil {
			_ = connection.Close()
			return "http://" + address
		}
		if time.Now().After(deadline) {
			t.Fatalf("moto does not listen: %v", err)
		}
	}
}

func TestMotoTakesWhatSetupSends(t *testing.T) {
	t.Parallel()
	address := moto(t)
	env := administrator(t).with(environment{"AWS_ENDPOINT_URL_IAM": address, "AWS_ENDPOINT_URL_STS": address})
	more := []string{"--policy", "arn:aws:iam::aws:policy/ReadOnlyAccess", "--max-session", "2h", "--role-path", "/teams/"}
	run(t, env, keyless(t), setupArgs("apply", "deploy", append(more, "--yes")...)...).wantSuccess(t)
	more = append(more, "--permissions-boundary", "arn:aws:iam::aws:policy/ReadOnlyAccess") // of a role that is there
	run(t, env, keyless(t), setupArgs("apply", "deploy", append(more, "--yes")...)...).wantSuccess(t)
	plan := run(t, env, keyless(t), setupArgs("plan", "deploy", append(more, "--json")...)...).wantSuccess(t)
	if got := parsed(t, plan.stdout)["pending"]; got != 0.0 {
		t.Errorf("still to do: %s", plan.stdout)
	}
	const look = `
import boto3, json, sys
iam = boto3.client("iam", endpoint_url=sys.argv[1])
role = iam.get_role(RoleName="deploy")["Role"]
print(json.dumps({"path": role["Path"], "session": role["MaxSessionDuration"], "tags": role["Tags"], "sids": [s["Sid"] for s in role["AssumeRolePolicyDocument"]["Statement"]],
  "policies": [p["PolicyArn"] for p in iam.list_attached_role_policies(RoleName="deploy")["AttachedPolicies"]],
  "thumbprints": [iam.get_open_id_connect_provider(OpenIDConnectProviderArn=p["Arn"]).get("ThumbprintList", []) for p in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]]}))
`
	got := run(t, env, installed(t, "moto", "venv-setup/bin/python"), "-c", look, address).wantSuccess(t).stdout
	const want = `{"path": "/teams/", "session": 7200, "tags": [{"Key": "keyless:setup", "Value": "deploy"}], "sids": ["AzurePipelines", "AzurePipelinesVSToken"], "policies": ["arn:aws:iam::aws:policy/ReadOnlyAccess"], "thumbprints": [[], []]}`
	if strings.TrimSpace(got) != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	run(t, env, keyless(t), setupArgs("destroy", "deploy", append(more, "--yes")...)...).wantSuccess(t)
	if left := run(t, env, installed(t, "moto", "venv-setup/bin/python"), "-c", look, address); !strings.Contains(left.stderr, "NoSuchEntity") {
		t.Errorf("the role is still there: %s%s", left.stdout, left.stderr)
	}
}

// recorder passes requests on, and keeps their forms.
type recorder struct {
	mu    sync.Mutex
	forms []url.Values
}

func (r *recorder) before(t *testing.T, address string) string {
	t.Helper()
	far, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(far)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		form, _ := url.ParseQuery(string(body))
		r.mu.Lock()
		r.forms = append(r.forms, form)
		r.mu.Unlock()
		request.Body = io.NopCloser(strings.NewReader(string(body)))
		proxy.ServeHTTP(w, request)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// knows prints what botocore's model of IAM does not know of forms on stdin, and then the
// actions that it has seen.
const knows = `
import botocore.session, json, re, sys
model = botocore.session.get_session().get_service_model("iam")
def flat(shape, prefix):
    if shape.type_name == "list":
        yield from flat(shape.member, prefix + r"\.member\.\d+")
    elif shape.type_name == "structure":
        for name, member in shape.members.items():
            yield from flat(member, prefix + (r"\." if prefix else "") + name)
    else:
        yield prefix, shape
seen = set()
for form in json.load(sys.stdin):
    action = form.pop("Action")[0]
    seen.add(action)
    assert form.pop("Version") == [model.api_version], form
    shape = model.operation_model(action).input_shape
    known = list(flat(shape, "")) if shape else []
    for name in (shape.required_members if shape else []):
        if not any(re.match(name + r"(\.|$)", given) for given in form):
            print(action, "lacks", name)
    for name, (value,) in form.items():
        of = [s for pattern, s in known if re.fullmatch(pattern, name)]
        if not of:
            print(action, "has no", name)
            continue
        meta = of[0].metadata
        pattern = re.sub(r"\\p\{\w+\}", r"\\w", meta.get("pattern", ".*")) # classes that Python's expressions lack
        if not re.fullmatch(pattern, value, re.S):
            print(action, name, "is not", pattern)
        if not meta.get("min", 0) <= (int(value) if of[0].type_name == "integer" else len(value)) <= meta.get("max", 1 << 40):
            print(action, name, "is too long or too short")
print(" ".join(sorted(seen)))
`

func TestBotocoreKnowsWhatSetupSends(t *testing.T) {
	t.Parallel()
	python := installed(t, "botocore", "venv-setup/bin/python")
	c, r := newAccount(t), &recorder{}
	env := administrator(t).with(environment{"AWS_ENDPOINT_URL_IAM": r.before(t, c.URL(sandbox.IAM)), "AWS_ENDPOINT_URL_STS": c.URL(sandbox.STS)})
	do := func(program string, args ...string) { t.Helper(); run(t, env, program, args...).wantSuccess(t) }
	more := []string{"--policy", "arn:aws:iam::aws:policy/ReadOnlyAccess", "--thumbprint", strings.Repeat("0f", 20), "--yes"}
	do(keyless(t), setupArgs("apply", "one", more...)...)
	do(keyless(t), setupArgs("apply", "one", append(more, "--max-session", "2h", "--permissions-boundary", "arn:aws:iam::aws:policy/ReadOnlyAccess")...)...)
	debian := awsClients[1]
	iamCLI(t, c, debian, env, "update-assume-role-policy", "--role-name", "one", "--policy-document", strings.ReplaceAll(madeTrust, audience, "other")).wantSuccess(t)
	provider := "arn:aws:iam::" + emptyAccount + ":oidc-provider/login.microsoftonline.com/" + tenantID + "/v2.0"
	iamCLI(t, c, debian, env, "remove-client-id-from-open-id-connect-provider", "--open-id-connect-provider-arn", provider, "--client-id", "499b84ac-1321-427f-aa17-267ca6975798").wantSuccess(t)
	do(keyless(t), setupArgs("apply", "one", append(more, "--replace")...)...)
	iamCLI(t, c, debian, env, "add-client-id-to-open-id-connect-provider", "--open-id-connect-provider-arn", provider, "--client-id", "others").wantSuccess(t)
	do(keyless(t), setupArgs("destroy", "one", more...)...)

	forms, err := json.Marshal(r.forms)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", knows)
	cmd.Env, cmd.Stdin = bareEnvironment(t).list(), strings.NewReader(string(forms))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	const want = "AddClientIDToOpenIDConnectProvider AttachRolePolicy CreateOpenIDConnectProvider CreateRole DeleteOpenIDConnectProvider DeleteRole DetachRolePolicy " +
		"GetOpenIDConnectProvider GetRole ListAttachedRolePolicies ListRolePolicies ListRoles PutRolePermissionsBoundary RemoveClientIDFromOpenIDConnectProvider UpdateAssumeRolePolicy UpdateRole"
	if got := strings.TrimSpace(string(out)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// golden are the files of that name among those that setup's own tests keep.
func golden(t *testing.T, format, name string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "setup", "testdata", "render", "*", format, name))
	if err != nil || len(files) == 0 {
		t.Fatalf("no rendered %s: %v", name, err)
	}
	return files
}

func TestCFNLintPassesEveryTemplate(t *testing.T) {
	t.Parallel()
	lint := installed(t, "cfn-lint", "venv-setup/bin/cfn-lint")
	files := golden(t, "cloudformation", "template.json")
	args := append([]string{"--regions", "us-east-1", "--non-zero-exit-code", "informational", "--"}, files...)
	if got := run(t, bareEnvironment(t), lint, args...); got.code != 0 {
		t.Errorf("%s%s", got.stdout, got.stderr)
	}
	template, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(t.TempDir(), "template.json") // a judge that says no to nothing is none
	if err := os.WriteFile(wrong, []byte(strings.ReplaceAll(string(template), `"StringEquals"`, `"StringEqualz"`)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run(t, bareEnvironment(t), lint, "--regions", "us-east-1", "--", wrong); got.code == 0 {
		t.Error("cfn-lint takes an operator that does not exist")
	}
}

// terraforms are Terraform where it is installed, and OpenTofu where it was built.
func terraforms(t *testing.T) []string {
	t.Helper()
	var all []string
	if path, err := exec.LookPath("terraform"); err == nil {
		all = append(all, path)
	}
	tofu := filepath.Join("..", ".tools", "bin", "tofu")
	if _, err := os.Stat(tofu); err == nil || os.Getenv("INTEROP_SLOW") != "" {
		all = append(all, installed(t, "OpenTofu", "bin/tofu"))
	}
	if len(all) == 0 {
		t.Skip("make test-all builds OpenTofu")
	}
	return all
}

var moduleBlock = regexp.MustCompile(`(?s)\nmodule "trust_policy" \{\n.*?\n\}\n`)

// renderedSpecs are those of setup's golden files that have a module, with the state in
// which the rendered references have the values of values.
func renderedSpecs() map[string]setup.Spec {
	connection := setup.Connection{ID: setupConnection, OrganizationID: setupOrganization, Path: "org/project/conn", Issuers: []setup.Issuer{setup.IssuerEntra, setup.IssuerVSToken}}
	entra := connection
	entra.Issuers = connection.Issuers[:1]
	workload := func(spec setup.Spec) setup.Spec {
		spec.Name, spec.Kind, spec.TenantID = "vm", setup.ManagedIdentity, tenantID
		return spec
	}
	return map[string]setup.Spec{
		"v1":           workload(setup.Spec{Identity: setupObject}),
		"urn":          workload(setup.Spec{Identity: setupObject, AppIDURI: "urn://vm-to-aws"}),
		"v2":           workload(setup.Spec{Identity: setupObject, TokenVersion: 2}),
		"existing":     workload(setup.Spec{Identity: setupObject, AppID: setupApp}),
		"connection":   {Name: "deploy", Kind: setup.Pipelines, TenantID: tenantID, Connection: entra},
		"both issuers": {Name: "deploy", Kind: setup.Pipelines, TenantID: tenantID, Connection: connection},
	}
}

const (
	setupObject = "44444444-4444-4444-4444-444444444444"
	setupClient = "33333333-3333-3333-3333-333333333333"
	setupApp    = "11111111-1111-1111-1111-111111111111"
)

func TestTerraformEvaluatesTheModuleToThePolicyThatApplyWrites(t *testing.T) {
	t.Parallel()
	for _, terraform := range terraforms(t) {
		for name, spec := range renderedSpecs() {
			state := setup.State{
				TenantID: tenantID, Account: emptyAccount, Partition: "aws",
				Principal: setup.Principal{ObjectID: setupObject, ClientID: setupClient}, App: &graph.Application{AppID: setupApp},
			}
			want, err := setup.TrustPolicy(spec, state)
			if err != nil {
				t.Fatal(err)
			}
			if got := evaluated(t, terraform, spec); got != string(want) {
				t.Errorf("%s, %s:\n%s\nwant\n%s", filepath.Base(terraform), name, got, want)
			}
		}
	}
}

// evaluated is the policy that Terraform makes of the rendered module and its call, with
// values in the place of what only providers can tell.
func evaluated(t *testing.T, terraform string, spec setup.Spec) string {
	t.Helper()
	dir := t.TempDir()
	files, err := setup.Render(spec, setup.Terraform)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data := file.Data
		if file.Name == "main.tf" {
			data = []byte(withoutProviders(string(data)))
		}
		path := filepath.Join(dir, filepath.FromSlash(file.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := bareEnvironment(t).with(environment{"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1", "HTTPS_PROXY": "http://127.0.0.1:9"})
	for _, args := range [][]string{{"init", "-input=false"}, {"validate"}, {"apply", "-auto-approve", "-input=false"}, {"fmt", "-check", "-recursive"}} {
		run(t, env, terraform, append([]string{"-chdir=" + dir}, args...)...).wantSuccess(t)
	}
	return run(t, env, terraform, "-chdir="+dir, "output", "-raw", "policy").wantSuccess(t).stdout
}

func withoutProviders(text string) string {
	arn := func(issuer string) string {
		return `"arn:aws:iam::` + emptyAccount + `:oidc-provider/` + issuer + `"`
	}
	v1, v2 := arn("sts.windows.net/"+tenantID+"/"), arn("login.microsoftonline.com/"+tenantID+"/v2.0")
	entra := v1
	if strings.Contains(text, "requested_access_token_version = 2") {
		entra = v2
	}
	return `locals {
  app_id             = "` + setupApp + `"
  subject            = "` + setupObject + `"
  workload_client_id = "` + setupClient + `"
}
` + strings.NewReplacer(
		"aws_iam_openid_connect_provider.entra.arn", entra,
		"aws_iam_openid_connect_provider.azure_pipelines.arn", v2,
		"aws_iam_openid_connect_provider.azure_pipelines_vstoken.arn", arn("vstoken.dev.azure.com/"+setupOrganization),
	).Replace(moduleBlock.FindString(text)) + `
output "policy" {
  value = module.trust_policy.policy
}
`
}

func TestTheModuleRefusesAStatementWithoutASubject(t *testing.T) {
	t.Parallel()
	terraform := terraforms(t)[0]
	module, err := filepath.Abs(filepath.Dir(golden(t, "terraform", "modules/trust-policy/main.tf")[0]))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	data, err := os.ReadFile(filepath.Join(module, "main.tf"))
	if err != nil {
		t.Fatal(err)
	}
	const variables = `{"statements": [{"sid": "a", "provider_arn": "arn", "conditions": [{"key": "i:aud", "value": "x"}]}]}`
	for name, text := range map[string]string{"main.tf": string(data), "terraform.tfvars.json": variables} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := bareEnvironment(t).with(environment{"CHECKPOINT_DISABLE": "1"})
	run(t, env, terraform, "-chdir="+dir, "init", "-input=false").wantSuccess(t)
	if got := run(t, env, terraform, "-chdir="+dir, "apply", "-auto-approve", "-input=false", "-no-color"); got.code == 0 || !strings.Contains(got.stderr, "must pin the audience") {
		t.Errorf("exit code %d: %s%s", got.code, got.stdout, got.stderr)
	}
}

var (
	topBlock  = regexp.MustCompile(`^(resource|data) "([a-z_0-9]+)" "[a-z_0-9]+" \{`)
	innerHead = regexp.MustCompile(`^  ([a-z_]+) \{$`)
	argument  = regexp.MustCompile(`^ +([a-z_0-9]+) += `)
)

// used are the arguments of each block of a rendered file, as "resource TYPE [BLOCK]".
func used(text string) map[string][]string {
	all := map[string][]string{}
	block, inner := "", ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if found := topBlock.FindStringSubmatch(line); found != nil {
			block, inner = found[1]+" "+found[2], ""
			if !strings.HasSuffix(line, "{}") {
				all[block] = append(all[block], "")
			}
		} else if found := innerHead.FindStringSubmatch(line); found != nil && block != "" {
			all[block] = append(all[block], found[1])
			inner = " " + found[1]
		} else if line == "  }" {
			inner = ""
		} else if line == "}" {
			block = ""
		} else if found := argument.FindStringSubmatch(line); found != nil && block != "" {
			all[block+inner] = append(all[block+inner], found[1])
		}
	}
	return all
}

func TestRenderedArgumentsAreThoseOfTheProviders(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("setup", "arguments.json"))
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]string
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	for _, file := range golden(t, "terraform", "main.tf") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for block, given := range used(string(text)) {
			known, there := schema[block]
			if !there {
				t.Errorf("%s: %s is not in arguments.json", file, block)
				continue
			}
			for _, name := range given {
				if !slices.Contains(strings.Fields(strings.ReplaceAll(known, "*", "")), name) && name != "" {
					t.Errorf("%s: %s has no argument %s", file, block, name)
				}
			}
			for _, name := range strings.Fields(known) {
				if required, ok := strings.CutSuffix(name, "*"); ok && !slices.Contains(given, required) {
					t.Errorf("%s: %s lacks %s", file, block, required)
				}
			}
		}
	}
}

// TestTheScriptWorksWithTheCLIs runs what is rendered as commands, twice, with Debian's az
// and aws at the true names; then the machine has the role, and another identity has not.
func TestTheScriptWorksWithTheCLIs(t *testing.T) {
	t.Parallel()
	azureCLI(t)
	installed(t, "Debian's AWS CLI", "/usr/bin/aws")
	files, err := setup.Render(setup.Spec{
		Name: "script", Kind: setup.ManagedIdentity, Identity: sandbox.DemoVMObjectID, TenantID: sandbox.DemoTenantID,
		Policies: []string{"arn:aws:iam::aws:policy/ReadOnlyAccess"}, MaxSession: 2 * time.Hour,
	}, setup.Commands)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "setup.sh")
	if err := os.WriteFile(path, files[0].Data, 0o700); err != nil {
		t.Fatal(err)
	}
	script := `
export AWS_ACCESS_KEY_ID=` + sandbox.DemoAdminKeyID + ` AWS_SECRET_ACCESS_KEY=` + sandbox.DemoAdminSecret + ` AWS_DEFAULT_REGION=us-east-1 AWS_PAGER=
sh ` + path + ` >&2
sh ` + path + ` >&2
unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY
app=$(az ad app list --filter "tags/any(t:t eq 'keyless:setup=script')" --query '[].appId' --output tsv)
echo "applications: $(echo "$app" | wc -w)"
role=arn:aws:iam::` + sandbox.DemoAccountID + `:role/keyless-script
` + keyless(t) + ` credential-process --source managed_identity --audience "api://$app" --role-arn "$role" | grep --only-matching AccessKeyId
` + keyless(t) + ` credential-process --source managed_identity --client-id ` + sandbox.DemoAssignedClientID + ` --audience "api://$app" --role-arn "$role" 2>&1 | grep --only-matching AADSTS501051 | head -1
`
	got := isolated(t, "vm", "bash", "-c", asApplication(sandbox.DemoAdminClientID, sandbox.DemoAdminAppSecret, script))
	if want := "applications: 1\nAccessKeyId\nAADSTS501051\n"; got.stdout != want {
		t.Errorf("got %q, want %q: %s", got.stdout, want, got.stderr)
	}
}

// TestSetupUsesTheLoginsOfTheCLIs makes a set-up and takes it away at the true names, with no
// other login than that of az and the keys of aws.
func TestSetupUsesTheLoginsOfTheCLIs(t *testing.T) {
	t.Parallel()
	azureCLI(t)
	flags := ` login --managed-identity ` + sandbox.DemoVMResourceID + ` --policy arn:aws:iam::aws:policy/ReadOnlyAccess`
	script := `
export AWS_ACCESS_KEY_ID=` + sandbox.DemoAdminKeyID + ` AWS_SECRET_ACCESS_KEY=` + sandbox.DemoAdminSecret + `
` + keyless(t) + ` setup apply` + flags + ` --yes --try >/dev/null
` + keyless(t) + ` setup plan` + flags + ` | tail -1
` + keyless(t) + ` setup destroy` + flags + ` --yes
export AZURE_CONFIG_DIR=$(mktemp -d) # nobody is signed in there
` + keyless(t) + ` setup plan` + flags + ` || echo "exit $?"
`
	got := isolated(t, "vm", "bash", "-c", asApplication(sandbox.DemoAdminClientID, sandbox.DemoAdminAppSecret, script))
	if !strings.Contains(got.stdout, "nothing to do\n") || !strings.HasSuffix(got.stdout, "exit 3\n") ||
		!strings.Contains(got.stderr, "it works here") || !strings.Contains(got.stderr, "az login") {
		t.Errorf("stdout %q, stderr %s", got.stdout, got.stderr)
	}
}
