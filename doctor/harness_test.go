package doctor_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"iter"
	"maps"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/doctor"
	"github.com/keyless-id/keyless/internal/iam"
	"github.com/keyless-id/keyless/profile"
	"github.com/keyless-id/keyless/sandbox"
	"github.com/keyless-id/keyless/trust"
)

// setup is a workload with all that decides whether it gets its credentials.
type setup struct {
	dir       string
	world     sandbox.World
	host      sandbox.HostKind
	config    map[string]any // the profile p
	serve     map[string]any
	env       map[string]string
	trouble   func(*sandbox.Sandbox)
	around    func(http.RoundTripper) http.RoundTripper // between the workload and the far sides
	policy    bool                                      // the policy is from a file, and IAM is not read
	document  []byte                                    // the file, if it is not the role's policy
	workspace string
	idle      bool // the workload itself is not tried afterwards
	blind     bool // nobody may read IAM, and there is no file
	now       time.Time
	mu        sync.Mutex
	secrets   []string         // that the far sides handed out
	played    *sandbox.Sandbox // of the latest examination
	run       func(func())     // how the examination is run; nil: as it is
}

// login is that of somebody who may read IAM.
func (s *setup) login() keyless.CredentialsProvider {
	if s.blind {
		return nil
	}
	return keyless.CredentialsProviderFunc(func(context.Context) (keyless.Credentials, error) {
		return keyless.Credentials{AccessKeyID: sandbox.DemoAdminKeyID, SecretAccessKey: keyless.NewSecret(sandbox.DemoAdminSecret)}, nil
	})
}

func (s *setup) role(name string) *sandbox.Role {
	roles := s.world.Accounts[0].Roles
	i := slices.IndexFunc(roles, func(r sandbox.Role) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return &roles[i]
}

// ours is the role that the profile names.
func (s *setup) ours() *sandbox.Role {
	arn, _ := s.aws()["role_arn"].(string)
	return s.role(arn[strings.LastIndexByte(arn, '/')+1:])
}

func (s *setup) aws() map[string]any {
	block, _ := s.config["aws"].(map[string]any)
	return block
}

func (s *setup) source(kind string) map[string]any {
	return s.config["source"].(map[string]any)[kind].(map[string]any) //nolint:forcetypeassert // the tests say so
}

func (s *setup) provider(issuer string) *sandbox.OIDCProvider {
	providers := s.world.Accounts[0].Providers
	i := slices.IndexFunc(providers, func(p sandbox.OIDCProvider) bool { return p.URL == issuer })
	return &providers[i]
}

func (s *setup) app(clientID string) *sandbox.App {
	apps := s.world.Tenants[0].Apps
	i := slices.IndexFunc(apps, func(a sandbox.App) bool { return a.ClientID == clientID })
	return &apps[i]
}

// trust replaces a text in the trust policy of the profile's role.
func (s *setup) trust(old, replacement string) {
	r := s.ours()
	r.TrustPolicy = strings.ReplaceAll(r.TrustPolicy, old, replacement)
}

// file writes a file that the configuration or the environment names.
func (s *setup) file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (s *setup) yaml(t *testing.T) []byte {
	t.Helper()
	document := map[string]any{"profiles": map[string]any{"p": s.config}}
	if s.serve != nil {
		document["serve"] = s.serve
	}
	text, err := yaml.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// examine plays the world and has the doctor look at it.
func (s *setup) examine(t *testing.T) doctor.Report {
	t.Helper()
	tokens := filepath.Join(s.dir, "arc")
	if err := os.MkdirAll(tokens, 0o755); err != nil {
		t.Fatal(err)
	}
	played, err := sandbox.New(s.world, sandbox.Options{ArcTokenDir: tokens})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = played.Close() }()
	s.played = played
	if s.trouble != nil {
		s.trouble(played)
	}
	getenv := s.environment(t, played)
	config, err := profile.Parse("keyless.yaml", s.yaml(t))
	if err != nil {
		return doctor.Misconfigured(err)
	}
	serve, err := config.Serve(getenv)
	if err != nil {
		return doctor.Misconfigured(err)
	}
	selected, err := config.Served(serve, "p", getenv)
	if err != nil {
		return doctor.Misconfigured(err)
	}
	selected.Far.ArcTokenDir = tokens
	d := doctor.Doctor{Profile: selected, Routes: serve.Routes("p"), Getenv: getenv, Around: s.transport(played), Login: s.login(), Thorough: true, Workspace: s.workspace}
	if !s.now.IsZero() {
		d.Now = func() time.Time { return s.now }
	}
	if s.policy {
		if d.Policy = s.document; d.Policy == nil {
			d.Policy = []byte(s.ours().TrustPolicy)
		}
	} else {
		d.IAM = account
	}
	var report doctor.Report
	do := func() { report = d.Examine(t.Context()) }
	if s.run == nil {
		do()
	} else {
		s.run(do)
	}
	s.leaksNothing(t, report)
	if !s.idle {
		s.tellsTheTruth(t, selected, getenv, report)
	}
	return report
}

func account(credentials keyless.CredentialsProvider, client *http.Client) doctor.Account {
	return iam.Client{Credentials: credentials, HTTPClient: client}
}

func (s *setup) transport(played *sandbox.Sandbox) func(http.RoundTripper) http.RoundTripper {
	return func(http.RoundTripper) http.RoundTripper {
		far := played.RoundTripper()
		if s.around != nil {
			far = s.around(far)
		}
		return s.overheard(far)
	}
}

// environment is that of the host, but for what the set-up says.
func (s *setup) environment(t *testing.T, played *sandbox.Sandbox) func(string) string {
	t.Helper()
	all := map[string]string{"AWS_REGION": "eu-west-1", "HOME": s.dir, "USER": "somebody", "KEYLESS_INSIDE_AWS_CLI": "1"}
	if s.host != "" {
		pairs, err := played.HostEnv(s.host, s.dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, pair := range pairs {
			name, value, _ := strings.Cut(pair, "=")
			all[name] = value
		}
	}
	maps.Copy(all, s.env)
	return func(name string) string { return all[name] }
}

// handedOut matches what the far sides hand out and nobody else may see.
var handedOut = regexp.MustCompile(`"access_token":"([^"]+)"|"oidcToken":"([^"]+)"|<(?:SecretAccessKey|SessionToken|WebIdentityToken)>([^<]+)<|"(?:SecretAccessKey|Token)":"([^"]+)"`)

// overheard remembers the secrets in answers.
func (s *setup) overheard(far http.RoundTripper) http.RoundTripper {
	return tripper(func(r *http.Request) (*http.Response, error) {
		response, err := far.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(response.Body)
		response.Body = io.NopCloser(bytes.NewReader(body))
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, found := range handedOut.FindAllSubmatch(body, -1) {
			s.secrets = append(s.secrets, string(bytes.Join(found[1:], nil)))
		}
		return response, err
	})
}

func (s *setup) canaries() iter.Seq[string] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Values(slices.Clone(s.secrets))
}

// tellsTheTruth compares the report with what happens to the workload itself: whatever
// fails there has failed in the report.
func (s *setup) tellsTheTruth(t *testing.T, selected *profile.Selected, getenv func(string) string, report doctor.Report) {
	t.Helper()
	own := *selected
	own.Far.Around = s.transport(s.played)
	var err error
	work := func() {
		var built *profile.Built
		if built, err = own.Build(getenv); err != nil {
			return
		}
		if built.Exchanger == nil {
			_, err = built.Source.Token(t.Context())
			return
		}
		_, err = keyless.Federate(built.Source, built.Exchanger).Credentials(t.Context())
	}
	if s.run == nil {
		work()
	} else {
		s.run(work)
	}
	if _, failed := report.FirstFailure(); err != nil && !failed {
		t.Errorf("the workload fails (%v), and the report does not say so", err)
	}
}

// leaksNothing looks for what no report may say.
func (s *setup) leaksNothing(t *testing.T, report doctor.Report) {
	t.Helper()
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	for secret := range s.canaries() {
		if bytes.Contains(text, []byte(secret)) {
			t.Errorf("the report shows %q, which a far side handed out", secret)
		}
	}
	for _, secret := range []string{sandbox.DemoAppSecret, sandbox.DemoJobToken, sandbox.DemoContainerToken, sandbox.DemoAdminSecret, "eyJ", "IQoJ", "hunter2", "PRIVATE KEY"} {
		if bytes.Contains(text, []byte(secret)) {
			t.Errorf("the report shows %q", secret)
		}
	}
}

// bases of set-ups: the ways to prove who one is.

func newSetup(t *testing.T, source map[string]any, audience, role string) *setup {
	t.Helper()
	s := &setup{dir: t.TempDir(), world: sandbox.Demo(), env: map[string]string{}}
	s.config = map[string]any{"source": source, "aws": map[string]any{"role_arn": role, "region": "eu-west-1"}}
	if audience != "" {
		s.config["audience"] = audience
	}
	return s
}

func one(kind string, settings ...map[string]any) map[string]any {
	if len(settings) == 0 {
		return map[string]any{kind: map[string]any{}}
	}
	return map[string]any{kind: settings[0]}
}

func vm(t *testing.T) *setup {
	return newSetup(t, one("managed_identity"), sandbox.DemoAudience, sandbox.DemoRoleARN)
}

func vmV2(t *testing.T) *setup {
	return newSetup(t, one("managed_identity"), sandbox.DemoV2Audience, sandbox.DemoV2RoleARN)
}

func registration() map[string]any {
	return map[string]any{"tenant_id": sandbox.DemoTenantID, "client_id": sandbox.DemoAppClientID}
}

func app(t *testing.T) *setup {
	s := newSetup(t, one("client_secret", registration()), sandbox.DemoAudience, sandbox.DemoRoleARN)
	s.source("client_secret")["client_secret"] = "file:" + s.file(t, "secret", sandbox.DemoAppSecret)
	return s
}

func appV2(t *testing.T) *setup {
	s := app(t)
	s.config["audience"], s.aws()["role_arn"] = sandbox.DemoV2Audience, sandbox.DemoV2RoleARN
	return s
}

// certificate is one for the demo's application, with its key, and its DER.
var certificate = sync.OnceValues(func() (file, der []byte) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "doctor"},
		NotBefore: time.Unix(900000000, 0), NotAfter: time.Unix(4102444800, 0), // the tests' clock begins in the year 2000
	}
	if der, err = x509.CreateCertificate(rand.Reader, template, template, key.Public(), key); err != nil {
		panic(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	file = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return append(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})...), der
})

func certified(t *testing.T) *setup {
	s := newSetup(t, one("certificate", registration()), sandbox.DemoAudience, sandbox.DemoRoleARN)
	file, der := certificate()
	s.source("certificate")["certificate_file"] = s.file(t, "app.pem", string(file))
	s.app(sandbox.DemoAppClientID).Certificates = [][]byte{der}
	return s
}

func hosted(t *testing.T, kind sandbox.HostKind, source string) *setup {
	s := newSetup(t, one(source), sandbox.DemoAudience, sandbox.DemoRoleARN)
	s.host = kind
	return s
}

func webapp(t *testing.T) *setup { return hosted(t, sandbox.HostAppService, "app_service") }

func arc(t *testing.T) *setup { return hosted(t, sandbox.HostArc, "arc") }

func pod(t *testing.T) *setup { return hosted(t, sandbox.HostAKS, "workload_identity") }

func job(t *testing.T) *setup {
	s := newSetup(t, one("azure_pipelines", map[string]any{"service_connection_id": sandbox.DemoConnectionID}), "", sandbox.DemoJobRoleARN)
	s.host = sandbox.HostPipelines
	return s
}

func oldJob(t *testing.T) *setup {
	s := job(t)
	s.source("azure_pipelines")["service_connection_id"] = sandbox.DemoOldConnectionID
	return s
}

func agent(t *testing.T) *setup {
	s := hosted(t, sandbox.HostContainer, "aws")
	s.config["source"] = one("aws", registration())
	s.world.Host.RoleARN, s.world.Host.ContainerToken = sandbox.DemoHostARN, sandbox.DemoContainerToken
	return s
}

func chained(t *testing.T) *setup {
	s := vm(t)
	s.aws()["chain"] = []any{map[string]any{"role_arn": sandbox.DemoChainedARN}}
	return s
}

// logs is an agent that writes to Azure Monitor with the identity of its machine.
func logs(t *testing.T) *setup {
	s := newSetup(t, one("managed_identity"), "", sandbox.DemoRoleARN)
	delete(s.config, "aws")
	s.route("azure-logs-ingestion", "https://demo-abcd.westeurope-1.ingest.monitor.azure.com/dataCollectionRules/"+sandbox.DemoRuleID+"/streams/"+sandbox.DemoStream+"?api-version=2023-01-01")
	return s
}

func metrics(t *testing.T) *setup {
	s := logs(t)
	s.route("azure-monitor-workspace", "https://demo-abcd.westeurope-1.metrics.ingest.monitor.azure.com/dataCollectionRules/"+sandbox.DemoMetricsRuleID+"/streams/"+sandbox.MetricsStream+"/api/v1/write?api-version=2023-04-24")
	return s
}

func amp(t *testing.T) *setup {
	s := vm(t)
	s.route("amazon-managed-prometheus", "https://aps-workspaces.us-east-1.amazonaws.com/workspaces/"+sandbox.DemoWorkspaceID+"/api/v1/remote_write")
	return s
}

func (s *setup) route(preset, upstream string) {
	s.serve = map[string]any{"proxy": []any{map[string]any{
		"listen": "127.0.0.1:8081",
		"routes": []any{map[string]any{"path": "/in", "preset": preset, "upstream": upstream, "profile": "p"}},
	}}}
}

// upstream replaces a text in the address of the one route.
func (s *setup) upstream(old, replacement string) {
	proxy := s.serve["proxy"].([]any)[0].(map[string]any) //nolint:forcetypeassert // route wrote it
	route := proxy["routes"].([]any)[0].(map[string]any)  //nolint:forcetypeassert // the same
	route["upstream"] = strings.ReplaceAll(route["upstream"].(string), old, replacement)
}

// awsConfig has AWS's SDKs get their credentials from keyless.
func (s *setup) awsConfig(t *testing.T) {
	t.Helper()
	s.env["AWS_CONFIG_FILE"] = s.file(t, "aws-config", "[default]\ncredential_process = /usr/bin/keyless credential-process p\n")
	s.env["AWS_SHARED_CREDENTIALS_FILE"] = filepath.Join(s.dir, "aws-credentials")
}

// projected gives the pod the token of somebody else.
func (s *setup) projected(what sandbox.FIC) {
	file := filepath.Join(s.dir, "projected")
	s.env["AZURE_FEDERATED_TOKEN_FILE"] = file
	s.trouble = func(w *sandbox.Sandbox) {
		if err := w.ProjectToken(file, what, time.Hour); err != nil {
			panic(err)
		}
	}
}

// mode makes a folder, if it is to be one, and sets who may use a path.
func mode(t *testing.T, path string, bits os.FileMode) {
	t.Helper()
	if bits == 0o777 {
		if err := os.MkdirAll(path, bits); err != nil {
			t.Fatal(err)
		}
		mode(t, filepath.Dir(path), 0o755)
		mode(t, filepath.Dir(filepath.Dir(path)), 0o755)
	}
	if err := os.Chmod(path, bits); err != nil {
		t.Fatal(err)
	}
}

// misfederate changes all federated credentials of the application.
func (s *setup) misfederate(change func(*sandbox.FIC)) {
	credentials := s.app(sandbox.DemoAppClientID).FederatedCredentials
	for i := range credentials {
		change(&credentials[i])
	}
}

func (s *setup) removeProvider(issuer string) {
	account := &s.world.Accounts[0]
	account.Providers = slices.DeleteFunc(account.Providers, func(p sandbox.OIDCProvider) bool { return p.URL == issuer })
}

// only keeps one statement of a policy.
func only(t *testing.T, policy string, index int) string {
	t.Helper()
	parsed, err := trust.Parse([]byte(policy))
	if err != nil {
		t.Fatal(err)
	}
	parsed.Statements = parsed.Statements[index : index+1]
	text, err := json.Marshal(parsed)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
