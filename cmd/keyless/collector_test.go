package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const telling = `# TYPE otelcol_exporter_queue_size gauge
otelcol_exporter_queue_size{data_type="logs",exporter="azure_logs_ingestion"} 250
otelcol_exporter_queue_capacity{data_type="logs",exporter="azure_logs_ingestion"} 1000
otelcol_exporter_sent_log_records{exporter="azure_logs_ingestion"} 1200
otelcol_exporter_sent_metric_points_total{exporter="debug"} 7
otelcol_exporter_send_failed_log_records{exporter="azure_logs_ingestion"} 3
otelcol_exporter_enqueue_failed_log_records{exporter="azure_logs_ingestion"} 2
otelcol_exporter_azure_logs_ingestion_held{exporter="azure_logs_ingestion",dcr="dcr-1",stream="Custom-A",code="403"} HELD
otelcol_exporter_azure_logs_ingestion_rows_dead_lettered{exporter="azure_logs_ingestion",dcr="dcr-1",stream="Custom-A",code="400"} 5
otelcol_process_uptime 60
otelcol_receiver_accepted_log_records{receiver="otlp"} 9
`

// ask runs the command against a Collector that tells text.
func ask(t *testing.T, text string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }))
	t.Cleanup(server.Close)
	var out, errs bytes.Buffer
	args = append([]string{"status", "--collector", strings.TrimPrefix(server.URL, "http://")}, args...)
	code = run(t.Context(), args, nil, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

func TestTheStatusOfACollectorIsReadableAtAGlance(t *testing.T) {
	code, stdout, stderr := ask(t, strings.ReplaceAll(telling, "HELD", "0"))
	want := "✓ collector, up 1m0s\n" +
		"  ✓ azure_logs_ingestion 1200 sent (20/s), 3 failed, 2 rejected by the full queue, 5 dead letters, queue 250 of 1000 (25%)\n" +
		"  ✓ debug 7 sent (0.117/s)\n"
	if code != exitOK || stdout != want || stderr != "" {
		t.Errorf("%d\n%s\nwant\n%s\n%s", code, stdout, want, stderr)
	}
}

func TestWhatACollectorHoldsBackIsSaid(t *testing.T) {
	code, stdout, _ := ask(t, strings.ReplaceAll(telling, "HELD", "300"))
	if code != exitFailed || !strings.Contains(stdout, "held 5m0s: Custom-A 403\n") {
		t.Errorf("%d\n%s", code, stdout)
	}
	code, stdout, _ = ask(t, strings.ReplaceAll(telling, "HELD", "300"), "--json")
	if code != exitFailed || !strings.Contains(stdout, `"code": "403"`) || !strings.Contains(stdout, `"queue_capacity": 1000`) {
		t.Errorf("%d\n%s", code, stdout)
	}
}

const metering = `otelcol_exporter_sent_metric_points{exporter="elasticsearch"} 900
otelcol_exporter_elasticsearch_documents_total{exporter="elasticsearch",outcome="created"} 300
otelcol_exporter_elasticsearch_documents_total{exporter="elasticsearch",outcome="retried"} 12
otelcol_exporter_elasticsearch_documents_total{exporter="elasticsearch",outcome="dead_lettered"} 2
otelcol_exporter_elasticsearch_held{exporter="elasticsearch",code="429"} HELD
otelcol_receiver_aws_cloudwatch_metrics_points_total{receiver="aws_cloudwatch_metrics"} 900
otelcol_receiver_aws_cloudwatch_metrics_queries_total{receiver="aws_cloudwatch_metrics"} 1000
otelcol_receiver_aws_cloudwatch_metrics_throttled_total{operation="GetMetricData",account="111122223333",region="eu-west-1",receiver="aws_cloudwatch_metrics"} 3
otelcol_receiver_aws_cloudwatch_metrics_throttled_total{operation="GetMetricData",account="111122223333",region="us-east-1",receiver="aws_cloudwatch_metrics"} 4
otelcol_receiver_aws_cloudwatch_metrics_failed_total{account="111122223333",region="us-east-1",receiver="aws_cloudwatch_metrics"} 1
otelcol_receiver_aws_cloudwatch_metrics_budget_left{receiver="aws_cloudwatch_metrics"} LEFT
otelcol_receiver_aws_cloudwatch_metrics_points_total{receiver="aws_cloudwatch_metrics/2"} 7
otelcol_receiver_aws_cloudwatch_metrics_queries_total{receiver="aws_cloudwatch_metrics/2"} 8
`

func TestTheWayFromCloudWatchToElasticsearchIsTold(t *testing.T) {
	code, stdout, _ := ask(t, strings.NewReplacer("HELD", "0", "LEFT", "400").Replace(metering))
	want := "  ✓ elasticsearch 900 sent, 12 sent again, 2 dead letters\n" +
		"  ✓ aws_cloudwatch_metrics 900 points of 1000 queries, 7 requests throttled, 1 parts failed, 400 queries left in the budget\n" +
		"  ✓ aws_cloudwatch_metrics/2 7 points of 8 queries\n"
	if code != exitOK || !strings.HasSuffix(stdout, want) {
		t.Errorf("%d\n%s\nwant\n%s", code, stdout, want)
	}
	code, stdout, _ = ask(t, strings.NewReplacer("HELD", "60", "LEFT", "0").Replace(metering))
	if code != exitFailed || !strings.Contains(stdout, "held 1m0s: 429\n") || !strings.Contains(stdout, "✗ aws_cloudwatch_metrics") {
		t.Errorf("%d\n%s", code, stdout)
	}
	_, stdout, _ = ask(t, strings.NewReplacer("HELD", "0", "LEFT", "0").Replace(metering), "--json")
	for _, want := range []string{`"retried": 12`, `"dead_lettered": 2`, `"throttled": 7`, `"budget_left": 0`} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%s is not in %s", want, stdout)
		}
	}
}

func TestWithoutABudgetNothingIsLeftOfIt(t *testing.T) {
	_, stdout, _ := ask(t, "otelcol_receiver_aws_cloudwatch_metrics_points 5\n")
	if strings.Contains(stdout, "budget") || !strings.Contains(stdout, "✓ aws_cloudwatch_metrics 5 points") {
		t.Errorf("%s", stdout)
	}
}

func TestACollectorThatCannotBeAskedIsNoGoodOne(t *testing.T) {
	code, stdout, stderr := ask(t, "<html>")
	if code != exitFailed || stdout != "" || !strings.Contains(stderr, "line 1 is no sample of a metric") {
		t.Errorf("%d %q %q", code, stdout, stderr)
	}
	var out, errs bytes.Buffer
	code = run(t.Context(), []string{"status", "--collector", "127.0.0.1:1"}, nil, strings.NewReader(""), &out, &errs)
	if code != exitFailed || !strings.Contains(errs.String(), "the Collector at 127.0.0.1:1") {
		t.Errorf("%d %q", code, errs.String())
	}
}
