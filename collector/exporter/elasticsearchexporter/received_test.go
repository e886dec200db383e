package elasticsearchexporter

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/keyless-id/keyless/collector/receiver/awscloudwatchmetricsreceiver"
	"github.com/keyless-id/keyless/sandbox"
)

// keys is an extension with keys of AWS.
type keys struct {
	component.StartFunc
	component.ShutdownFunc
}

func (keys) GetCredentialsProvider() aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: sandbox.DemoAdminKeyID, SecretAccessKey: sandbox.DemoAdminSecret}, nil
	})
}

// received is what the receiver aws_cloudwatch_metrics reads of the sandbox's instances in its
// first poll.
func received(t *testing.T, more block) pmetric.Metrics {
	t.Helper()
	s := engine(t)
	values := block{
		"endpoints":            block{"monitoring": s.URL(sandbox.CloudWatch), "ec2": s.URL(sandbox.EC2API), "tagging": s.URL(sandbox.Tagging), "sts": s.URL(sandbox.STS)},
		"credentials_provider": "keys", "regions": []any{sandbox.Demo().Accounts[0].Regions[0].Name}, "ec2": block{"enabled": true},
	}
	for key, value := range more {
		values[key] = value
	}
	factory := awscloudwatchmetricsreceiver.NewFactory()
	config := factory.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(values).Unmarshal(config); err != nil {
		t.Fatal(err)
	}
	all := &gathered{metrics: pmetric.NewMetrics()}
	next, err := consumer.NewMetrics(all.add)
	if err != nil {
		t.Fatal(err)
	}
	r, err := factory.CreateMetrics(t.Context(), receivertest.NewNopSettings(factory.Type()), config, next)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context(), host{component.MustNewID("keys"): keys{}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "status checks and what CloudWatch has", all.complete)
	if err := r.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	return all.metrics
}

// gathered is what came in one after the other.
type gathered struct {
	mu      sync.Mutex
	metrics pmetric.Metrics
}

func (g *gathered) add(_ context.Context, md pmetric.Metrics) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	md.ResourceMetrics().MoveAndAppendTo(g.metrics.ResourceMetrics())
	return nil
}

// complete reports whether there are metrics of each origin.
func (g *gathered) complete() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	names := map[string]bool{}
	eachMetric(g.metrics, func(_ pcommon.Map, m pmetric.Metric) { names[m.Name()] = true })
	return names["amazonaws.com/AWS/EC2/StatusCheckFailed"] && names["amazonaws.com/AWS/EC2/NetworkIn"] && names["amazonaws.com/AWS/EC2/CPUCreditBalance"]
}

func eachMetric(all pmetric.Metrics, yield func(resource pcommon.Map, m pmetric.Metric)) {
	for _, rm := range all.ResourceMetrics().All() {
		for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
			yield(rm.Resource().Attributes(), m)
		}
	}
}

// fieldsOf are where the mapping elastic_agent writes the attributes of the receiver's
// resources. Neither it nor ECS has a field for the platform.
func fieldsOf() map[string]string {
	return map[string]string{
		"cloud.provider": "cloud.provider", "cloud.account.id": "cloud.account.id", "cloud.region": "cloud.region", "cloud.availability_zone": "cloud.availability_zone",
		"host.id": "host.id", "host.name": "host.name", "host.type": "cloud.machine.type", "host.image.id": "aws.ec2.instance.image.id",
		"aws.tag.Name": "aws.tags.Name", "aws.tag.team": "aws.tags.team", "cloud.platform": "",
	}
}

func TestTheExporterKnowsWhatTheReceiverWritesAndAsksForNothingElse(t *testing.T) {
	all, fields, seen := received(t, nil), fieldsOf(), map[string]bool{}
	eachMetric(all, func(resource pcommon.Map, m pmetric.Metric) {
		for name := range resource.All() {
			if _, known := fields[name]; !known {
				t.Errorf("the receiver writes %q", name)
			}
			seen[name] = true
		}
		for _, p := range m.Gauge().DataPoints().All() {
			for _, name := range []string{"stat", "Namespace", "MetricName", "Dimensions"} {
				if _, found := p.Attributes().Get(name); !found {
					t.Fatalf("%s is without %q", m.Name(), name)
				}
			}
			if p.Attributes().Len() != 4 {
				t.Fatalf("%v", p.Attributes().AsRaw())
			}
		}
	})
	for name := range fields {
		if !seen[name] {
			t.Errorf("no resource has %q", name)
		}
	}
}

func TestWhatTheReceiverWritesIsInTheDocuments(t *testing.T) {
	all := received(t, nil)
	written := map[string]map[string]any{} // fields by instance and time
	for _, d := range shaped(t, all, nil) {
		fields := fieldsIn(t, d)
		key := fmt.Sprint(fields["aws.dimensions.InstanceId"], " ", fields["@timestamp"])
		if written[key] == nil {
			written[key] = map[string]any{}
		}
		maps.Copy(written[key], fields)
	}
	eachMetric(all, func(resource pcommon.Map, m pmetric.Metric) {
		id, _ := resource.Get("host.id")
		for _, p := range m.Gauge().DataPoints().All() {
			fields := written[id.Str()+" "+timestamp(p.Timestamp().AsTime())]
			stat, _ := p.Attributes().Get("stat")
			_, name := splitName(m.Name())
			if field := "aws.ec2.metrics." + name + "." + statName(stat.Str()); fields[field] != p.DoubleValue() {
				t.Fatalf("%s of %s is %v, want %v", field, id.Str(), fields[field], p.DoubleValue())
			}
			for attribute, field := range fieldsOf() {
				if value, found := resource.Get(attribute); found && field != "" && fields[field] != value.Str() {
					t.Fatalf("%s of %s is %v, want %s", field, id.Str(), fields[field], value.Str())
				}
			}
		}
	})
}

// fieldsIn are the fields of a document by their dotted names.
func fieldsIn(t *testing.T, d document) map[string]any {
	t.Helper()
	var body map[string]any
	if err := json.Unmarshal(d.Source, &body); err != nil {
		t.Fatal(err)
	}
	fields := map[string]any{}
	var walk func(prefix string, value any)
	walk = func(prefix string, value any) {
		below, isObject := value.(map[string]any)
		if !isObject {
			fields[prefix] = value
		}
		for name, one := range below {
			walk(strings.TrimPrefix(prefix+"."+name, "."), one)
		}
	}
	walk("", body)
	return fields
}

func TestAStatusCheckOfEC2IsWhereDashboardsLook(t *testing.T) {
	for mapping, field := range map[string]string{"elastic_agent": "aws.ec2.metrics.StatusCheckFailed.avg", "metricbeat": "aws.ec2.status.check_failed"} {
		all := pmetric.NewMetrics()
		to := instance(all, "i-1")
		value(to, "StatusCheckFailed Maximum", "i-1", demoTime(), 1)
		fields := fieldsIn(t, shaped(t, all, block{"mapping": mapping})[0])
		if fields[field] != 1.0 || fields["aws.ec2.metrics.StatusCheckFailed.max"] != 1.0 {
			t.Errorf("%s: %v", mapping, fields)
		}
		value(to, "StatusCheckFailed Average", "i-1", demoTime(), 0.2) // that of CloudWatch is not written over
		if fields := fieldsIn(t, shaped(t, all, block{"mapping": mapping})[0]); fields[field] != 0.2 {
			t.Errorf("%s: %v", mapping, fields)
		}
	}
}
