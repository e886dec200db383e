package awscloudwatchmetricsreceiver

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/keyless-id/keyless/sandbox"
)

func TestATypeSaysWhatAnInstanceHas(t *testing.T) {
	for kind, want := range map[string]class{
		"t2.micro": {Burstable: true}, "t3.micro": {Burstable: true, Nitro: true}, "t4g.small": {Burstable: true, Nitro: true},
		"m4.large": {}, "m5.large": {Nitro: true}, "m5d.large": {Nitro: true, Store: true}, "m6gd.xlarge": {Nitro: true, Store: true},
		"c5n.large": {Nitro: true}, "r5dn.large": {Nitro: true, Store: true}, "i3.large": {Store: true}, "i3.metal": {Store: true, Nitro: true},
		"i4i.large": {Store: true, Nitro: true}, "im4gn.large": {Store: true, Nitro: true}, "trn1.2xlarge": {Store: true, Nitro: true},
		"inf2.xlarge": {Nitro: true}, "mac2.metal": {Nitro: true}, "u-6tb1.metal": {Nitro: true}, "x2gd.large": {Store: true, Nitro: true}, "": {Nitro: true},
	} {
		if got := classOf(kind); got != want {
			t.Errorf("%s: %+v, want %+v", kind, got, want)
		}
	}
}

func TestTheProfileOfMetricbeatHasAllThatItHas(t *testing.T) {
	for kind, want := range map[string]int{"t3.micro": 16, "m5.large": 12} {
		names := map[string]bool{}
		for _, m := range profileOf(profileMetricbeat, kind) {
			names[m.Name+" "+strings.Join(m.Stats, " ")] = true
		}
		if len(names) != want || !names["StatusCheckFailed Average"] || !names["DiskReadOps Sum"] || names["CPUCreditUsage Average"] != (want == 16) {
			t.Errorf("%s: %v", kind, names)
		}
	}
}

func TestOnlyTaggedInstancesArePaidFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			tags map[string][]string
			want int
		}{
			"one value":        {map[string][]string{"env": {"prod"}}, 4 * 9},
			"either value":     {map[string][]string{"env": {"prod", "test"}}, 4*9 + 4*13},
			"a key":            {map[string][]string{"Name": nil}, 4 * 9},
			"of all the keys":  {map[string][]string{"Name": nil, "env": {"test"}}, 0},
			"without a filter": {nil, 4*9 + 4*13},
		} {
			far := newFar(t, sandbox.Options{}, fleet("eu-west-1", 4, sandbox.Delivery{}))
			r := start(t, far.RoundTripper(), newHost(), configOf(func(to *Config) { to.EC2.Tags = c.tags }), newSink())
			time.Sleep(time.Minute)
			r.stop(t)
			if got := far.MetricsBilled(sandbox.DemoAccountID, "eu-west-1"); got != c.want {
				t.Errorf("%s: %d metrics, want %d", name, got, c.want)
			}
			if far.Calls(sandbox.DemoAccountID, "eu-west-1", opListMetrics) != 0 {
				t.Errorf("%s: ListMetrics was called", name)
			}
		}
	})
}

func TestEveryPageOfInstancesIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := newFar(t, sandbox.Options{}, fleet("eu-west-1", 1100, sandbox.Delivery{}))
		c := configOf(func(c *Config) { c.EC2.Profile = profileMinimal })
		to := newSink()
		r := start(t, far.RoundTripper(), newHost(), c, to)
		time.Sleep(4 * time.Minute)
		r.stop(t)
		if got := far.MetricsBilled(sandbox.DemoAccountID, "eu-west-1"); got != 2200*5 {
			t.Errorf("%d metrics", got)
		}
		if got := far.Calls(sandbox.DemoAccountID, "eu-west-1", opInstances); got != 3 {
			t.Errorf("%d pages", got)
		}
	})
}

func TestAResourceIsDescribedByTheConventions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		region := fleet("eu-west-1", 1, sandbox.Delivery{})
		region.Instances = region.Instances[:1]
		far, to := newFar(t, sandbox.Options{}, region), newSink()
		midday(t)
		r := start(t, far.RoundTripper(), newHost(), configOf(func(c *Config) { c.EC2.ExcludeTags = []string{"Name"} }), to)
		time.Sleep(time.Minute)
		r.stop(t)
		of, i := to.last.ResourceMetrics().At(0), far.Instances(sandbox.DemoAccountID, "eu-west-1")[0]
		got := of.Resource().Attributes().AsRaw()
		for name, want := range map[string]any{
			"cloud.provider": "aws", "cloud.platform": "aws_ec2", "cloud.account.id": sandbox.DemoAccountID, "cloud.region": "eu-west-1", "cloud.availability_zone": i.Zone,
			"host.id": i.ID, "host.name": "web", "host.type": "m5.large", "host.image.id": i.Image, "aws.tag.env": "prod", "aws.tag.Name": nil,
		} {
			if got[name] != want {
				t.Errorf("%s: %v, want %v", name, got[name], want)
			}
		}
		m := of.ScopeMetrics().At(0).Metrics().At(0)
		dp := m.Gauge().DataPoints().At(0)
		if !strings.HasPrefix(m.Name(), "amazonaws.com/AWS/EC2/") || dp.Timestamp().AsTime().Sub(dp.StartTimestamp().AsTime()) != 5*time.Minute {
			t.Errorf("%s from %s to %s", m.Name(), dp.StartTimestamp().AsTime(), dp.Timestamp().AsTime())
		}
	})
}

func TestStatusChecksCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		region := fleet("eu-west-1", 1, sandbox.Delivery{})
		region.Instances[0].Impaired = time.Now().Add(-time.Hour)
		far, to := newFar(t, sandbox.Options{}, region), newSink()
		r := start(t, far.RoundTripper(), newHost(), configOf(), to)
		time.Sleep(time.Minute)
		r.stop(t)
		failed := 0.0
		for key, value := range to.points {
			if strings.Contains(key, " StatusCheckFailed Maximum ") {
				failed += value
			}
		}
		if failed != 1 || far.MetricsBilled(sandbox.DemoAccountID, "eu-west-1") != 9+13 {
			t.Errorf("%v failed; %d billed", failed, far.MetricsBilled(sandbox.DemoAccountID, "eu-west-1"))
		}
	})
}

func TestOtherNamespacesAreFoundAndFilteredByTag(t *testing.T) {
	names := []found{
		{"CPUUtilization", []dimension{{"DBInstanceIdentifier", "db-1"}}},
		{"FreeableMemory", []dimension{{"DBInstanceIdentifier", "db-1"}}},
		{"CPUUtilization", []dimension{{"DBInstanceIdentifier", "db-2"}}},
	}
	all := entitiesOf(QueryConfig{Namespace: "AWS/RDS", Stats: []string{statAverage, statMax}}, names)
	if len(all) != 2 || len(all[0].Metrics) != 2 || loadOf(all).Core != 6 {
		t.Fatalf("%d entities, load %+v", len(all), loadOf(all))
	}
	tags := make(tagged)
	tags.add(resourcesAnswer{ResourceTagMappingList: []struct {
		ResourceARN string
		Tags        []struct{ Key, Value string }
	}{{"arn:aws:rds:eu-west-1:111122223333:db:db-1", []struct{ Key, Value string }{{"env", "prod"}}}}})
	only := withTags(slices.Clone(all), tags, EC2Config{}, true)
	if len(only) != 1 || !slices.Equal(only[0].Attributes, []dimension{{"aws.tag.env", "prod"}}) {
		t.Errorf("%+v", only)
	}
	if both := withTags(all, tags, EC2Config{}, false); len(both) != 2 {
		t.Errorf("%d without a filter", len(both))
	}
}

func TestDimensionsAreTheEndsOfARNs(t *testing.T) {
	for arn, want := range map[string]string{
		"arn:aws:rds:eu-west-1:1:db:db-1":                                  "db-1",
		"arn:aws:sqs:eu-west-1:1:queue":                                    "queue",
		"arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/app/web/50": "app/web/50",
	} {
		if got := endsOf(arn); !slices.Contains(got, want) {
			t.Errorf("%s: %v lacks %s", arn, got, want)
		}
	}
}

func TestListMetricsIsAskedOnlyForWildcards(t *testing.T) {
	for name, c := range map[string]struct {
		dimension string
		calls     bool
		protocol  string
	}{"any": {"*", true, protocolCBOR}, "any by JSON": {"*", true, protocolJSON}, "one": {"q", false, protocolCBOR}} {
		synctest.Test(t, func(t *testing.T) {
			region := sandbox.Region{Name: "eu-west-1", Series: []sandbox.MetricSeries{{
				Metric: sandbox.Metric{Namespace: "AWS/SQS", Name: "NumberOfMessagesSent", Dimensions: []sandbox.Dimension{{Name: "QueueName", Value: "q"}}},
			}}}
			far, to := newFar(t, sandbox.Options{}, region), newSink()
			midday(t)
			config := configOf(func(to *Config) {
				to.EC2.Enabled, to.Format, to.Metrics.Protocol = false, formatSummary, c.protocol
				to.Metrics.Queries = []QueryConfig{{
					Namespace: "AWS/SQS", MetricName: "NumberOfMessagesSent", Dimensions: map[string]string{"QueueName": c.dimension}, Stats: []string{statSum, statSampleCnt, statMin, statMax},
				}}
			})
			r := start(t, far.RoundTripper(), newHost(), config, to)
			time.Sleep(30 * time.Minute)
			r.stop(t)
			if got := far.Calls(sandbox.DemoAccountID, "eu-west-1", opListMetrics); (got == 1) != c.calls {
				t.Errorf("%s: %d calls of ListMetrics", name, got)
			}
			m := to.last.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0)
			if m.Type() != pmetric.MetricTypeSummary || m.Summary().DataPoints().At(0).QuantileValues().Len() != 2 || m.Summary().DataPoints().At(0).Count() == 0 {
				t.Errorf("%s: %v", name, m.Type())
			}
		})
	}
}

func TestASummaryIsNeverHalf(t *testing.T) {
	e := &entity{Namespace: "N"}
	of := func(stat string, times ...int64) fresh {
		f := fresh{series: e.series("M", stat, time.Minute)}
		for _, at := range times {
			f.Points = append(f.Points, point{at, 1})
		}
		return f
	}
	all := []fresh{of(statSum, 60, 120), of(statSampleCnt, 60), of(statMin, 60, 120), of(statMax, 60, 120)}
	complete(all)
	for _, f := range all {
		if len(f.Points) != 1 || f.Points[0].At != 60 {
			t.Errorf("%s: %v", f.Stat, f.Points)
		}
	}
	two := []fresh{of(statSum, 60, 120), of(statAverage, 60)}
	complete(two)
	if len(two[0].Points) != 2 {
		t.Error("a gauge lost a point")
	}
}

func TestAResourceWithoutPointsIsNotPassedOn(t *testing.T) {
	empty, full := &entity{Namespace: "N", Dimensions: []dimension{{"D", "1"}}}, &entity{Namespace: "N", Dimensions: []dimension{{"D", "2"}}}
	md := shape{}.build([]fresh{{series: empty.series("M", statSum, time.Minute)}, {series: full.series("M", statSum, time.Minute), Points: []point{{60, 1}}}})
	if md.ResourceMetrics().Len() != 1 || md.DataPointCount() != 1 {
		t.Errorf("%d resources, %d points", md.ResourceMetrics().Len(), md.DataPointCount())
	}
}

func TestOtherAccountsAreReachedThroughTheirRoles(t *testing.T) {
	for name, c := range map[string]struct {
		externalID string
		want       bool
	}{"trusted": {"e-1", true}, "a wrong external id": {"e-2", false}} {
		synctest.Test(t, func(t *testing.T) {
			w := sandbox.Demo()
			w.Accounts = append(w.Accounts, sandbox.Account{
				ID: "444455556666", Regions: []sandbox.Region{fleet("eu-west-1", 1, sandbox.Delivery{}), fleet("us-east-1", 1, sandbox.Delivery{})},
				Roles: []sandbox.Role{{Name: "spoke", TrustPolicy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + sandbox.DemoAccountID +
					`:user/admin"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"e-1"}}}]}`}},
			})
			far, err := sandbox.New(w, sandbox.Options{})
			must(t, err)
			defer far.Close()
			to := newSink()
			config := configOf(func(to *Config) {
				to.Accounts = []AccountConfig{{RoleARNs: []string{"arn:aws:iam::444455556666:role/spoke"}, ExternalID: c.externalID, Regions: []string{"*"}}}
			})
			r := start(t, far.RoundTripper(), newHost(), config, to)
			time.Sleep(30 * time.Minute)
			r.stop(t)
			for _, region := range []string{"eu-west-1", "us-east-1"} {
				got := slices.ContainsFunc(keysOf(to), func(key string) bool { return strings.HasPrefix(key, "444455556666 "+region) })
				if got != c.want {
					t.Errorf("%s: points of %s: %v", name, region, got)
				}
			}
		})
	}
}

func keysOf(s *sink) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for key := range s.points {
		out = append(out, key)
	}
	return out
}

func TestAnExtensionThatIsNotThereFailsTheStart(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"credentials": func(*Config) {},
		"storage":     func(c *Config) { c.CredentialsProvider = nil },
	} {
		set := receivertest.NewNopSettings(NewFactory().Type())
		r, err := NewFactory().CreateMetrics(t.Context(), set, configOf(change), consumertest.NewNop())
		must(t, err)
		if err := r.Start(t.Context(), componenttest.NewNopHost()); err == nil || !strings.Contains(err.Error(), "there is no extension") {
			t.Errorf("%s: %v", name, err)
		}
		must(t, r.Shutdown(t.Context()))
	}
}

var _ component.Component = (*host)(nil)
