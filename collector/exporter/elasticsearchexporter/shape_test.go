package elasticsearchexporter

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

func shaped(t *testing.T, metrics pmetric.Metrics, more block) []document {
	t.Helper()
	docs, err := shaper{configured(t, "http://127.0.0.1:1", more)}.metrics(metrics)
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

func demoTime() time.Time { return time.Date(2026, 1, 2, 3, 5, 0, 0, time.UTC) }

func demoMetrics() pmetric.Metrics {
	all := pmetric.NewMetrics()
	to := instance(all, "i-1")
	value(to, "CPUUtilization Average", "i-1", demoTime(), 50)
	value(to, "NetworkIn Sum", "i-1", demoTime(), 600)
	return all
}

func TestADocumentHasTheShapeOfItsMapping(t *testing.T) {
	const common = `"@timestamp": "2026-01-02T03:05:00.000Z", "data_stream": {"type": "metrics", "dataset": "aws.ec2_metrics", "namespace": "default"}, "ecs": {"version": "8.0.0"}, "service": {"type": "aws"},
		"cloud": {"provider": "aws", "account": {"id": "111122223333"}, "region": "eu-west-1", "availability_zone": "eu-west-1a", "instance": {"id": "i-1", "name": "web-i-1"}, "machine": {"type": "m7g.large"}},`
	const aws = `"cloudwatch": {"namespace": "AWS/EC2"}, "dimensions": {"InstanceId": "i-1"}, "tags": {"team_name": "blue"},`
	for mapping, want := range map[string]string{
		"elastic_agent": `{` + common + `"event": {"module": "aws", "dataset": "aws.ec2_metrics"}, "metricset": {"name": "cloudwatch", "period": 300000},
			"aws": {` + aws + `"ec2": {"instance": {"image": {"id": "ami-1"}}, "metrics": {"CPUUtilization": {"avg": 50}, "NetworkIn": {"sum": 600, "rate": 2}}}},
			"host": {"id": "i-1", "name": "web-i-1", "cpu": {"usage": 0.5}, "network": {"ingress": {"bytes": 600}}}}`,
		"metricbeat": `{` + common + `"event": {"module": "aws", "dataset": "aws.ec2"}, "metricset": {"name": "ec2", "period": 300000},
			"aws": {` + aws + `"ec2": {"instance": {"image": {"id": "ami-1"}}, "cpu": {"total": {"pct": 50}}, "network": {"in": {"bytes_per_sec": 2}}}},
			"host": {"id": "i-1", "name": "web-i-1"}}`,
		"otel": `{"@timestamp": "2026-01-02T03:05:00.000Z", "start_timestamp": "2026-01-02T03:00:00.000Z", "data_stream": {"type": "metrics", "dataset": "aws.ec2_metrics.otel", "namespace": "default"},
			"attributes": {"InstanceId": "i-1"}, "scope": {"name": ""}, "metrics": {"amazonaws.com/AWS/EC2/CPUUtilization.avg": 50, "amazonaws.com/AWS/EC2/NetworkIn.sum": 600},
			"resource": {"attributes": {"cloud.provider": "aws", "cloud.account.id": "111122223333", "cloud.region": "eu-west-1", "cloud.availability_zone": "eu-west-1a", "host.id": "i-1", "host.name": "web-i-1", "host.type": "m7g.large", "host.image.id": "ami-1", "aws.tag.team.name": "blue"}}}`,
	} {
		docs := shaped(t, demoMetrics(), block{"mapping": mapping})
		if len(docs) != 1 {
			t.Fatalf("%s: %d documents", mapping, len(docs))
		}
		var got, wanted any
		if err := json.Unmarshal(docs[0].Source, &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(want), &wanted); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("%s: %s", mapping, diff)
		}
	}
}

func TestPointsOfAnotherTimeOrAnotherInstanceAreOtherDocuments(t *testing.T) {
	all := demoMetrics()
	value(instance(all, "i-1"), "CPUUtilization Average", "i-1", demoTime().Add(-5*time.Minute), 1)
	value(instance(all, "i-2"), "CPUUtilization Average", "i-2", demoTime(), 1)
	value(instance(all, "i-2"), "NetworkIn Sum", "i-2", demoTime(), 1) // another resource of the same attributes
	docs := shaped(t, all, nil)
	ids := map[string]bool{}
	for _, d := range docs {
		ids[d.ID] = true
	}
	if len(docs) != 3 || len(ids) != 3 {
		t.Errorf("%d documents, %d ids", len(docs), len(ids))
	}
	if !strings.Contains(string(docs[0].Source), "03:00:00") {
		t.Errorf("the oldest comes first, not %s", docs[0].Source)
	}
}

func TestTheSameMetricsHaveTheSameIDInAnyOrder(t *testing.T) {
	turned := pmetric.NewMetrics()
	to := instance(turned, "i-1")
	value(to, "NetworkIn Sum", "i-1", demoTime(), 600)
	value(to, "CPUUtilization Average", "i-1", demoTime(), 50)
	if a, b := shaped(t, demoMetrics(), nil)[0].ID, shaped(t, turned, nil)[0].ID; a != b || a == "" {
		t.Errorf("%q and %q", a, b)
	}
}

func TestAGroupOfInstancesIsNoHost(t *testing.T) {
	all := pmetric.NewMetrics()
	to := instance(all, "")
	value(to, "CPUUtilization Average", "", demoTime(), 50)
	dimensions, _ := to.At(0).Gauge().DataPoints().At(0).Attributes().Get("Dimensions")
	dimensions.Map().Clear()
	dimensions.Map().PutStr("AutoScalingGroupName", "web")
	source := string(shaped(t, all, nil)[0].Source)
	if strings.Contains(source, `"host"`) || strings.Contains(source, `"instance"`) || !strings.Contains(source, `"AutoScalingGroupName":"web"`) {
		t.Errorf("%s", source)
	}
}

func TestMetricsFromElsewhereAreWrittenToo(t *testing.T) {
	all := pmetric.NewMetrics()
	r := all.ResourceMetrics().AppendEmpty()
	r.Resource().Attributes().PutStr("service.name", "shop")
	to := r.ScopeMetrics().AppendEmpty().Metrics()
	m := to.AppendEmpty()
	m.SetName("queue.length")
	p := m.SetEmptySum().DataPoints().AppendEmpty()
	p.SetIntValue(7)
	p.SetTimestamp(pcommon.NewTimestampFromTime(demoTime()))
	m = to.AppendEmpty()
	m.SetName("latency")
	s := m.SetEmptySummary().DataPoints().AppendEmpty()
	s.SetTimestamp(pcommon.NewTimestampFromTime(demoTime()))
	s.SetCount(2)
	s.SetSum(6)
	for quantile, v := range map[float64]float64{0: 1, 0.5: 3, 1: 5} {
		q := s.QuantileValues().AppendEmpty()
		q.SetQuantile(quantile)
		q.SetValue(v)
	}
	docs := shaped(t, all, nil)
	const want = `"metrics":{"latency":{"avg":3,"count":2,"max":5,"min":1,"p50":3,"sum":6},"queue_length":{"value":7}}`
	if len(docs) != 1 || docs[0].Stream != "metrics-generic-default" || !strings.Contains(string(docs[0].Source), want) {
		t.Errorf("%+v", docs)
	}
}

func TestAFieldInTheWayOfAnObjectKeepsItsValue(t *testing.T) {
	o := object{}
	o.set("a", 1)
	o.set("a.b", 2)
	o.set("a", 3)
	if got := canonical(o); got != `{"a":{"b":2,"value":3}}` {
		t.Errorf("got %s", got)
	}
}
