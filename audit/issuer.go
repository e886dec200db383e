package audit

import (
	"strings"

	"github.com/keyless-id/keyless/internal/pattern"
)

// issuer is what is known of those who sign tokens.
type issuer struct {
	key     string // the provider's name in lower case: the iss claim without https://
	name    string // for people
	tenant  string // what one customer has: an organization, a group
	project string // what one job belongs to: a repository, a namespace

	shared  bool // many customers have this issuer
	builtIn bool // AWS has the provider, without a list of client ids
	strict  bool // a subject that begins with none of the forms does not exist

	pin    string   // the claim that says who it is; empty: sub
	forms  []form   // how claims name tenant and project
	keys   []string // condition keys beyond the default ones; nil: not all are known
	begins []string // how subjects begin, beside their forms
	sample string   // a value for pin, with words in capitals to fill in
	never  string   // a part that no subject has
}

// defaultClaims become condition keys for every issuer ("Available keys for AWS OIDC
// federation", Default).
func defaultClaims() []string { return []string{"aud", "oaud", "sub", "amr", "email"} }

// issuerOf recognises an issuer by the name of its provider.
func issuerOf(key string) *issuer {
	key = strings.ToLower(key)
	host, path, _ := strings.Cut(key, "/")
	i := known(host, path)
	i.key = key
	if i.name == "" {
		i.name = host
	}
	if i.tenant == "" {
		i.tenant, i.project = "issuer's customers", "workload"
	}
	if i.pin == "" {
		i.pin = "sub"
	}
	if i.sample == "" {
		i.sample = "SUBJECT"
	}
	return &i
}

// known has the issuers that AWS calls shared ("Identity-provider controls for shared
// OIDC providers"; the list is unverified) and those of one customer each whose subjects
// are documented.
func known(host, path string) issuer {
	switch {
	case host == "token.actions.githubusercontent.com":
		return gitHub(path)
	case host == "gitlab.com":
		i := gitLab()
		i.shared = true
		return i
	case host == "app.terraform.io":
		i := terraform()
		i.shared = true
		return i
	case host == "agent.buildkite.com":
		return buildkite()
	case host == "oidc.circleci.com":
		return circleCI()
	case host == "api.bitbucket.org":
		return bitbucket()
	case strings.HasSuffix(host, "vstoken.dev.azure.com"):
		return azureDevOps()
	case isEntra(host):
		return entra(host, path)
	case isCluster(host, path):
		return kubernetes()
	case isBuiltIn(host):
		return builtIn(host)
	}
	if i, found := rarer(host, path); found {
		return i
	}
	return private()
}

// gitHub: "OpenID Connect reference" of GitHub's documentation. A subject is made of
// claims that the owner of a repository chooses, so one without a repository, an owner
// or a workflow can be anybody's. Since 2026 names may be followed by @ and an id.
func gitHub(path string) issuer {
	i := issuer{
		name: "GitHub Actions", tenant: "organization", project: "repository", shared: path == "", strict: true,
		sample: "repo:OWNER/REPOSITORY:ref:refs/heads/main",
		forms: []form{
			{claim: "sub", template: "repo:<tenant>/<project>:", anywhere: true},
			{claim: "sub", template: "repository:<tenant>/<project>:", anywhere: true},
			{claim: "sub", template: "repository_id:<project>:", anywhere: true},
			{claim: "sub", template: "repository_owner:<tenant>:", anywhere: true},
			{claim: "sub", template: "repository_owner_id:<tenant>:", anywhere: true},
			{claim: "sub", template: "enterprise:<tenant>:", anywhere: true},
			{claim: "sub", template: "enterprise_id:<tenant>:", anywhere: true},
			{claim: "sub", template: "job_workflow_ref:<tenant>/<project>/", anywhere: true},
			{claim: "sub", template: ":job_workflow_ref:<project>@", later: true},
			{claim: "sub", template: "@*/<project>@:", later: true}, // a branch could be called b@1, but holds no colon
			{claim: "repository", template: "<tenant>/<project>"},
			{claim: "repository_id", template: "<project>"},
			{claim: "repository_owner_id", template: "<tenant>"},
			{claim: "enterprise_id", template: "<tenant>"},
			{claim: "job_workflow_ref", template: "<tenant>/<project>/"},
		},
	}
	// The first nine are documented since January 2026; the last two are unverified.
	i.keys = []string{
		"actor", "actor_id", "job_workflow_ref", "repository", "repository_id", "workflow", "ref", "environment",
		"enterprise_id", "repository_owner_id", "runner_environment",
	}
	i.begins = []string{
		"ref:", "ref_type:", "environment:", "actor:", "actor_id:", "workflow:", "workflow_ref:", "event_name:", "head_ref:",
		"base_ref:", "sha:", "run_id:", "runner_environment:", "repository_visibility:", "repo_property_",
	}
	return i
}

// gitLab: "ID token payload" and "ci_id_token_sub_claim_components".
func gitLab() issuer {
	return issuer{
		name: "GitLab", tenant: "top-level group", project: "project", strict: true,
		sample: "project_path:GROUP/PROJECT:ref_type:branch:ref:main", keys: []string{},
		never: ":ref_type:mr", // pipelines of merge requests have the type branch
		forms: []form{
			{claim: "sub", template: "project_path:<tenant>/<project>:"},
			{claim: "sub", template: "project_id:<project>:"},
			{claim: "sub", template: "namespace_path:<tenant>:"},
			{claim: "sub", template: "namespace_id:<tenant>:"},
			{claim: "sub", template: ":project_path:<project>:", later: true},
			{claim: "sub", template: ":project_id:<project>:", later: true},
		},
	}
}

// terraform: "Workload identity tokens" of HCP Terraform. Names of workspaces are unique
// in an organization.
func terraform() issuer {
	return issuer{
		name: "HCP Terraform", tenant: "organization", project: "project", strict: true,
		sample: "organization:ORGANIZATION:project:PROJECT:workspace:WORKSPACE:run_phase:*", keys: []string{},
		forms: []form{
			{claim: "sub", template: "organization:<tenant>:project:<project>:"},
			{claim: "sub", template: "organization:<tenant>:workspace:<project>:"},
			{claim: "sub", template: ":workspace:<project>:", later: true},
			{claim: "sub", template: ":stack:<project>:", later: true},
		},
	}
}

// buildkite: "OIDC with AWS" of Buildkite's documentation.
func buildkite() issuer {
	return issuer{
		name: "Buildkite", tenant: "organization", project: "pipeline", shared: true,
		sample: "organization:ORGANIZATION:pipeline:PIPELINE:ref:refs/heads/main:*", keys: []string{},
		forms: []form{{claim: "sub", template: "organization:<tenant>:pipeline:<project>:"}},
	}
}

// circleCI: "Using OpenID Connect tokens in jobs"; the issuer's address has the
// organization.
func circleCI() issuer {
	return issuer{
		name: "CircleCI", tenant: "organization", project: "project", strict: true,
		sample: "org/ORGANIZATION_ID/project/PROJECT_ID/user/*",
		forms: []form{
			{claim: "sub", template: "org/<tenant>/project/<project>/"},
			{claim: "oidc.circleci.com/project-id", template: "<project>"},
		},
	}
}

// bitbucket: "Integrate Pipelines with resource servers using OIDC"; the issuer's address
// has the workspace, subjects are ids in braces.
func bitbucket() issuer {
	return issuer{
		name: "Bitbucket", tenant: "workspace", project: "repository", strict: true, keys: []string{},
		sample: "{REPOSITORY_UUID}:*", forms: []form{{claim: "sub", template: "{<project>}"}},
	}
}

// azureDevOps is the older issuer of Azure Pipelines; its address has the organization's
// id.
func azureDevOps() issuer {
	return issuer{
		name: "Azure DevOps", tenant: "organization", project: "project", strict: true, keys: []string{},
		sample: "sc://ORGANIZATION/PROJECT/CONNECTION",
		forms: []form{
			{claim: "sub", template: "sc://<tenant>/<project>/"},
			{claim: "sub", template: "p://<tenant>/<project>/"},
		},
	}
}

// isCluster reports whether these are the tokens of a cluster of EKS, AKS or GKE.
func isCluster(host, path string) bool {
	return strings.HasPrefix(host, "oidc.eks.") || isAKS(host) || host == "container.googleapis.com" && strings.HasPrefix(path, "v1/projects/")
}

// isAKS: these issuers end in a slash.
func isAKS(host string) bool {
	return strings.HasSuffix(host, ".oic.prod-aks.azure.com") || host == "oidc.prod-aks.azure.com"
}

// kubernetes: "IAM roles for service accounts"; the issuer's address has the cluster.
func kubernetes() issuer {
	return issuer{
		name: "the cluster", tenant: "cluster", project: "namespace", strict: true, keys: []string{},
		sample: "system:serviceaccount:NAMESPACE:SERVICE_ACCOUNT",
		forms: []form{
			{claim: "sub", template: "system:serviceaccount:<project>:"},
		},
	}
}

func isBuiltIn(host string) bool {
	return host == "accounts.google.com" || host == "graph.facebook.com" || host == "www.amazon.com" ||
		strings.HasPrefix(host, "cognito-identity") && strings.Contains(host, ".amazonaws.com")
}

// builtIn are the providers that AWS has of itself. The audience of Google's tokens is
// azp: the client that the user signed in to, or a service account.
func builtIn(host string) issuer {
	i := issuer{name: host, tenant: "provider's users", project: "application", shared: true, builtIn: true, pin: "aud", sample: "CLIENT_ID"}
	switch host {
	case "accounts.google.com":
		i.name = "Google"
		i.forms = []form{{claim: "aud", template: "<project>"}, {claim: "sub", template: "<project>"}}
	case "graph.facebook.com", "www.amazon.com":
		i.pin = "app_id"
		i.forms = []form{{claim: "app_id", template: "<project>"}}
	default:
		i.name, i.project = "Amazon Cognito", "identity pool"
		i.sample = "REGION:IDENTITY_POOL_ID"
		i.forms = []form{{claim: "aud", template: "<project>"}}
	}
	return i
}

// rarer are the other issuers that AWS calls shared. That Pulumi's and Vercel's tenants
// are in the audience is AWS's word; both have them in the subject as well.
func rarer(host, path string) (issuer, bool) {
	i := issuer{name: host, tenant: "customer", project: "project", shared: true, keys: []string{}}
	switch {
	case host == "api.pulumi.com":
		i.name, i.tenant = "Pulumi Cloud", "organization"
		i.sample = "pulumi:deploy:org:ORGANIZATION:project:PROJECT:*"
		i.forms = []form{
			{claim: "sub", template: "pulumi:deploy:org:<tenant>:project:<project>:"},
			{claim: "sub", template: "pulumi:environments:org:<tenant>:env:<project>:"},
			{claim: "sub", template: "pulumi:environments:pulumi.organization.login:<tenant>:currentEnvironment.name:<project>:"},
			{claim: "aud", template: "<tenant>"},
		}
	case host == "oidc.vercel.com":
		i.name, i.tenant, i.shared = "Vercel", "team", path == ""
		i.sample = "owner:TEAM:project:PROJECT:environment:production"
		i.forms = []form{{claim: "sub", template: "owner:<tenant>:project:<project>:"}, {claim: "aud", template: "<tenant>"}}
	case host == "scalr.io" || strings.HasSuffix(host, ".scalr.io"):
		i.name, i.tenant, i.project, i.shared = "Scalr", "account", "environment", host == "scalr.io"
		i.forms = []form{
			{claim: "sub", template: "account:<tenant>:environment:<project>:"},
			{claim: "sub", template: ":workspace:<project>:", later: true},
		}
		i.sample = "account:ACCOUNT:environment:ENVIRONMENT:workspace:WORKSPACE"
	case host == "oidc.codefresh.io":
		i.name, i.tenant, i.project = "Codefresh", "account", "pipeline"
		i.forms = []form{{claim: "sub", template: "account:<tenant>:pipeline:<project>:"}}
		i.sample = "account:ACCOUNT_ID:pipeline:PIPELINE_ID:*"
	case host == "proidc.upbound.io":
		i.name, i.tenant, i.project = "Upbound", "organization", "control plane"
		i.forms = []form{{claim: "sub", template: "mcp:<tenant>/<project>:"}}
		i.sample = "mcp:ORGANIZATION/CONTROL_PLANE:provider:provider-aws"
	case strings.HasSuffix(host, ".app.spacelift.io"):
		i.name, i.tenant, i.project, i.shared = "Spacelift", "account", "space", false
		i.forms = []form{{claim: "sub", template: "space:<project>:"}}
		i.sample = "space:SPACE:stack:STACK:run_type:*:scope:*"
	case sharedOpaque(host, path):
		i.keys = nil
	default:
		return issuer{}, false
	}
	return i, true
}

// sharedOpaque are shared issuers whose subjects have no documented form.
func sharedOpaque(host, path string) bool {
	switch host {
	case "vstoken.actions.githubusercontent.com", "oidc-configuration.audit-log.githubusercontent.com", "studio.datachain.ai",
		"tokens.cloud.shisho.dev", "sandboxes.cloud":
		return true
	}
	return host == "oidc.op1.openshiftapps.com" && path == "2f785sojlpb85i7402pk3qogugim5nfb"
}

// private is an issuer that nobody has heard of. Its subjects may be of a form that
// self-managed servers have.
func private() issuer {
	i := issuer{keys: []string{}}
	for _, like := range []issuer{gitHub("server"), gitLab(), terraform(), kubernetes()} {
		for _, f := range like.forms {
			if f.claim == "sub" && !f.later {
				f.anywhere = false
				i.forms = append(i.forms, f)
			}
		}
	}
	return i
}

// isGUID reports whether text is a GUID; Entra's are in lower case.
func isGUID(text string) bool { return pattern.GUID(text) }
