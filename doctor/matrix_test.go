package doctor_test

import (
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keyless-id/keyless/doctor"
	"github.com/keyless-id/keyless/sandbox"
)

var update = flag.Bool("update", false, "write the reference instead of comparing it")

// fault is one thing that is wrong with a set-up.
type fault struct {
	name string // the symptom as people tell it
	base func(*testing.T) *setup
	do   func(*testing.T, *setup)
	code string // of the finding that names the cause
	// mend is what a person does who follows the fix; nil: the fix's own commands, settings
	// and diffs are enough, and are carried out.
	mend func(*testing.T, *setup)
	// unread says that nobody may read IAM: the cause must show in what STS says.
	unread bool
}

func (f fault) set(t *testing.T) *setup {
	t.Helper()
	s := f.base(t)
	f.do(t, s)
	s.blind = s.blind || f.unread
	return s
}

const elsewhere = "99999999-0000-4000-8000-000000000001"

func faults() []fault {
	return slices.Concat(configurationFaults(), registrationFaults(), hostFaults(), jobFaults(), agentFaults(), tokenFaults(), providerFaults(),
		trustFaults(), conditionFaults(), sessionFaults(), chainFaults(), shadowFaults(), ingestionFaults())
}

func configurationFaults() []fault {
	return []fault{
		{
			name: "two sources in one profile", base: vm, code: "configuration",
			do: func(_ *testing.T, s *setup) {
				s.config["source"] = map[string]any{"managed_identity": map[string]any{}, "arc": map[string]any{}}
			},
			mend: func(_ *testing.T, s *setup) { s.config["source"] = one("managed_identity") },
		},
		{
			name: "a scope where the audience belongs", base: vm, code: "configuration",
			do:   func(_ *testing.T, s *setup) { s.config["audience"] = sandbox.DemoAudience + "/.default" },
			mend: func(_ *testing.T, s *setup) { s.config["audience"] = sandbox.DemoAudience },
		},
		{
			name: "a role ARN with an account of eleven digits", base: vm, code: "configuration",
			do:   func(_ *testing.T, s *setup) { s.aws()["role_arn"] = "arn:aws:iam::11112222333:role/keyless-demo" },
			mend: func(_ *testing.T, s *setup) { s.aws()["role_arn"] = sandbox.DemoRoleARN },
		},
		{
			name: "a client secret in the configuration file", base: app, code: "plain-secret",
			do: func(_ *testing.T, s *setup) { s.source("client_secret")["client_secret"] = sandbox.DemoAppSecret },
			mend: func(t *testing.T, s *setup) {
				s.source("client_secret")["client_secret"] = "file:" + s.file(t, "secret", sandbox.DemoAppSecret)
			},
		},
		{
			name: "HTTP_PROXY without an exception for the metadata service", base: vm, code: "proxy-takes-metadata",
			do: func(_ *testing.T, s *setup) {
				s.env["HTTP_PROXY"], s.env["NO_PROXY"] = "http://proxy.corp.example:3128", "localhost"
			},
		},
	}
}

func registrationFaults() []fault {
	return []fault{
		{
			name: "a tenant that does not exist", base: app, code: "AADSTS90002",
			do:   func(_ *testing.T, s *setup) { s.source("client_secret")["tenant_id"] = elsewhere },
			mend: func(_ *testing.T, s *setup) { s.source("client_secret")["tenant_id"] = sandbox.DemoTenantID },
		},
		{
			name: "the tenant of somebody else", base: app, code: "AADSTS700016",
			do: func(_ *testing.T, s *setup) {
				s.world.Tenants = append(s.world.Tenants, sandbox.Tenant{ID: elsewhere})
				s.source("client_secret")["tenant_id"] = elsewhere
			},
			mend: func(_ *testing.T, s *setup) { s.source("client_secret")["tenant_id"] = sandbox.DemoTenantID },
		},
		{
			name: "the object id in the place of the client id", base: app, code: "AADSTS700016",
			do:   func(_ *testing.T, s *setup) { s.source("client_secret")["client_id"] = sandbox.DemoAppObjectID },
			mend: func(_ *testing.T, s *setup) { s.source("client_secret")["client_id"] = sandbox.DemoAppClientID },
		},
		{
			name: "the id of the secret in the place of its value", base: app, code: "AADSTS7000215",
			do:   func(t *testing.T, s *setup) { s.file(t, "secret", elsewhere) },
			mend: func(t *testing.T, s *setup) { s.file(t, "secret", sandbox.DemoAppSecret) },
		},
		{
			name: "a client secret that has expired", base: app, code: "AADSTS7000222",
			do:   func(_ *testing.T, s *setup) { s.app(sandbox.DemoAppClientID).Secrets[0].Expiry = time.Unix(1, 0) },
			mend: func(_ *testing.T, s *setup) { s.app(sandbox.DemoAppClientID).Secrets[0].Expiry = time.Time{} },
		},
		{
			name: "no file with the secret", base: app, code: "file-missing",
			do: func(_ *testing.T, s *setup) {
				s.source("client_secret")["client_secret"] = "file:" + filepath.Join(s.dir, "nothing")
			},
			mend: func(t *testing.T, s *setup) { s.file(t, "nothing", sandbox.DemoAppSecret) },
		},
		{
			name: "a secret that another user may read only", base: app, code: "file-unreadable",
			do:   func(t *testing.T, s *setup) { s.run = asNobody; mode(t, filepath.Join(s.dir, "secret"), 0) },
			mend: func(t *testing.T, s *setup) { s.run = nil; mode(t, filepath.Join(s.dir, "secret"), 0o600) },
		},
		{
			name: "a certificate that was not uploaded", base: certified, code: "AADSTS700027",
			do: func(_ *testing.T, s *setup) { s.app(sandbox.DemoAppClientID).Certificates = nil },
			mend: func(_ *testing.T, s *setup) {
				_, der := certificate()
				s.app(sandbox.DemoAppClientID).Certificates = [][]byte{der}
			},
		},
		{
			name: "an App ID URI that no application has", base: vm, code: "AADSTS500011",
			do:   func(_ *testing.T, s *setup) { s.config["audience"] = "api://" + elsewhere },
			mend: func(_ *testing.T, s *setup) { s.config["audience"] = sandbox.DemoAudience },
		},
		{
			name: "assignment required, and the identity not assigned", base: vm, code: "AADSTS501051",
			do: func(_ *testing.T, s *setup) { s.app(sandbox.DemoAPIClientID).Assigned = nil },
			mend: func(_ *testing.T, s *setup) {
				s.app(sandbox.DemoAPIClientID).Assigned = []string{sandbox.DemoVMObjectID}
			},
		},
		{
			name: "a federated credential for another service account", base: pod, code: "AADSTS700213",
			do: func(_ *testing.T, s *setup) {
				s.projected(sandbox.FIC{Issuer: sandbox.DemoClusterIssuer, Subject: "system:serviceaccount:demo:other", Audience: sandbox.ExchangeAudience})
			},
		},
		{
			name: "a federated credential for another cluster", base: pod, code: "AADSTS700211",
			do: func(_ *testing.T, s *setup) {
				const cluster = "https://westeurope.oic.prod-aks.azure.com/other/"
				s.world.Issuers = append(s.world.Issuers, sandbox.Issuer{URL: cluster})
				s.projected(sandbox.FIC{Issuer: cluster, Subject: sandbox.DemoServiceAccount, Audience: sandbox.ExchangeAudience})
			},
		},
	}
}

func hostFaults() []fault {
	return []fault{
		{
			name: "no metadata service: a laptop", base: vm, code: "metadata-absent",
			do:   func(_ *testing.T, s *setup) { s.around = refused("169.254.169.254") },
			mend: func(_ *testing.T, s *setup) { s.around = nil },
		},
		{
			name: "a proxy eats the requests to the metadata service", base: vm, code: "metadata-proxied",
			do:   func(_ *testing.T, s *setup) { s.around = page("169.254.169.254") },
			mend: func(_ *testing.T, s *setup) { s.around = nil },
		},
		{
			name: "a service mesh forwards the requests to the metadata service", base: vm, code: "metadata-proxied",
			do:   func(_ *testing.T, s *setup) { s.around = forwarded },
			mend: func(_ *testing.T, s *setup) { s.around = nil },
		},
		{
			name: "a VM without an identity", base: vm, code: "identity-missing",
			do:   func(_ *testing.T, s *setup) { s.world.Tenants[0].Identities = nil },
			mend: func(_ *testing.T, s *setup) { s.world.Tenants[0].Identities = sandbox.Demo().Tenants[0].Identities },
		},
		{
			name: "an identity that is not assigned to the VM", base: vm, code: "identity-unknown",
			do:   func(_ *testing.T, s *setup) { s.source("managed_identity")["client_id"] = elsewhere },
			mend: func(_ *testing.T, s *setup) { s.source("managed_identity")["client_id"] = sandbox.DemoVMClientID },
		},
		{
			name: "several user-assigned identities, and none is chosen", base: vm, code: "identity-ambiguous",
			do: func(_ *testing.T, s *setup) {
				identities := s.world.Tenants[0].Identities
				identities[0].SystemAssigned = false
			},
			mend: func(_ *testing.T, s *setup) { s.source("managed_identity")["client_id"] = sandbox.DemoVMClientID },
		},
		{
			name: "IDENTITY_HEADER lost on the way to the program", base: webapp, code: "half-environment",
			do:   func(_ *testing.T, s *setup) { s.env["IDENTITY_HEADER"] = "" },
			mend: func(_ *testing.T, s *setup) { delete(s.env, "IDENTITY_HEADER") },
		},
		{
			name: "a profile for pods on an App Service", base: webapp, code: "other-host",
			do:   func(_ *testing.T, s *setup) { s.config["source"] = one("workload_identity") },
			mend: func(_ *testing.T, s *setup) { s.config["source"] = one("app_service") },
		},
		{
			name: "an App Service whose identity is not switched on", base: webapp, code: "no-host",
			do:   func(_ *testing.T, s *setup) { s.env["IDENTITY_ENDPOINT"], s.env["IDENTITY_HEADER"] = "", "" },
			mend: func(_ *testing.T, s *setup) { s.env = map[string]string{} },
		},
		{
			name: "a user who is not in the group himds", base: arc, code: "himds-group",
			do: func(t *testing.T, s *setup) {
				mode(t, filepath.Join(s.dir, "arc"), 0o777)
				s.run, s.around = asNobody, onKey(func(path string) error { return os.Chmod(path, 0) })
			},
			mend: func(_ *testing.T, s *setup) { s.run, s.around = nil, nil },
		},
		{
			name: "the agent of Azure Arc outside of the container", base: arc, code: "arc-key-elsewhere",
			do:   func(_ *testing.T, s *setup) { s.around = onKey(os.Remove) },
			mend: func(_ *testing.T, s *setup) { s.around = nil },
		},
		{
			name: "the agent of Azure Arc does not run", base: arc, code: "arc-agent-absent",
			do:   func(_ *testing.T, s *setup) { s.around = refused("127.0.0.1") },
			mend: func(_ *testing.T, s *setup) { s.around = nil },
		},
		{
			name: "a pod without the webhook's label", base: pod, code: "no-host",
			do:   func(_ *testing.T, s *setup) { s.env["AZURE_FEDERATED_TOKEN_FILE"] = "" },
			mend: func(_ *testing.T, s *setup) { delete(s.env, "AZURE_FEDERATED_TOKEN_FILE") },
		},
		{
			name: "the projected token is not mounted", base: pod, code: "file-missing",
			do:   func(_ *testing.T, s *setup) { s.env["AZURE_FEDERATED_TOKEN_FILE"] = filepath.Join(s.dir, "nothing") },
			mend: func(_ *testing.T, s *setup) { delete(s.env, "AZURE_FEDERATED_TOKEN_FILE") },
		},
		{
			name: "this machine's clock is 10 minutes ahead", base: vm, code: "clock-ahead",
			do:   func(_ *testing.T, s *setup) { s.trouble = skewed(-10 * time.Minute) },
			mend: func(_ *testing.T, s *setup) { s.trouble = nil },
		},
		{
			name: "this machine's clock is 10 minutes behind", base: certified, code: "clock-behind",
			do:   func(_ *testing.T, s *setup) { s.trouble = skewed(10 * time.Minute) },
			mend: func(_ *testing.T, s *setup) { s.trouble = nil },
		},
		{
			name: "a captive portal in the place of Entra", base: app, code: "intercepted",
			do:   func(_ *testing.T, s *setup) { s.around = page("login.microsoftonline.com") },
			mend: func(_ *testing.T, s *setup) { s.around = nil },
		},
		{
			name: "a proxy opens TLS, with a certificate authority of its own", base: app, code: "certificate-untrusted",
			do:   func(_ *testing.T, s *setup) { s.around = untrusted("login.microsoftonline.com") },
			mend: func(_ *testing.T, s *setup) { s.around = nil },
		},
		{
			name: "a firewall between here and Entra", base: app, code: "unreachable",
			do:   func(_ *testing.T, s *setup) { s.around = refused("login.microsoftonline.com") },
			mend: func(_ *testing.T, s *setup) { s.around = nil },
		},
		{
			name: "Entra is out of order", base: app, code: "busy",
			do: func(_ *testing.T, s *setup) {
				s.trouble = func(w *sandbox.Sandbox) { w.SetFault(sandbox.Entra, sandbox.Fault{Status: 503, Body: "no"}) }
			},
			mend: func(_ *testing.T, s *setup) { s.trouble = nil },
		},
	}
}

func jobFaults() []fault {
	connection := func(s *setup) *sandbox.ServiceConnection {
		return &s.world.Organizations[0].Pipelines[0].Connections[0]
	}
	return []fault{
		{
			name: "the name of the service connection for its id", base: job, code: "connection-name",
			do: func(_ *testing.T, s *setup) { s.source("azure_pipelines")["service_connection_id"] = "aws" },
			mend: func(_ *testing.T, s *setup) {
				s.source("azure_pipelines")["service_connection_id"] = sandbox.DemoConnectionID
			},
		},
		{
			name: "System.AccessToken is not mapped", base: job, code: "job-token-missing",
			do:   func(_ *testing.T, s *setup) { s.env["SYSTEM_ACCESSTOKEN"] = "" },
			mend: func(_ *testing.T, s *setup) { delete(s.env, "SYSTEM_ACCESSTOKEN") },
		},
		{
			name: "a variable of Azure Pipelines that nobody replaced", base: job, code: "job-token-missing",
			do:   func(_ *testing.T, s *setup) { s.env["SYSTEM_ACCESSTOKEN"] = "$(System.AccessToken)" },
			mend: func(_ *testing.T, s *setup) { delete(s.env, "SYSTEM_ACCESSTOKEN") },
		},
		{
			name: "a profile for pipelines, run by hand", base: job, code: "not-a-job",
			do:   func(_ *testing.T, s *setup) { s.env["SYSTEM_OIDCREQUESTURI"] = "" },
			mend: func(_ *testing.T, s *setup) { delete(s.env, "SYSTEM_OIDCREQUESTURI") },
		},
		{
			name: "the access token of a job that is over", base: job, code: "job-token-refused",
			do:   func(_ *testing.T, s *setup) { s.env["SYSTEM_ACCESSTOKEN"] = "hunter2-of-yesterday" },
			mend: func(_ *testing.T, s *setup) { delete(s.env, "SYSTEM_ACCESSTOKEN") },
		},
		{
			name: "a stage that does not name the service connection", base: job, code: "connection-unreferenced",
			do:   func(_ *testing.T, s *setup) { connection(s).Unreferenced = true },
			mend: func(_ *testing.T, s *setup) { connection(s).Unreferenced = false },
		},
		{
			name: "a pipeline that may not use the service connection", base: job, code: "connection-not-permitted",
			do: func(_ *testing.T, s *setup) {
				s.trouble = func(w *sandbox.Sandbox) { w.SetFault(sandbox.Pipelines, sandbox.Fault{Status: http.StatusForbidden}) }
			},
			mend: func(_ *testing.T, s *setup) { s.trouble = nil },
		},
		{
			name: "a service connection of another project", base: job, code: "connection-unknown",
			do: func(_ *testing.T, s *setup) { s.source("azure_pipelines")["service_connection_id"] = elsewhere },
			mend: func(_ *testing.T, s *setup) {
				s.source("azure_pipelines")["service_connection_id"] = sandbox.DemoConnectionID
			},
		},
		{
			name: "the service connection of another subject", base: job, code: "connection-subject",
			do:   func(_ *testing.T, s *setup) { s.source("azure_pipelines")["subject"] = "sc://demo/demo/aws" },
			mend: func(_ *testing.T, s *setup) { delete(s.source("azure_pipelines"), "subject") },
		},
		{
			name: "a service connection with the issuer that is retired, after its end", base: oldJob, code: "issuer-retired",
			do: func(_ *testing.T, s *setup) { s.now = time.Date(2027, 7, 2, 0, 0, 0, 0, time.UTC) },
			mend: func(_ *testing.T, s *setup) { // converted: the id of a connection stays
				s.world.Organizations[0].Pipelines[0].Connections[1].TenantID = sandbox.DemoTenantID
				r := s.ours()
				r.TrustPolicy = strings.ReplaceAll(r.TrustPolicy, sandbox.DemoConnectionID, sandbox.DemoOldConnectionID)
				s.now = time.Time{}
			},
		},
		{
			name: "a service connection that was converted, and an account that was not told", base: job, code: "provider-other-issuer",
			do: func(_ *testing.T, s *setup) {
				s.removeProvider(sandbox.DemoV2Issuer)
			},
		},
	}
}

func agentFaults() []fault {
	return []fault{
		{
			name: "an AWS account that issues no tokens", base: agent, code: "outbound-disabled",
			do: func(_ *testing.T, s *setup) { s.world.Accounts[0].OutboundIssuer = "" },
		},
		{
			name: "a federated credential for another role", base: agent, code: "AADSTS700213",
			do: func(_ *testing.T, s *setup) { s.misfederate(func(f *sandbox.FIC) { f.Subject += "-other" }) },
		},
		{
			name: "a host in AWS without a role", base: agent, code: "aws-credentials-missing",
			do: func(_ *testing.T, s *setup) { s.host = ""; s.world.Host.RoleARN = "" },
			mend: func(_ *testing.T, s *setup) {
				s.host = sandbox.HostContainer
				s.world.Host.RoleARN = sandbox.DemoHostARN
			},
		},
		{
			name: "a container on an instance with a hop limit of 1", base: agent, code: "ec2-hop-limit",
			do:   func(_ *testing.T, s *setup) { s.host = sandbox.HostEC2; s.around = oneHop },
			mend: func(_ *testing.T, s *setup) { s.around = nil },
		},
		{
			name: "a role in AWS that may not ask for a token", base: agent, code: "outbound-not-allowed",
			do: func(_ *testing.T, s *setup) {
				s.around = stsRefuses("GetWebIdentityToken", http.StatusForbidden, "AccessDenied", "User is not authorized to perform: sts:GetWebIdentityToken")
			},
			mend: func(_ *testing.T, s *setup) { s.around = nil },
		},
	}
}

func tokenFaults() []fault {
	return []fault{
		{
			name: "a token for Azure Resource Manager", base: vm, code: "audience-first-party",
			do:   func(_ *testing.T, s *setup) { s.config["audience"] = "https://management.azure.com" },
			mend: func(_ *testing.T, s *setup) { s.config["audience"] = sandbox.DemoAudience },
		},
		{
			name: "api://AzureADTokenExchange as the audience of a managed identity", base: vm, code: "audience-token-exchange",
			do:   func(_ *testing.T, s *setup) { s.config["audience"] = sandbox.ExchangeAudience },
			mend: func(_ *testing.T, s *setup) { s.config["audience"] = sandbox.DemoAudience },
		},
		{
			name: "version 2 tokens of an application whose App ID URI is no GUID", base: vmV2, code: "expected-aud",
			do: func(_ *testing.T, s *setup) {
				s.config["audience"], s.app(sandbox.DemoV2APIClientID).AppIDURI = "api://aws.example", "api://aws.example"
			},
		},
		{
			name: "expected_aud of another application", base: vmV2, code: "audience-mismatch",
			do:   func(_ *testing.T, s *setup) { s.config["expected_aud"] = elsewhere },
			mend: func(_ *testing.T, s *setup) { delete(s.config, "expected_aud") },
		},
		{
			name: "a token that is none of AWS's kind", base: vm, code: "not-a-jwt",
			do:   func(_ *testing.T, s *setup) { s.around = opaque },
			mend: func(_ *testing.T, s *setup) { s.around = nil },
		},
		{
			name: "a token that the issuer's cache kept too long", base: vm, code: "token-expired",
			do: func(_ *testing.T, s *setup) {
				s.around = minted(s, func(claims map[string]any) { claims["exp"] = time.Now().Add(-time.Minute).Unix() })
			},
			mend: func(_ *testing.T, s *setup) { s.around = nil },
		},
		{
			name: "a token that is valid in ten minutes only", base: vm, code: "token-not-yet-valid",
			do: func(_ *testing.T, s *setup) {
				s.around = minted(s, func(claims map[string]any) { claims["nbf"] = time.Now().Add(10 * time.Minute).Unix() })
			},
			mend: func(_ *testing.T, s *setup) { s.around = nil },
		},
		{
			name: "AWS cannot fetch the keys of the issuer", base: vm, code: "issuer-unreachable",
			do: func(_ *testing.T, s *setup) {
				s.trouble = func(w *sandbox.Sandbox) { w.SetFault(sandbox.Keys, sandbox.Fault{Status: 503}) }
			},
			mend: func(_ *testing.T, s *setup) { s.trouble = nil },
		},
		{
			name: "a token signed with a key that is not published", base: vm, code: "issuer-key-unknown",
			do:   func(_ *testing.T, s *setup) { s.around = forged(s, sandbox.UnknownKey) },
			mend: func(_ *testing.T, s *setup) { s.around = nil },
		},
	}
}

func providerFaults() []fault {
	return []fault{
		{name: "no provider", base: vm, code: "provider-missing", do: func(_ *testing.T, s *setup) { s.world.Accounts[0].Providers = nil }},
		{name: "no provider, and IAM cannot be read", base: vm, code: "provider-missing", unread: true, do: func(_ *testing.T, s *setup) { s.world.Accounts[0].Providers = nil }},
		{
			name: "a provider without the slash at the end", base: vm, code: "provider-slash",
			do: func(_ *testing.T, s *setup) {
				s.provider(sandbox.DemoIssuer).URL = strings.TrimSuffix(sandbox.DemoIssuer, "/")
			},
		},
		{
			name: "a version 2 token, and a provider for version 1", base: vmV2, code: "provider-other-version",
			do: func(_ *testing.T, s *setup) { s.removeProvider(sandbox.DemoV2Issuer) },
		},
		{
			name: "a version 1 token, and a provider for version 2", base: vm, code: "provider-other-version",
			do: func(_ *testing.T, s *setup) { s.removeProvider(sandbox.DemoIssuer) },
		},
		{
			name: "a provider for another tenant", base: vm, code: "provider-other-tenant",
			do: func(_ *testing.T, s *setup) {
				s.world.Accounts[0].Providers = []sandbox.OIDCProvider{{URL: "https://sts.windows.net/" + elsewhere + "/", ClientIDs: []string{sandbox.DemoAudience}}}
			},
		},
		{
			name: "the provider does not list the audience", base: vm, code: "client-id-missing",
			do: func(_ *testing.T, s *setup) { s.provider(sandbox.DemoIssuer).ClientIDs = []string{"sts.amazonaws.com"} },
		},
		{
			name: "the provider does not list the audience, and IAM cannot be read", base: vm, code: "client-id-missing", unread: true,
			do: func(_ *testing.T, s *setup) { s.provider(sandbox.DemoIssuer).ClientIDs = []string{"sts.amazonaws.com"} },
		},
		{
			name: "a version 2 token, and a provider that lists the application only", base: vmV2, code: "client-id-azp",
			do: func(_ *testing.T, s *setup) {
				s.provider(sandbox.DemoV2Issuer).ClientIDs = []string{sandbox.DemoV2APIClientID}
			},
		},
		{
			name: "a slash at the end of the audience that the provider does not have", base: vm, code: "client-id-missing",
			do: func(_ *testing.T, s *setup) {
				s.config["audience"] = sandbox.DemoAudience + "/"
				s.trust(`"`+sandbox.DemoAudience+`"`, `"`+sandbox.DemoAudience+`/"`)
			},
		},
	}
}

func trustFaults() []fault {
	allow := `"Effect":"Allow"`
	return []fault{
		{
			name: "a role that does not exist", base: vm, code: "role-missing",
			do:   func(_ *testing.T, s *setup) { s.aws()["role_arn"] = sandbox.DemoRoleARN + "-mistyped" },
			mend: func(_ *testing.T, s *setup) { s.aws()["role_arn"] = sandbox.DemoRoleARN },
		},
		{name: "a role ARN without the role's path", base: vm, code: "role-path", do: func(_ *testing.T, s *setup) { s.ours().Path = "/teams/platform/" }},
		{
			name: "a policy that trusts somebody else", base: vm, code: "sub-mismatch",
			do: func(_ *testing.T, s *setup) { s.aws()["role_arn"] = sandbox.DemoOtherARN },
		},
		{
			name: "the same, with the policy in a file", base: vm, code: "sub-mismatch",
			do: func(_ *testing.T, s *setup) { s.aws()["role_arn"] = sandbox.DemoOtherARN; s.policy = true },
		},
		{
			name: "a policy whose principal lacks the slash", base: vm, code: "principal-slash",
			do: func(_ *testing.T, s *setup) { s.trust(sandbox.DemoTenantID+`/"`, sandbox.DemoTenantID+`"`) },
		},
		{
			name: "a policy for version 1, and a version 2 token", base: vmV2, code: "principal-other-version",
			do: func(_ *testing.T, s *setup) { s.aws()["role_arn"] = sandbox.DemoRoleARN },
		},
		{
			name: "a policy for another tenant", base: vm, code: "principal-other-tenant",
			do: func(_ *testing.T, s *setup) { s.trust(sandbox.DemoTenantID, elsewhere) },
		},
		{
			name: "a policy with the provider of another account", base: vm, code: "principal-other-account",
			do: func(_ *testing.T, s *setup) {
				s.trust("arn:aws:iam::"+sandbox.DemoAccountID, "arn:aws:iam::444455556666")
			},
		},
		{
			name: "a policy that trusts a service of AWS", base: vm, code: "principal-missing",
			do:   func(_ *testing.T, s *setup) { s.aws()["role_arn"] = sandbox.DemoHostARN },
			mend: func(_ *testing.T, s *setup) { s.aws()["role_arn"] = sandbox.DemoRoleARN },
		},
		{
			name: "a job, and a policy for the issuer before the conversion", base: job, code: "principal-other-issuer",
			do: func(t *testing.T, s *setup) {
				s.ours().TrustPolicy = only(t, s.ours().TrustPolicy, 1)
			},
		},
		{
			name: "sts:AssumeRole in the place of sts:AssumeRoleWithWebIdentity", base: vm, code: "action-not-web-identity",
			do: func(_ *testing.T, s *setup) { s.trust("sts:AssumeRoleWithWebIdentity", "sts:AssumeRole") },
		},
		{
			name: "a token with session tags, and no sts:TagSession", base: vm, code: "tag-session",
			do: func(_ *testing.T, s *setup) {
				s.around = minted(s, func(claims map[string]any) {
					claims["https://aws.amazon.com/tags"] = map[string]any{"principal_tags": map[string]any{"team": []string{"platform"}}}
				})
			},
		},
		{
			name: "a token with a source identity, and no sts:SetSourceIdentity", base: vm, code: "source-identity",
			do: func(_ *testing.T, s *setup) {
				s.around = minted(s, func(claims map[string]any) { claims["https://aws.amazon.com/source_identity"] = "platform" })
			},
		},
		{
			name: "a Deny that the identity falls under", base: vm, code: "explicit-deny",
			do: func(_ *testing.T, s *setup) {
				s.trust(`"Statement":[`, `"Statement":[{"Effect":"Deny","Principal":"*","Action":"*","Condition":{"StringEquals":{"sts.windows.net/`+sandbox.DemoTenantID+`/:sub":"`+sandbox.DemoVMObjectID+`"}}},`)
			},
			mend: func(_ *testing.T, s *setup) { s.trust(`"Effect":"Deny"`, allow) },
		},
		{
			name: "a policy that only denies", base: vm, code: "no-allow",
			do: func(_ *testing.T, s *setup) {
				s.trust(allow, `"Effect":"Deny"`)
				s.trust(sandbox.DemoVMObjectID, elsewhere)
			},
			mend: func(_ *testing.T, s *setup) {
				s.trust(`"Effect":"Deny"`, allow)
				s.trust(elsewhere, sandbox.DemoVMObjectID)
			},
		},
	}
}

func conditionFaults() []fault {
	v1, v2 := "sts.windows.net/"+sandbox.DemoTenantID+"/", "login.microsoftonline.com/"+sandbox.DemoTenantID+"/v2.0"
	vmRole := func(t *testing.T) *setup {
		s := vm(t)
		s.aws()["role_arn"] = sandbox.DemoVMRoleARN
		return s
	}
	return []fault{
		{
			name: "the client id for the subject", base: vmRole, code: "sub-is-client-id",
			do: func(_ *testing.T, s *setup) { s.trust(sandbox.DemoVMObjectID, sandbox.DemoVMClientID) },
		},
		{
			name: "the client id for the subject, among others", base: vm, code: "sub-is-client-id",
			do: func(_ *testing.T, s *setup) { s.trust(sandbox.DemoVMObjectID, sandbox.DemoVMClientID) },
		},
		{
			name: "the client id for the subject of a version 2 token", base: appV2, code: "sub-is-client-id",
			do: func(_ *testing.T, s *setup) { s.trust(sandbox.DemoAppObjectID, sandbox.DemoAppClientID) },
		},
		{
			name: "the subject in upper case", base: vmRole, code: "sub-case",
			do: func(_ *testing.T, s *setup) { s.trust(sandbox.DemoVMObjectID, strings.ToUpper(sandbox.DemoVMObjectID)) },
		},
		{
			name: "a wildcard under StringEquals", base: vmRole, code: "wildcard-in-equals",
			do: func(_ *testing.T, s *setup) { s.trust(sandbox.DemoVMObjectID, sandbox.DemoVMObjectID[:30]+"*") },
		},
		{
			name: "a slash too many in the policy's audience", base: vmRole, code: "aud-slash",
			do: func(_ *testing.T, s *setup) { s.trust(sandbox.DemoAudience, sandbox.DemoAudience+"/") },
		},
		{
			name: "the audience of another application in the policy", base: vmRole, code: "aud-mismatch",
			do: func(_ *testing.T, s *setup) { s.trust(sandbox.DemoAudience, "api://"+elsewhere) },
		},
		{
			name: "the application under :aud of a version 2 token", base: vmV2, code: "aud-wants-azp",
			do: func(_ *testing.T, s *setup) {
				r := s.role("keyless-demo-vm")
				s.aws()["role_arn"] = sandbox.DemoVMRoleARN
				r.TrustPolicy = strings.NewReplacer(v1, v2, sandbox.DemoAudience, sandbox.DemoV2APIClientID).Replace(r.TrustPolicy)
			},
		},
		{
			name: "condition keys without the slash", base: vmRole, code: "condition-key-slash",
			do: func(_ *testing.T, s *setup) { s.trust(v1+":", strings.TrimSuffix(v1, "/")+":") },
		},
		{
			name: "condition keys of version 2 for version 1", base: vmRole, code: "condition-key-other-version",
			do: func(_ *testing.T, s *setup) { s.trust(v1+":", v2+":") },
		},
		{
			name: "a condition on oid", base: vmRole, code: "claim-not-mapped",
			do: func(_ *testing.T, s *setup) { s.trust(v1+":sub", v1+":oid") },
		},
		{
			name: "a condition on appid beside the subject", base: vmRole, code: "claim-not-mapped",
			do: func(_ *testing.T, s *setup) {
				s.trust(`"`+v1+`:sub"`, `"`+v1+`:appid":"`+sandbox.DemoVMClientID+`","`+v1+`:sub"`)
			},
		},
		{
			name: "a policy that asks for a session name", base: vmRole, code: "session-name",
			do:   func(_ *testing.T, s *setup) { s.trust(`"`+v1+`:sub"`, `"sts:RoleSessionName":"backup","`+v1+`:sub"`) },
			mend: func(_ *testing.T, s *setup) { s.aws()["session_name"] = "backup" },
		},
		{
			name: "a token that does not list the role", base: vmRole, code: "idp-roles",
			do: func(_ *testing.T, s *setup) {
				s.trust(`"Condition":{`, `"Condition":{"Bool":{"sts:RoleAuthorizedByIdp":"true"},`)
			},
			mend: func(_ *testing.T, s *setup) {
				s.around = minted(s, func(claims map[string]any) { claims["https://aws.amazon.com/roles"] = []string{sandbox.DemoVMRoleARN} })
			},
		},
		{
			name: "a condition on the address of the caller", base: vmRole, code: "condition-unmet",
			do: func(_ *testing.T, s *setup) {
				s.trust(`"Condition":{`, `"Condition":{"IpAddress":{"aws:SourceIp":"198.51.100.0/24"},`)
			},
			mend: func(_ *testing.T, s *setup) { s.trust(`"IpAddress":{"aws:SourceIp":"198.51.100.0/24"},`, "") },
		},
	}
}

func sessionFaults() []fault {
	return []fault{
		{name: "sessions that are longer than the role's", base: vm, code: "session-too-long", do: func(_ *testing.T, s *setup) { s.aws()["duration"] = "12h"; s.ours().MaxSession = 0 }},
		{
			name: "sessions that are longer than the role's, and IAM cannot be read", base: vm, code: "session-too-long", unread: true,
			do: func(_ *testing.T, s *setup) { s.aws()["duration"] = "2h"; s.ours().MaxSession = 0 },
		},
		{name: "a region in which STS is not switched on", base: vm, code: "region-disabled", do: func(_ *testing.T, s *setup) {
			s.aws()["region"], s.world.Accounts[0].DisabledRegions = "me-south-1", []string{"me-south-1"}
		}},
		{
			name: "a session policy that is none", base: vm, code: "session-policy",
			do:   func(_ *testing.T, s *setup) { s.aws()["session_policy"] = "[]" },
			mend: func(_ *testing.T, s *setup) { delete(s.aws(), "session_policy") },
		},
		{
			name: "STS throttles", base: vm, code: "busy",
			do: func(_ *testing.T, s *setup) {
				s.trouble = func(w *sandbox.Sandbox) { w.SetFault(sandbox.STS, sandbox.Fault{Status: 400, Code: "Throttling"}) }
			},
			mend: func(_ *testing.T, s *setup) { s.trouble = nil },
		},
		{
			name: "a captive portal in the place of STS", base: vm, code: "intercepted",
			do:   func(_ *testing.T, s *setup) { s.around = page("sts.eu-west-1.amazonaws.com") },
			mend: func(_ *testing.T, s *setup) { s.around = nil },
		},
		{
			name: "a proxy opens the TLS of STS", base: vm, code: "certificate-untrusted",
			do:   func(_ *testing.T, s *setup) { s.around = untrusted("sts.eu-west-1.amazonaws.com") },
			mend: func(_ *testing.T, s *setup) { s.around = nil },
		},
		{
			name: "a firewall between here and STS", base: vm, code: "unreachable",
			do:   func(_ *testing.T, s *setup) { s.around = refused("sts.eu-west-1.amazonaws.com") },
			mend: func(_ *testing.T, s *setup) { s.around = nil },
		},
		{
			name: "a policy of the organization refuses", base: vm, code: "refused-unexplained",
			do: func(_ *testing.T, s *setup) {
				s.around = stsRefuses("AssumeRoleWithWebIdentity", http.StatusForbidden, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
			},
			mend: func(_ *testing.T, s *setup) { s.around = nil },
		},
		{
			name: "a proxy answers with credentials of somebody else", base: vm, code: "caller-differs",
			do:   func(_ *testing.T, s *setup) { s.around = otherCaller },
			mend: func(_ *testing.T, s *setup) { s.around = nil },
		},
	}
}

func chainFaults() []fault {
	return []fault{
		{
			name: "a chained role that does not trust the first", base: chained, code: "chain-principal",
			do: func(_ *testing.T, s *setup) {
				s.role("keyless-demo-chained").TrustPolicy = strings.ReplaceAll(s.role("keyless-demo-chained").TrustPolicy, "role/keyless-demo\"", "role/nobody\"")
			},
			mend: func(_ *testing.T, s *setup) {
				s.role("keyless-demo-chained").TrustPolicy = strings.ReplaceAll(s.role("keyless-demo-chained").TrustPolicy, "role/nobody\"", "role/keyless-demo\"")
			},
		},
		{
			name: "a chained role that asks for an external id", base: chained, code: "chain-external-id",
			do: func(_ *testing.T, s *setup) {
				r := s.role("keyless-demo-chained")
				r.TrustPolicy = strings.Replace(r.TrustPolicy, `"Action":"sts:AssumeRole"`, `"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"partner-7"}}`, 1)
			},
			mend: func(_ *testing.T, s *setup) {
				s.aws()["chain"] = []any{map[string]any{"role_arn": sandbox.DemoChainedARN, "external_id": "partner-7"}}
			},
		},
		{
			name: "a chained role that does not exist", base: chained, code: "chain-role-missing",
			do:   func(_ *testing.T, s *setup) { s.aws()["chain"] = []any{sandbox.DemoChainedARN + "-mistyped"} },
			mend: func(_ *testing.T, s *setup) { s.aws()["chain"] = []any{sandbox.DemoChainedARN} },
		},
		{
			name: "a chained role that refuses, and IAM cannot be read", base: chained, code: "chain-refused", unread: true,
			do:   func(_ *testing.T, s *setup) { s.aws()["chain"] = []any{sandbox.DemoOtherARN} },
			mend: func(_ *testing.T, s *setup) { s.aws()["chain"] = []any{sandbox.DemoChainedARN} },
		},
	}
}

func shadowFaults() []fault {
	return []fault{
		{name: "keys in the environment", base: vm, code: "environment-keys", do: func(t *testing.T, s *setup) {
			s.awsConfig(t)
			s.env["AWS_ACCESS_KEY_ID"], s.env["AWS_SECRET_ACCESS_KEY"] = "AKIAOFSOMEBODY", "hunter2"
		}},
		{name: "keys in the environment of a program that keyless does not start", base: vm, code: "environment-keys", do: func(_ *testing.T, s *setup) {
			s.env["AWS_ACCESS_KEY_ID"], s.env["AWS_SECRET_ACCESS_KEY"] = "AKIAOFSOMEBODY", "hunter2"
		}},
		{name: "a web-identity token of the environment", base: vm, code: "environment-web-identity", do: func(t *testing.T, s *setup) {
			s.awsConfig(t)
			s.env["AWS_WEB_IDENTITY_TOKEN_FILE"] = "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"
		}},
		{
			name: "static keys of [default] beside its credential_process", base: vm, code: "static-keys",
			do: func(t *testing.T, s *setup) {
				s.awsConfig(t)
				s.file(t, "aws-credentials", "[default]\naws_access_key_id = AKIAOFSOMEBODY\naws_secret_access_key = hunter2\n")
			},
			mend: func(t *testing.T, s *setup) { s.file(t, "aws-credentials", "[default]\n") },
		},
		{name: "AWS_PROFILE names another section", base: vm, code: "other-profile", do: func(t *testing.T, s *setup) {
			s.awsConfig(t)
			s.env["AWS_PROFILE"] = "legacy"
		}},
	}
}

func ingestionFaults() []fault {
	return []fault{
		{
			name: "no role on the data collection rule", base: logs, code: "publisher-missing",
			do: func(_ *testing.T, s *setup) { s.world.Tenants[0].Rules[0].Publishers = nil },
		},
		{
			name: "a role assignment that does not work yet", base: logs, code: "publisher-missing",
			do: func(_ *testing.T, s *setup) {
				s.world.Tenants[0].Rules[0].Publishers = []sandbox.Publisher{{ObjectID: sandbox.DemoVMObjectID, Propagation: 25 * time.Minute}}
			},
			mend: func(_ *testing.T, s *setup) { s.world.Tenants[0].Rules[0].Publishers[0].Propagation = 0 },
		},
		{
			name: "the immutable id of another rule", base: logs, code: "rule-unknown",
			do:   func(_ *testing.T, s *setup) { s.upstream(sandbox.DemoRuleID, "dcr-00000000000000000000000000000000") },
			mend: func(_ *testing.T, s *setup) { s.upstream("dcr-00000000000000000000000000000000", sandbox.DemoRuleID) },
		},
		{
			name: "a stream that the rule does not have", base: logs, code: "stream-unknown",
			do:   func(_ *testing.T, s *setup) { s.upstream(sandbox.DemoStream, "Custom-Mistyped_CL") },
			mend: func(_ *testing.T, s *setup) { s.upstream("Custom-Mistyped_CL", sandbox.DemoStream) },
		},
		{
			name: "a data collection endpoint that does not exist", base: logs, code: "endpoint-unreachable",
			do:   func(_ *testing.T, s *setup) { s.around = refused("demo-abcd.westeurope-1.ingest.monitor.azure.com") },
			mend: func(_ *testing.T, s *setup) { s.around = nil },
		},
		{
			name: "no role on the rule of an Azure Monitor workspace", base: metrics, code: "publisher-missing",
			do: func(_ *testing.T, s *setup) { s.world.Tenants[0].Rules[1].Publishers = nil },
		},
		{
			name: "an endpoint that does not take the token", base: logs, code: "ingestion-audience",
			do: func(_ *testing.T, s *setup) {
				s.around = minted(s, func(claims map[string]any) { claims["aud"] = "https://management.azure.com" })
			},
			mend: func(_ *testing.T, s *setup) { s.around = nil },
		},
		{
			name: "rows that the rule's transformation drops", base: logs, code: "rows-dropped",
			do:   func(_ *testing.T, s *setup) { s.workspace, s.around = elsewhere, workspace(http.StatusOK, someErrors) },
			mend: func(_ *testing.T, s *setup) { s.around = workspace(http.StatusOK, noErrors) },
		},
		{
			name: "an endpoint that is throttled", base: logs, code: "busy",
			do: func(_ *testing.T, s *setup) {
				s.trouble = func(w *sandbox.Sandbox) { w.SetFault(sandbox.DCE, sandbox.Fault{Status: 429}) }
			},
			mend: func(_ *testing.T, s *setup) { s.trouble = nil },
		},
		{
			name: "a role that may not write to Amazon Managed Prometheus", base: amp, code: "ingestion-denied",
			do: func(_ *testing.T, s *setup) { s.world.Accounts[0].Workspaces[0].Writers = nil },
			mend: func(_ *testing.T, s *setup) {
				s.world.Accounts[0].Workspaces[0].Writers = []string{sandbox.DemoRoleARN}
			},
		},
		{
			name: "a workspace of Amazon Managed Prometheus that does not exist", base: amp, code: "workspace-unknown",
			do: func(_ *testing.T, s *setup) {
				s.upstream(sandbox.DemoWorkspaceID, "ws-00000000-0000-4000-8000-000000000000")
			},
			mend: func(_ *testing.T, s *setup) {
				s.upstream("ws-00000000-0000-4000-8000-000000000000", sandbox.DemoWorkspaceID)
			},
		},
	}
}

// cause is the finding that a report blames: the first failure, or the first warning.
func cause(report doctor.Report) doctor.Finding {
	if f, failed := report.FirstFailure(); failed {
		return f
	}
	i := slices.IndexFunc(report.Findings, func(f doctor.Finding) bool { return f.Verdict == doctor.Warning })
	if i < 0 {
		return doctor.Finding{}
	}
	return report.Findings[i]
}

func TestEveryFaultIsNamedAndItsFixMends(t *testing.T) {
	certificate()
	all := faults()
	if len(all) < 40 {
		t.Errorf("%d faults, want 40", len(all))
	}
	for _, f := range all {
		t.Run(f.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := f.set(t)
				report := s.examine(t)
				found := cause(report)
				if found.Code != f.code || found.Fix == "" {
					t.Fatalf("named %q, want %q: %s", found.Code, f.code, shown(report))
				}
				if _, known := doctor.Explain(f.code); !known {
					t.Errorf("nothing explains %s", f.code)
				}
				if f.mend != nil {
					f.mend(t, s)
				} else if !s.apply(t, found.Fix) {
					t.Fatalf("there is nothing to carry out in %q", found.Fix)
				}
				if after := cause(s.examine(t)); after.Code != "" && after.Code != "issuer-retires" {
					t.Errorf("after the fix %q there is %+v", found.Fix, after)
				}
			})
		})
	}
}

// TestTheReferenceIsCurrent writes the matrix as a table for people.
func TestTheReferenceIsCurrent(t *testing.T) {
	certificate()
	const path = "../docs/reference/doctor.md"
	var page strings.Builder
	page.WriteString(referenceHead)
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := f.set(t)
				found := cause(s.examine(t))
				fix := strings.ReplaceAll(remedy(found.Fix), s.dir, "/etc/keyless")
				page.WriteString("| " + cell(f.name) + " | `" + found.Code + "` | " + fix + " |\n")
			})
		})
	}
	page.WriteString("\n## All codes\n\n`keyless doctor --explain CODE` prints these.\n\n| code | means |\n| --- | --- |\n")
	for _, e := range doctor.Codes() {
		page.WriteString("| `" + e.Code + "` | " + cell(e.Means) + " |\n")
	}
	if *update {
		if err := os.WriteFile(path, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(path)
	if err != nil || string(have) != page.String() {
		t.Errorf("%s is not current (%v); run go test ./doctor -run TestTheReferenceIsCurrent -update", path, err)
	}
}

const referenceHead = `# What keyless doctor finds

This page is written by the tests: each line is a set-up that works, broken in one way, examined, mended as the
fix says, and examined again.

| what is wrong | code | what to do |
| --- | --- | --- |
`

// remedy is what to do, and the first command or setting below it.
func remedy(fix string) string {
	advice, rest, _ := strings.Cut(fix, "\n")
	command, _, _ := strings.Cut(rest, "\n")
	if command == "" || strings.HasSuffix(command, ":") || strings.ContainsAny(command[:1], "#-1 ") {
		return cell(advice)
	}
	return cell(advice) + ": `` " + strings.ReplaceAll(command, "|", `\|`) + " ``"
}

func cell(text string) string { return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(text) }

func shown(report doctor.Report) string {
	var b strings.Builder
	for _, f := range report.Findings {
		b.WriteString("\n" + string(f.Verdict) + " " + f.Check + " " + f.Code + ": " + f.Summary + "\n    " + strings.Join(f.Evidence, "\n    ") + "\n  fix: " + f.Fix)
	}
	return b.String()
}
