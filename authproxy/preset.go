package authproxy

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/keyless-id/keyless/internal/pattern"
	"github.com/keyless-id/keyless/transport"
)

// Preset is what is known of a service that agents write to.
type Preset struct {
	Name    string
	Methods []string
	Shape   string // what an upstream's address looks like, for people

	aws     string // the service, unless the host's name says which; empty: one of Azure's
	hosts   func() *regexp.Regexp
	path    func() *regexp.Regexp // of an exact route
	version bool                  // whether the query must say api-version
}

// The hosts of Azure Monitor, by cloud ("Data collection endpoints in Azure Monitor",
// Microsoft Learn; those of sovereign clouds are unverified).
var (
	azureHosts   = pattern.Lazy(`^[a-z0-9-]+(?:\.[a-z0-9-]+)*\.ingest\.monitor\.azure\.(com|us|cn)$`)
	metricsHosts = pattern.Lazy(`^[a-z0-9-]+(?:\.[a-z0-9-]+)*\.metrics\.ingest\.monitor\.azure\.(com|us|cn)$`)
)

// The hosts of AWS: "Amazon Managed Service for Prometheus endpoints and quotas", AWS General
// Reference; "Making and signing OpenSearch Service requests", Amazon OpenSearch Service
// Developer Guide. Those of VPC endpoints, and of OpenSearch over IPv6, are unverified.
var (
	prometheusHosts = pattern.Lazy(`^(?:vpce-[a-z0-9-]+\.)?aps-workspaces(?:-fips)?\.(?P<region>[a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|vpce\.amazonaws\.com|api\.aws)$`)
	searchHosts     = pattern.Lazy(`^[a-z0-9-]+\.(?:(?P<region>[a-z0-9-]+)\.(?P<service>es|aoss)\.amazonaws\.com(?:\.cn)?|aos\.(?P<region6>[a-z0-9-]+)\.on\.aws)$`)
)

// Azure reads paths whatever the case, and its own documents write them in two.
var (
	writePath      = pattern.Lazy(`(?i)^/dataCollectionRules/dcr-[0-9a-f]+/streams/Microsoft-PrometheusMetrics/api/v1/write$`)
	streamPath     = pattern.Lazy(`(?i)^/dataCollectionRules/dcr-[0-9a-f]+/streams/[A-Za-z0-9_-]+$`)
	otlpPath       = pattern.Lazy(`(?i)^/dataCollectionRules/dcr-[0-9a-f]+/streams/[A-Za-z0-9_-]+/otlp/v1/(?:logs|traces|metrics)$`)
	workspacesPath = pattern.Lazy(`^/workspaces/ws-[A-Za-z0-9-]+/api/v1/remote_write$`)
)

func presets() []Preset {
	post := []string{http.MethodPost}
	return []Preset{
		{
			Name: "amazon-managed-prometheus", Methods: post, aws: "aps", hosts: prometheusHosts, path: workspacesPath,
			Shape: "https://aps-workspaces.REGION.amazonaws.com/workspaces/ws-…/api/v1/remote_write",
		},
		{
			Name: "amazon-opensearch", Methods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut}, aws: "es", hosts: searchHosts,
			Shape: "https://DOMAIN.REGION.es.amazonaws.com or https://COLLECTION.REGION.aoss.amazonaws.com",
		},
		{
			Name: "azure-logs-ingestion", Methods: post, hosts: azureHosts, path: streamPath, version: true,
			Shape: "https://ENDPOINT.ingest.monitor.azure.com/dataCollectionRules/dcr-…/streams/…?api-version=2023-01-01",
		},
		{
			Name: "azure-monitor-workspace", Methods: post, hosts: metricsHosts, path: writePath, version: true,
			Shape: "https://WORKSPACE.metrics.ingest.monitor.azure.com/dataCollectionRules/dcr-…/streams/Microsoft-PrometheusMetrics/api/v1/write?api-version=2023-04-24",
		},
		{
			Name: "azure-otlp", Methods: post, hosts: azureHosts, path: otlpPath,
			Shape: "https://ENDPOINT.ingest.monitor.azure.com/dataCollectionRules/dcr-…/streams/…/otlp/v1/logs (or traces, or metrics)",
		},
	}
}

// PresetNamed returns a preset by its name.
func PresetNamed(name string) (Preset, bool) {
	for _, p := range presets() {
		if p.Name == name {
			return p, true
		}
	}
	return Preset{}, false
}

// PresetNames are all of them, in alphabetical order.
func PresetNames() []string {
	var all []string
	for _, p := range presets() {
		all = append(all, p.Name)
	}
	return all
}

// Check says what is wrong with an upstream's address for a route with that path. If the
// path ends in a slash the client says the rest of the address, and only the host is looked at.
// An address of loopback is right whatever it is: somebody plays the service there.
func (p Preset) Check(upstream *url.URL, path string) error {
	switch {
	case transport.Loopback(upstream):
		return nil
	case upstream.Scheme != "https" || p.parts(upstream) == nil:
		return fmt.Errorf("host %q is none of %s's: want %s; for an address of your own leave the preset out", upstream.Hostname(), p.Name, p.Shape)
	case strings.HasSuffix(path, "/") || p.path == nil:
		return nil
	case !p.path().MatchString(upstream.Path):
		return fmt.Errorf("path %q: want %s", upstream.Path, p.Shape)
	case p.version && upstream.Query().Get("api-version") == "":
		return fmt.Errorf("the query does not say api-version: want %s", p.Shape)
	}
	return nil
}

// Scope is the scope of the token, by the host's cloud, on loopback the public one's; empty
// for services of AWS.
func (p Preset) Scope(upstream *url.URL) string {
	parts := p.parts(upstream)
	switch {
	case p.aws != "":
		return ""
	case transport.Loopback(upstream):
		return "https://monitor.azure.com/.default"
	case parts == nil:
		return ""
	}
	return "https://monitor.azure." + parts[1] + "/.default"
}

// SigV4 returns what a signature is to be good for, out of the host's name, which has no
// region on loopback; empty for services of Azure.
func (p Preset) SigV4(upstream *url.URL) (service, region string) {
	parts := p.parts(upstream)
	switch {
	case p.aws != "" && transport.Loopback(upstream):
		return p.aws, ""
	case parts == nil || p.aws == "":
		return "", ""
	}
	service = p.aws
	for i, name := range p.hosts().SubexpNames() {
		switch {
		case parts[i] == "":
		case name == "service":
			service = parts[i]
		case name != "":
			region = parts[i]
		}
	}
	return service, region
}

// parts are what the pattern of hosts found in a host's name; nil if it is another's.
func (p Preset) parts(upstream *url.URL) []string {
	return p.hosts().FindStringSubmatch(strings.ToLower(strings.TrimSuffix(upstream.Hostname(), ".")))
}
