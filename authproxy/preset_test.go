package authproxy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/keyless-id/keyless/authproxy"
)

const (
	dcr     = "/dataCollectionRules/dcr-0123456789abcdef0123456789abcdef"
	rw      = dcr + "/streams/Microsoft-PrometheusMetrics/api/v1/write?api-version=2023-04-24"
	logs    = dcr + "/streams/Custom-App_CL?api-version=2023-01-01"
	otlp    = "/datacollectionRules/dcr-0123456789abcdef0123456789abcdef/streams/Microsoft-OTLP-Logs/otlp/v1/logs"
	amp     = "/workspaces/ws-01234567-89ab-cdef-0123-456789abcdef/api/v1/remote_write"
	metrics = "https://x-a1b2.westeurope-1.metrics.ingest.monitor.azure."
	ingest  = "https://x-a1b2.westeurope-1.ingest.monitor.azure."
)

func TestAPresetKnowsItsServiceByTheAddress(t *testing.T) {
	for _, c := range []struct{ preset, upstream, scope, service, region string }{
		{"azure-monitor-workspace", metrics + "com" + rw, "https://monitor.azure.com/.default", "", ""},
		{"azure-monitor-workspace", metrics + "us" + rw, "https://monitor.azure.us/.default", "", ""},
		{"azure-monitor-workspace", metrics + "cn" + rw, "https://monitor.azure.cn/.default", "", ""},
		{"azure-logs-ingestion", ingest + "com" + logs, "https://monitor.azure.com/.default", "", ""},
		{"azure-logs-ingestion", "https://X-A1B2.WESTEUROPE-1.ingest.monitor.azure.us." + logs, "https://monitor.azure.us/.default", "", ""},
		{"azure-otlp", ingest + "com" + otlp, "https://monitor.azure.com/.default", "", ""},
		{"azure-otlp", metrics + "cn" + strings.Replace(otlp, "Logs/otlp/v1/logs", "Metrics/otlp/v1/metrics", 1), "https://monitor.azure.cn/.default", "", ""},
		{"amazon-managed-prometheus", "https://aps-workspaces.eu-west-1.amazonaws.com" + amp, "", "aps", "eu-west-1"},
		{"amazon-managed-prometheus", "https://aps-workspaces.cn-north-1.amazonaws.com.cn" + amp, "", "aps", "cn-north-1"},
		{"amazon-managed-prometheus", "https://aps-workspaces-fips.us-gov-west-1.amazonaws.com" + amp, "", "aps", "us-gov-west-1"},
		{"amazon-managed-prometheus", "https://aps-workspaces.us-east-2.api.aws" + amp, "", "aps", "us-east-2"},
		{"amazon-managed-prometheus", "https://vpce-0a-1b.aps-workspaces.us-east-1.vpce.amazonaws.com" + amp, "", "aps", "us-east-1"},
		{"amazon-opensearch", "https://search-logs-abc.eu-central-1.es.amazonaws.com/", "", "es", "eu-central-1"},
		{"amazon-opensearch", "https://search-logs-abc.cn-northwest-1.es.amazonaws.com.cn/_bulk", "", "es", "cn-northwest-1"},
		{"amazon-opensearch", "https://abc123.us-west-2.aoss.amazonaws.com", "", "aoss", "us-west-2"},
		{"amazon-opensearch", "https://search-logs-abc.aos.us-east-1.on.aws/", "", "es", "us-east-1"},
	} {
		p, ok := authproxy.PresetNamed(c.preset)
		u := address(t, c.upstream)
		if err := p.Check(u, "/exact"); !ok || err != nil {
			t.Errorf("%s %s: %v", c.preset, c.upstream, err)
		}
		service, region := p.SigV4(u)
		if p.Scope(u) != c.scope || service != c.service || region != c.region {
			t.Errorf("%s: %q, %q, %q", c.upstream, p.Scope(u), service, region)
		}
	}
}

func TestAnAddressThatIsNotTheServicesIsSaidToBe(t *testing.T) {
	for _, c := range []struct{ preset, upstream, word string }{
		{"azure-monitor-workspace", ingest + "com" + rw, "host"},
		{"azure-monitor-workspace", metrics + "com.evil.example" + rw, "host"},
		{"azure-monitor-workspace", "https://evil.example/x.metrics.ingest.monitor.azure.com", "host"},
		{"azure-monitor-workspace", "https://evilmetrics.ingest.monitor.azure.org" + rw, "host"},
		{"azure-monitor-workspace", strings.Replace(metrics, "https", "http", 1) + "com" + rw, "host"},
		{"azure-monitor-workspace", metrics + "com/api/v1/write", "path"},
		{"azure-monitor-workspace", metrics + "com" + logs, "path"},
		{"azure-monitor-workspace", metrics + "com" + strings.TrimSuffix(rw, "?api-version=2023-04-24"), "api-version"},
		{"azure-logs-ingestion", ingest + "com", "path"},
		{"azure-logs-ingestion", ingest + "com/", "path"},
		{"azure-logs-ingestion", ingest + "com" + strings.TrimSuffix(logs, "?api-version=2023-01-01"), "api-version"},
		{"azure-logs-ingestion", ingest + "com/dataCollectionRules/myrule/streams/Custom-x?api-version=1", "path"},
		{"azure-logs-ingestion", "https://ingest.monitor.azure.com" + logs, "host"},
		{"azure-otlp", ingest + "com" + logs, "path"},
		{"amazon-managed-prometheus", "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/query", "path"},
		{"amazon-managed-prometheus", "https://aps.eu-west-1.amazonaws.com" + amp, "host"},
		{"amazon-managed-prometheus", "https://aps-workspaces.eu-west-1.amazonaws.com.evil.example" + amp, "host"},
		{"amazon-opensearch", "https://es.eu-west-1.amazonaws.com/2021-01-01/domain", "host"},
		{"amazon-opensearch", "https://x.eu-west-1.es.amazonaws.com.evil.example/", "host"},
		{"amazon-opensearch", "https://x.y.eu-west-1.es.amazonaws.com/", "host"},
	} {
		p, _ := authproxy.PresetNamed(c.preset)
		u := address(t, c.upstream)
		err := p.Check(u, "/exact")
		if err == nil || !strings.HasPrefix(err.Error(), c.word) && !strings.Contains(err.Error(), "say "+c.word) || !strings.Contains(err.Error(), "want https://") {
			t.Errorf("%s %s: %v, want it to speak of the %s", c.preset, c.upstream, err, c.word)
		}
		if service, region := p.SigV4(u); c.word == "host" && u.Scheme == "https" && p.Scope(u)+service+region != "" {
			t.Errorf("%s: %q, %q, %q", c.upstream, p.Scope(u), service, region)
		}
	}
}

func TestBelowAPrefixOnlyTheHostIsKnown(t *testing.T) {
	p, _ := authproxy.PresetNamed("azure-logs-ingestion")
	if err := p.Check(address(t, ingest+"com"), "/dataCollectionRules/"); err != nil {
		t.Error(err)
	}
	if err := p.Check(address(t, "https://evil.example/"), "/dataCollectionRules/"); err == nil {
		t.Error("another's host is not refused")
	}
}

func TestPresetsHaveNames(t *testing.T) {
	all := authproxy.PresetNames()
	want := []string{"amazon-managed-prometheus", "amazon-opensearch", "azure-logs-ingestion", "azure-monitor-workspace", "azure-otlp"}
	if !slices.Equal(all, want) {
		t.Errorf("%q", all)
	}
	for _, name := range all {
		if p, ok := authproxy.PresetNamed(name); !ok || p.Name != name || len(p.Methods) == 0 || p.Shape == "" {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if p, ok := authproxy.PresetNamed("azure"); ok {
		t.Errorf("%+v", p)
	}
}
