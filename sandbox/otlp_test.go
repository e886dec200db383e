package sandbox_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/keyless-id/keyless/sandbox"
)

// bytesField is a field of protobuf that has bytes.
func bytesField(number byte, value string) string {
	return string([]byte{number<<3 | 2, byte(len(value))}) + value
}

// otlp is a request with items.
func otlp(items ...string) string {
	scope := ""
	for _, item := range items {
		scope += bytesField(2, item)
	}
	return bytesField(1, bytesField(2, scope))
}

func (c *cloud) otlp(t *testing.T, address, path, body string, header ...string) answer {
	t.Helper()
	all := append([]string{"Authorization", "Bearer " + c.identityToken(t, monitorResource), "Content-Type", "application/x-protobuf"}, header...)
	return c.send(t, address+"/dataCollectionRules/"+path, body, all...)
}

const otlpLogs = sandbox.DemoRuleID + "/streams/Microsoft-OTLP-Logs/otlp/v1/logs"

func TestOTLPArrivesByName(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	for _, given := range []struct {
		address, path, body, stream string
		want                        []string
	}{
		{c.dce, otlpLogs, otlp(bytesField(5, bytesField(1, "a")), bytesField(5, bytesField(1, "b"))), "Microsoft-OTLP-Logs", []string{"a", "b"}},
		{c.dce, sandbox.DemoRuleID + "/streams/Microsoft-OTLP-Traces/otlp/v1/traces", otlp(bytesField(5, "GET /")), "Microsoft-OTLP-Traces", []string{"GET /"}},
		{c.workspace, sandbox.DemoMetricsRuleID + "/streams/microsoft-otelmetrics/otlp/v1/metrics", otlp(bytesField(1, "up")), "microsoft-otelmetrics", []string{"up"}},
	} {
		if a := c.otlp(t, given.address, given.path, given.body); a.status != http.StatusOK {
			t.Fatalf("%s: %d %s", given.path, a.status, a.body)
		}
		if got := c.OTLP(given.stream); !slices.Equal(got, given.want) {
			t.Errorf("%s: %q", given.stream, got)
		}
	}
	if a := c.otlp(t, c.dce, otlpLogs, zipped(t, otlp(bytesField(5, bytesField(1, "c")))), "Content-Encoding", "gzip"); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if got := c.OTLP("Microsoft-OTLP-Logs"); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("%q", got)
	}
}

func TestOTLPThatIsNotForThisRuleIsRefused(t *testing.T) {
	c := inProcess(newSandbox(t, sandbox.Demo(), sandbox.Options{}))
	good := otlp(bytesField(5, ""))
	for name, given := range map[string]struct {
		address, path, body string
		header              []string
		want                int
	}{
		"no token":        {c.dce, otlpLogs, good, []string{"Authorization", "Bearer x"}, http.StatusUnauthorized},
		"another rule":    {c.dce, "dcr-00000000000000000000000000000000/streams/Microsoft-OTLP-Logs/otlp/v1/logs", good, nil, http.StatusNotFound},
		"another stream":  {c.dce, sandbox.DemoRuleID + "/streams/" + sandbox.DemoStream + "/otlp/v1/logs", good, nil, http.StatusBadRequest},
		"JSON":            {c.dce, otlpLogs, "{}", []string{"Content-Type", "application/json"}, http.StatusUnsupportedMediaType},
		"no protobuf":     {c.dce, otlpLogs, "\xff", nil, http.StatusBadRequest},
		"metrics to logs": {c.dce, sandbox.DemoMetricsRuleID + "/streams/microsoft-otelmetrics/otlp/v1/metrics", good, nil, http.StatusNotFound},
	} {
		if a := c.otlp(t, given.address, given.path, given.body, given.header...); a.status != given.want {
			t.Errorf("%s: %d %s, want %d", name, a.status, a.body, given.want)
		}
	}
	if got := c.OTLP("Microsoft-OTLP-Logs"); len(got) != 0 {
		t.Errorf("%q", got)
	}
}
