package doctor

import (
	"context"
	"fmt"
	"strings"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/azhost"
	"github.com/keyless-id/keyless/internal/wire"
)

// survey is for a machine without a configuration: what host it is, and what could be
// done on it.
func (d Doctor) survey(ctx context.Context) Report {
	seen := &observer{around: d.Around}
	detector := azhost.Detector{Getenv: d.Getenv}
	if d.Around != nil {
		detector.Client, detector.Cloud = seen.client(wire.Near()), seen.client(wire.Cloud())
	}
	found, err := detector.Detect(ctx)
	report := Report{}
	report.add(Finding{
		Check: "configuration", Hop: HopConfiguration, Code: "no-configuration", Verdict: Failed, Summary: "there is no configuration file, and no flags",
		Fix: "write ~/.config/keyless/keyless.yaml\n" + sampleProfile(found.Kind),
	}, hostFinding(found, err))
	return report
}

func hostFinding(found azhost.Detected, err error) Finding {
	f := Finding{Check: "host", Hop: keyless.HopSource, Verdict: OK, Evidence: found.Why}
	if err != nil {
		f.Verdict, f.Code, f.Summary = Warning, "no-host", "nothing here gives a program an identity"
		f.Fix = hinted(err)
		return f
	}
	f.Summary = "this is a host with an identity: " + string(found.Kind)
	if found.Endpoint != "" {
		f.Summary += fmt.Sprintf(", at %s", clean(found.Endpoint))
	}
	return f
}

// sampleProfile is a profile for a kind of host, with words in capitals to fill in.
func sampleProfile(kind azhost.Kind) string {
	return strings.Join([]string{
		"profiles:", "  default:", "    source: { " + sourceFor(kind) + " }", "    audience: api://CLIENT_ID",
		"    aws: { role_arn: \"arn:aws:iam::ACCOUNT:role/NAME\" }",
		"# what Entra and AWS need for it: keyless setup plan --help",
	}, "\n")
}

// sourceFor is the source of a profile for a kind of host.
func sourceFor(kind azhost.Kind) string {
	switch kind {
	case azhost.KindVM:
		return "managed_identity: {}"
	case azhost.KindAppService:
		return "app_service: {}"
	case azhost.KindArc:
		return "arc: {}"
	case azhost.KindWorkloadIdentity:
		return "workload_identity: {}"
	case azhost.KindServiceFabric:
		return "service_fabric: {}"
	case azhost.KindAzureML:
		return "azure_ml: {}"
	case azhost.KindCloudShell:
		return "cloud_shell: {}"
	case azhost.KindAzureCLI:
		return "azure_cli: {}"
	case azhost.KindAzureDeveloperCLI:
		return "azure_developer_cli: {}"
	}
	return "auto: {}"
}
