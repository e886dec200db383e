package doctor

import (
	"fmt"
	"strings"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/pattern"
)

// configuration is about what can be said without asking anybody.
func (e *evidence) configuration() Finding {
	if e.buildErr == nil {
		return Finding{Check: "configuration", Hop: HopConfiguration, Verdict: OK, Summary: e.described()}
	}
	f := configurationWrong(e.buildErr)
	if job := e.Profile.Source.AzurePipelines; job != nil {
		e.jobConfiguration(job.ServiceConnectionID, &f)
	}
	return f
}

func (e *evidence) described() string {
	text := "the profile can be read"
	if e.Profile.Name != "" {
		text = fmt.Sprintf("profile %q can be read", e.Profile.Name)
	}
	if e.Profile.Path != "" {
		text += ", from " + clean(e.Profile.Path)
	}
	return text
}

// jobConfiguration knows what a job of Azure Pipelines lacks most often.
func (e *evidence) jobConfiguration(connection string, f *Finding) {
	const mapping = "steps:\n- script: keyless …\n  env:\n    SYSTEM_ACCESSTOKEN: $(System.AccessToken)"
	access := e.Getenv("SYSTEM_ACCESSTOKEN")
	switch {
	case access == "", strings.HasPrefix(access, "$("):
		f.Code, f.Summary = "job-token-missing", "the job's access token is not mapped into this task"
		f.Fix = "a task gets the token only if its env names it\n" + mapping
	case !pattern.GUID(connection):
		f.Code, f.Summary = "connection-name", fmt.Sprintf("service_connection_id is %q, which is a name and not an id", clean(connection))
		f.Fix = "Azure DevOps answers a name with the pipeline's own token; write the id (Project settings, Service connections, the connection: resourceId in the address)\n" +
			"az devops service-endpoint list --query \"[?name=='" + strings.ReplaceAll(clean(connection), "'", "") + "'].id\" --output tsv"
	case e.Getenv("SYSTEM_OIDCREQUESTURI") == "":
		f.Code, f.Summary = "not-a-job", "SYSTEM_OIDCREQUESTURI is not set: this is no job of Azure Pipelines"
		f.Fix = "run it in a job, on an agent of 2023 or later; elsewhere choose another source"
	}
}

func (e *evidence) plainSecret() Finding {
	if len(e.Profile.Warnings) == 0 {
		return Finding{}
	}
	return Finding{
		Check: "secrets", Hop: HopConfiguration, Code: "plain-secret", Verdict: Warning, Summary: "a secret stands in the configuration file itself",
		Evidence: e.Profile.Warnings, Fix: "move it into a file that only this user may read, and write file:/path, or ${NAME} for an environment variable",
	}
}

// proxyVariables warns of what keyless does not do, and other programs here will: Go's,
// Python's and curl's clients send metadata requests through the proxy as well.
func (e *evidence) proxyVariables() Finding {
	proxy, except := firstOf(e.Getenv, "HTTP_PROXY", "http_proxy"), firstOf(e.Getenv, "NO_PROXY", "no_proxy")
	if proxy == "" || e.Profile.Source == nil || e.Profile.Source.ManagedIdentity == nil && e.Profile.Source.Auto == nil {
		return Finding{}
	}
	if strings.Contains(except, "169.254") || strings.TrimSpace(except) == "*" {
		return Finding{}
	}
	return Finding{
		Check: "proxy", Hop: keyless.HopSource, Code: "proxy-takes-metadata", Verdict: Warning,
		Summary:  "HTTP_PROXY also takes what is meant for the metadata service",
		Evidence: []string{"HTTP_PROXY is set, and NO_PROXY does not name 169.254.169.254"},
		Fix:      "keyless asks the service directly all the same; other programs do not\nexport NO_PROXY=" + quoted(strings.TrimPrefix(except+",169.254.169.254", ",")),
	}
}

func firstOf(getenv func(string) string, names ...string) string {
	for _, name := range names {
		if value := getenv(name); value != "" {
			return value
		}
	}
	return ""
}
