package setup

import (
	"fmt"
	"strings"

	"github.com/keyless-id/keyless/internal/graph"
)

// Profile is the part of keyless.yaml that uses a set-up.
func Profile(spec Spec, state State) string {
	t := target{spec, state}
	var b strings.Builder
	line := func(indent int, format string, args ...any) {
		fmt.Fprintf(&b, strings.Repeat("  ", indent)+format+"\n", args...)
	}
	line(0, "profiles:")
	line(1, "%s:", spec.Name)
	line(2, "source:")
	for _, text := range t.source() {
		line(3, "%s", text)
	}
	switch {
	case spec.Kind == FromAWS:
		line(2, "audience: https://monitor.azure.com   # or whatever in Azure the workload uses")
		return b.String()
	case spec.Kind != Pipelines:
		line(2, "audience: %s", t.audience())
		if spec.version() == 2 && !strings.Contains(t.audience(), t.appID()) {
			line(2, "expected_aud: %s", t.appID())
		}
	}
	line(2, "aws:")
	line(3, "role_arn: %s", t.roleARN())
	if spec.Region != "" {
		line(3, "region: %s", spec.Region)
	}
	return b.String()
}

// source is the block that proves the workload.
func (t target) source() []string {
	switch {
	case t.Kind == Pipelines:
		id := t.Connection.ID
		if id == "" { // the path says whom to trust; a job needs the id
			id = "${SERVICE_CONNECTION_ID}"
		}
		return []string{"azure_pipelines:", "  service_connection_id: " + id}
	case t.Kind == FromAWS:
		client := t.Principal.ClientID
		if client == "" {
			client = t.appID()
		}
		lines := []string{"aws:", "  tenant_id: " + t.State.TenantID, "  client_id: " + client}
		if t.Region != "" {
			lines = append(lines, "  region: "+t.Region)
		}
		return lines
	case t.Pod != Pod{}:
		return []string{"workload_identity:", "  tenant_id: " + t.State.TenantID, "  client_id: " + t.Principal.ClientID}
	case t.Kind == Application:
		return []string{"client_secret:", "  tenant_id: " + t.State.TenantID, "  client_id: " + t.Identity, "  client_secret: ${AZURE_CLIENT_SECRET}"}
	}
	return []string{t.managedSource()}
}

// managedSource is what finds the managed identity where the resource is.
func (t target) managedSource() string {
	lower := strings.ToLower(t.Identity)
	switch {
	case strings.Contains(lower, "/microsoft.web/"), strings.Contains(lower, "/microsoft.app/"):
		return "app_service: {}"
	case strings.Contains(lower, "/microsoft.hybridcompute/"):
		return "arc: {}"
	case strings.Contains(lower, "/microsoft.compute/"):
		return "managed_identity: {}"
	case graph.IsUserAssigned(t.Identity) && t.Principal.ClientID != "":
		return "auto: { client_id: " + t.Principal.ClientID + " }"
	}
	return "auto: {}"
}

// Try is the command that shows whether a set-up works, where the workload is.
func Try(spec Spec) string {
	if spec.Kind == FromAWS {
		return "keyless token " + spec.Name + " --claims"
	}
	return "keyless exec " + spec.Name + " -- aws sts get-caller-identity"
}
