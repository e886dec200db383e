package convert

import (
	"strings"

	"github.com/keyless-id/keyless/profile"
)

// RemoteWriteSidecar converts the environment of Azure Monitor's remote-write container
// (Microsoft Learn, "Send Prometheus data to Azure Monitor" by managed identity, Microsoft
// Entra ID and Workload ID, and its templates). Its source is not public: that it
// takes POST /api/v1/write is what all its documentation says; what it makes of other
// paths, and of IDENTITY_TYPE in other letters, is unverified.
func RemoteWriteSidecar(getenv func(string) string) (Result, error) {
	e := &environ{getenv: getenv, draft: draft{from: "the environment of Azure Monitor's remote-write container"}}
	if err := e.wherever(); err != nil {
		return Result{}, err
	}
	var err error
	raw := e.must("INGESTION_URL", "the metrics ingestion endpoint in the overview of the Azure Monitor workspace", &err)
	if err != nil {
		return Result{}, err
	}
	u, err := e.upstream(raw, at{path: "INGESTION_URL"})
	if err != nil {
		return Result{}, err
	}
	c, p, err := e.audience()
	if err != nil {
		return Result{}, err
	}
	comment := ""
	if p.Source, comment, err = e.identityType(c); err != nil {
		return Result{}, err
	}
	r := profile.Route{Path: "/api/v1/write", Upstream: u.String(), Profile: e.identify("azure-monitor", comment, p)}
	r.Preset = azurePreset(u, r.Path, p.Scope+p.Audience)
	if err := e.route(r, at{path: "INGESTION_URL"}); err != nil {
		return Result{}, err
	}
	e.unused("adds no label, here or (unverified) there: external_labels of Prometheus does", "CLUSTER")
	e.unused("is not carried over: keyless writes what fails into its log", "TRACE_LOGGING")
	return e.result(""), nil
}

// audience is what CLOUD and INGESTION_AAD_AUDIENCE say.
func (e *environ) audience() (cloud, profile.Profile, error) {
	name := e.getenv("CLOUD")
	given := literal(e.getenv("INGESTION_AAD_AUDIENCE"))
	c, known := cloudNamed(name)
	custom := strings.EqualFold(strings.ReplaceAll(name, "_", ""), "AZURECUSTOM")
	switch {
	case custom && given == "":
		return c, profile.Profile{}, at{path: "INGESTION_AAD_AUDIENCE"}.wrong("the audience of Azure Monitor in that cloud", "is not set, and CLOUD is %s", name)
	case !custom && !known:
		return c, profile.Profile{}, at{path: "CLOUD"}.wrong("AZUREPUBLIC, AZUREGOVERNMENT, AZURECHINA or AZURECUSTOM", "names a cloud that is not known here")
	case strings.HasSuffix(given, "/.default"):
		return c, profile.Profile{Scope: given}, nil
	case given != "":
		return c, profile.Profile{Audience: given}, nil
	}
	return c, profile.Profile{Scope: c.scope}, nil
}

// identityType is what IDENTITY_TYPE names.
func (e *environ) identityType(c cloud) (source *profile.Source, comment string, err error) {
	const kinds = "userAssigned, aadApplication or workloadIdentity"
	switch kind := e.must("IDENTITY_TYPE", kinds, &err); strings.ToLower(kind) {
	case "":
	case "userassigned":
		source, comment = e.managed(e.must("AZURE_CLIENT_ID", "the client id of the managed identity", &err))
	case "aadapplication":
		source = e.certificate("AZURE_", c, &err)
		e.authority(&source.Certificate.Application)
	case "workloadidentity":
		const webhook = "the webhook of Microsoft Entra Workload ID sets it in pods with the label azure.workload.identity/use"
		app := c.application(e.must("AZURE_TENANT_ID", webhook, &err), e.must("AZURE_CLIENT_ID", webhook, &err))
		source = &profile.Source{WorkloadIdentity: &profile.WorkloadIdentity{Application: app, File: e.must("AZURE_FEDERATED_TOKEN_FILE", webhook, &err)}}
		e.authority(&source.WorkloadIdentity.Application)
	default:
		err = at{path: "IDENTITY_TYPE"}.wrong(kinds, "is not known")
	}
	return source, comment, err
}

// authority takes Entra ID's address from AAD_HOST_ENDPOINT, which goes with a cloud of
// one's own.
func (e *environ) authority(app *profile.Application) {
	if given := literal(e.getenv("AAD_HOST_ENDPOINT")); given != "" {
		app.Cloud, app.AuthorityHost = "", given
	}
}
