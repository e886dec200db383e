package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

// The published configurations, run as they are, with the sandbox for Azure.

func TestLogsOfAMachineInAWSReachAzureMonitor(t *testing.T) {
	s := newSandbox(t, sandbox.Options{})
	dir := t.TempDir()
	logs := write(t, filepath.Join(dir, "app.log"), "first\nsecond\n")
	aws, err := s.HostEnv(sandbox.HostEC2, "")
	if err != nil {
		t.Fatal(err)
	}
	identity := fmt.Sprintf("source: {aws: {authority_host: %q}}", s.URL(sandbox.Entra))
	c := newCollector(t, slices.Concat(azure(s), aws, s.Env(), []string{
		"LOGS=" + logs, "AZURE_TENANT_ID=" + sandbox.DemoTenantID, "AZURE_CLIENT_ID=" + sandbox.DemoAppClientID, "AWS_REGION=eu-west-1",
	}), published("aws-azure-monitor.yaml"), over(t, identity, s, "azure_logs_ingestion"))
	c.start()
	await(t, 20*time.Second, "two rows", func() bool { return s.RowCount(sandbox.DemoStream) == 2 })
	if got := column(s, sandbox.DemoStream, "Message"); got["first"] != 1 || got["second"] != 1 {
		t.Errorf("%v", got)
	}
	if s.Requests(sandbox.STS) == 0 {
		t.Error("AWS was not asked who this is")
	}
	c.stop()
}

// send dials until somebody listens, and writes.
func send(t *testing.T, network, address, text string) {
	t.Helper()
	var connection net.Conn
	await(t, 10*time.Second, "somebody at "+address, func() (ok bool) {
		var err error
		connection, err = net.Dial(network, address)
		return err == nil
	})
	defer func() { _ = connection.Close() }()
	if _, err := connection.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func TestSyslogAndCEFReachTheirTables(t *testing.T) {
	s := newSandbox(t, sandbox.Options{})
	syslog, cef := freePort(t), freePort(t)
	ports := write(t, filepath.Join(t.TempDir(), "ports.yaml"), fmt.Sprintf(`
receivers:
  syslog/tcp: {tcp: {listen_address: "127.0.0.1:%[1]d"}}
  syslog/udp: {udp: {listen_address: "127.0.0.1:%[1]d"}}
  tcp_log/cef: {listen_address: "127.0.0.1:%[2]d"}
  udp_log/cef: {listen_address: "127.0.0.1:%[2]d"}
`, syslog, cef))
	// Where the keys of the agent are is not for a configuration to say, so here it is a VM;
	// interop has Arc's own identity.
	text, err := os.ReadFile(published("syslog-cef-sentinel-arc.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config := write(t, filepath.Join(t.TempDir(), "syslog.yaml"), strings.Replace(string(text), "source: { arc: {} }", "", 1))
	c := newCollector(t, azure(s), config, ports, onVM(t, s, "azure_logs_ingestion/syslog", "azure_logs_ingestion/cef"))
	c.start()
	now := time.Now().UTC()
	send(t, "tcp", fmt.Sprintf("127.0.0.1:%d", syslog), "<38>1 "+now.Format(time.RFC3339)+" web-1 sshd 4711 - - Accepted publickey\n")
	send(t, "udp", fmt.Sprintf("127.0.0.1:%d", syslog), "<34>"+now.Format(time.Stamp)+" web-2 su: root on /dev/pts/8")
	send(t, "tcp", fmt.Sprintf("127.0.0.1:%d", cef), "CEF:0|Contoso|Wall|1.0|100|worm stopped|10|src=10.0.0.1 dst=2.1.2.2 spt=1232 dpt=443 act=drop proto=TCP msg=a b\n")
	byLogger(t, syslog, "sent by logger")
	await(t, 20*time.Second, "four rows", func() bool {
		return s.RowCount("Microsoft-Syslog") == 3 && s.RowCount("Microsoft-CommonSecurityLog") == 1
	})
	for _, row := range s.Rows("Microsoft-Syslog") {
		if row["ProcessName"] == "tagged" {
			if row["SyslogMessage"] != "sent by logger" || row["SeverityLevel"] != "warning" || row["Facility"] != "local3" {
				t.Errorf("by logger: %v", row)
			}
			continue
		}
		want := map[string]string{"HostName": "web-1", "Facility": "auth", "SeverityLevel": "info", "ProcessName": "sshd", "ProcessID": "4711", "SyslogMessage": "Accepted publickey"}
		if row["HostName"] == "web-2" {
			want = map[string]string{"HostName": "web-2", "Facility": "auth", "SeverityLevel": "crit", "ProcessName": "su", "SyslogMessage": "root on /dev/pts/8"}
		}
		for name, value := range want {
			if fmt.Sprint(row[name]) != value {
				t.Errorf("%s: got %v, want %s, in %v", name, row[name], value, row)
			}
		}
	}
	row := s.Rows("Microsoft-CommonSecurityLog")[0]
	for name, value := range map[string]string{
		"DeviceVendor": "Contoso", "DeviceProduct": "Wall", "Activity": "worm stopped", "LogSeverity": "10", "SourceIP": "10.0.0.1",
		"DestinationIP": "2.1.2.2", "SourcePort": "1232", "DestinationPort": "443", "DeviceAction": "drop", "Protocol": "TCP",
	} {
		if fmt.Sprint(row[name]) != value {
			t.Errorf("%s: got %v, want %s, in %v", name, row[name], value, row)
		}
	}
	c.stop()
}

// byLogger sends a message with the program that Debian has for that.
func byLogger(t *testing.T, port int, message string) {
	t.Helper()
	logger, err := exec.LookPath("logger")
	if err != nil {
		missing(t, "logger", err.Error())
	}
	command := commandWith(nil, logger, "--server", "127.0.0.1", "--port", strconv.Itoa(port), "--tcp", "--rfc5424", "--tag", "tagged", "--priority", "local3.warning", message)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func post(t *testing.T, url, body string) {
	t.Helper()
	var status int
	await(t, 10*time.Second, "an answer of "+url, func() bool {
		answer, err := http.Post(url, "application/json", strings.NewReader(body))
		if err != nil {
			return false
		}
		defer func() { _ = answer.Body.Close() }()
		status = answer.StatusCode
		return true
	})
	if status != http.StatusOK {
		t.Fatalf("%s: %d", url, status)
	}
}

// otlpPorts moves the receiver to ports that are free.
func otlpPorts(t *testing.T) (file, url string) {
	t.Helper()
	port := freePort(t)
	file = write(t, filepath.Join(t.TempDir(), "otlp.yaml"), fmt.Sprintf(
		`receivers: {otlp: {protocols: {http: {endpoint: "127.0.0.1:%d"}, grpc: {endpoint: "127.0.0.1:%d"}}}}`, port, freePort(t)))
	return file, fmt.Sprintf("http://127.0.0.1:%d", port)
}

func TestOTLPReachesAzureMonitorAsItIs(t *testing.T) {
	s := newSandbox(t, sandbox.Options{})
	ports, url := otlpPorts(t)
	c := newCollector(t, azure(s), published("otlp-azure-monitor.yaml"), ports, onVM(t, s, "otlp_http"))
	c.start()
	post(t, url+"/v1/logs", `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"hello"}}]}]}]}`)
	post(t, url+"/v1/traces", `{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","name":"GET /"}]}]}]}`)
	post(t, url+"/v1/metrics", `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"load","gauge":{"dataPoints":[{"asDouble":1,"timeUnixNano":"1"}]}}]}]}]}`)
	for stream, want := range map[string]string{"Microsoft-OTLP-Logs": "hello", "Microsoft-OTLP-Traces": "GET /", "microsoft-otelmetrics": "load"} {
		await(t, 20*time.Second, stream, func() bool { return slices.Contains(s.OTLP(stream), want) })
	}
	c.stop()
}

func TestMetricsReachAnAzureMonitorWorkspace(t *testing.T) {
	s := newSandbox(t, sandbox.Options{})
	ports, url := otlpPorts(t)
	soon := write(t, filepath.Join(t.TempDir(), "soon.yaml"), "receivers: {host_metrics: {collection_interval: 1s}}")
	env := slices.Concat(azure(s), []string{"DCR=" + sandbox.DemoMetricsRuleID})
	c := newCollector(t, env, published("metrics-azure-monitor-workspace.yaml"), ports, soon, onVM(t, s, "azure_monitor_prometheus"))
	c.start()
	now := time.Now().UnixNano()
	post(t, url+"/v1/metrics", fmt.Sprintf(`{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"answer","gauge":{"dataPoints":[{"asDouble":42,"timeUnixNano":"%d"}]}}]}]}]}`, now))
	await(t, 20*time.Second, "a gauge by OTLP, and one of the host", func() bool { return s.Samples("answer") == 1 && s.Samples("system_cpu_load_average_1m") > 0 })
	if got := s.Series("answer"); len(got) != 1 || got[0].Points[0].Value != 42 {
		t.Errorf("%s", asJSON(t, got))
	}
	c.stop()
}

// Every published configuration is one that the program takes, without a network.
func TestPublishedConfigurationsAreValid(t *testing.T) {
	files, err := filepath.Glob(published("*.yaml"))
	if err != nil || len(files) < 6 {
		t.Fatal(files, err)
	}
	dir := t.TempDir()
	certificate, key := selfSigned(t, dir)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			env := []string{
				"HOME=" + dir, "DCE=https://a.westeurope-1.ingest.monitor.azure.com", "AMW=https://a.westeurope-1.metrics.ingest.monitor.azure.com", "DCR=" + sandbox.DemoRuleID,
				"METRICS_DCR=" + sandbox.DemoRuleID, "STREAM=Custom-A", "LOGS=/var/log/a", "AZURE_TENANT_ID=" + sandbox.DemoTenantID, "AZURE_CLIENT_ID=" + sandbox.DemoAppClientID,
				"COLLECTOR_CERT=" + certificate, "COLLECTOR_KEY=" + key,
				"AUDIENCE=" + sandbox.DemoAudience, "ROLE_ARN=" + sandbox.DemoRoleARN, "AWS_REGION=eu-west-1", "ELASTICSEARCH=https://elastic.example:9200",
			}
			wantValid(t, file, env)
		})
	}
}

func wantValid(t *testing.T, file string, env []string) {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	validate := commandWith(env, path, "validate", "--config", file)
	if out, err := validate.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// What keyless convert --to collector makes is valid as well.
func TestConvertedConfigurationsAreValid(t *testing.T) {
	files, err := filepath.Glob("../../convert/testdata/collector-*.txtar")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	dir := t.TempDir()
	certificate, key := selfSigned(t, dir)
	env := []string{
		"HOME=" + dir, "DATA_COLLECTION_ENDPOINT=https://a.westeurope-1.ingest.monitor.azure.com", "DCR_ID=" + sandbox.DemoRuleID, "TENANT=" + sandbox.DemoTenantID,
		"CLIENT=" + sandbox.DemoAppClientID, "CLIENT_ID=" + sandbox.DemoAppClientID, "SECRET=s", "SENTINEL_SECRET=s", "AZURE_CLIENT_SECRET=s", "ELASTICSEARCH_PASSWORD=s",
	}
	tried := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, config, found := bytes.Cut(text, []byte("-- collector.yaml --\n"))
		if !found {
			continue
		}
		config, _, _ = bytes.Cut(config, []byte("\n-- client --"))
		placed := strings.NewReplacer("/etc/keyless-collector/collector.pem", certificate, "/etc/keyless-collector/collector.key", key).Replace(string(config))
		t.Run(filepath.Base(file), func(t *testing.T) { wantValid(t, write(t, filepath.Join(dir, "c.yaml"), placed), env) })
		tried++
	}
	if tried < 5 {
		t.Errorf("%d configurations", tried)
	}
}
