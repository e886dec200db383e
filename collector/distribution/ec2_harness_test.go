package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

// What the tests of metrics of EC2 share: worlds with instances, the program over them, and
// the judge of what is in Elasticsearch in the end.

const (
	ec2Documents = "metrics-aws.ec2_metrics-default"
	otherAccount = "444455556666"
	otherRole    = "arn:aws:iam::" + otherAccount + ":role/metrics"
)

// place is a region of an account.
type place struct{ account, region string }

// ec2World is the demo's with other regions, and with a second account that lets the demo's
// workloads in by way of their roles in the first.
func ec2World(regions ...sandbox.Region) sandbox.World {
	world := sandbox.Demo()
	world.Accounts[0].Regions = regions
	world.Accounts = append(world.Accounts, sandbox.Account{
		ID: otherAccount, Regions: regions,
		Roles: []sandbox.Role{{
			Name:        "metrics",
			TrustPolicy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["` + sandbox.DemoVMRoleARN + `","` + sandbox.DemoRoleARN + `"]},"Action":"sts:AssumeRole"}]}`,
		}},
	})
	return world
}

// fleet is a region with instances of two kinds.
func fleet(name string, nitro, burstable int, d sandbox.Delivery) sandbox.Region {
	return sandbox.Region{Name: name, Delivery: d, Instances: []sandbox.Instance{
		{Count: nitro, Type: "m5.large", Tags: map[string]string{"Name": "web", "env": "prod"}},
		{Count: burstable, Type: "t3.micro", Tags: map[string]string{"Name": "job"}},
	}}
}

// places are all regions of all accounts of a world that have instances.
func places(world sandbox.World) []place {
	var all []place
	for _, account := range world.Accounts {
		for _, region := range account.Regions {
			all = append(all, place{account.ID, region.Name})
		}
	}
	return all
}

// ec2Env is what the published configuration reads.
func ec2Env(t *testing.T, s *sandbox.Sandbox, role, key string) []string {
	t.Helper()
	file := write(t, filepath.Join(t.TempDir(), "elasticsearch.key"), key)
	return []string{
		"AUDIENCE=" + sandbox.DemoAudience, "ROLE_ARN=" + role, "AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true",
		"ELASTICSEARCH=" + s.URL(sandbox.Elasticsearch), "ELASTICSEARCH_KEY_FILE=" + file,
	}
}

// onBoth makes a sandbox the Azure and the AWS of a configuration, and its exporter impatient.
// What comes after is said of the receiver besides.
func onBoth(t *testing.T, s *sandbox.Sandbox, more ...string) string {
	t.Helper()
	return clouds(t, s, fmt.Sprintf("managed_identity: {endpoint: %q}", s.URL(sandbox.IMDS)), more...)
}

// clouds is onBoth for another source of the identity.
func clouds(t *testing.T, s *sandbox.Sandbox, source string, more ...string) string {
	t.Helper()
	text := fmt.Sprintf(`
extensions:
  keyless: {source: {%s}, aws: {sts_endpoint: %q}}
exporters:
  elasticsearch:
    retry_on_failure: {initial_interval: 50ms, max_interval: 500ms}
    sending_queue: {batch: {flush_timeout: 100ms}}
receivers:
  aws_cloudwatch_metrics:
    endpoints: {monitoring: %q, ec2: %q, tagging: %q, sts: %q}
`, source, s.URL(sandbox.STS), s.URL(sandbox.CloudWatch), s.URL(sandbox.EC2API), s.URL(sandbox.Tagging), s.URL(sandbox.STS))
	for _, line := range more {
		text += "    " + line + "\n"
	}
	return write(t, filepath.Join(t.TempDir(), "both.yaml"), text)
}

// pointID is what a point is told from all others by.
type pointID struct {
	place
	instance, metric, stat string
	at                     time.Time
}

func (id pointID) String() string {
	return strings.Join([]string{id.account, id.region, id.instance, id.metric, id.stat, id.at.Format(time.RFC3339)}, " ")
}

// statistics are what the standard profile reads of a metric, by the name that Elastic Agent
// has for it; written apart from the receiver.
func statistics(kind string) map[string]string {
	all := map[string]string{"CPUUtilization": "Average", "NetworkIn": "Sum", "NetworkOut": "Sum", "NetworkPacketsIn": "Sum", "NetworkPacketsOut": "Sum"}
	for _, name := range []string{"EBSReadBytes", "EBSWriteBytes", "EBSReadOps", "EBSWriteOps"} {
		all[name] = "Sum"
	}
	if strings.HasPrefix(kind, "t") {
		for _, name := range []string{"CPUCreditUsage", "CPUCreditBalance", "CPUSurplusCreditBalance", "CPUSurplusCreditsCharged"} {
			all[name] = "Average"
		}
	}
	if strings.HasPrefix(kind, "m5d.") {
		for _, name := range []string{"DiskReadBytes", "DiskWriteBytes", "DiskReadOps", "DiskWriteOps"} {
			all[name] = "Sum"
		}
	}
	return all
}

func agentName(stat string) string {
	if stat == "Average" {
		return "avg"
	}
	return strings.ToLower(stat)
}

// span is a part of the past, as CloudWatch knew it at a time; zero: as it will be for ever.
type span struct{ from, to, known time.Time }

// truth is what CloudWatch has of the standard profile's metrics.
func truth(s *sandbox.Sandbox, at []place, of span) map[pointID]float64 {
	all := map[pointID]float64{}
	for _, p := range at {
		for _, i := range s.Instances(p.account, p.region) {
			for metric, stat := range statistics(i.Type) {
				points := s.Datapoints(sandbox.MetricQuery{
					Account: p.account, Region: p.region, Stat: stat, Period: 5 * time.Minute, Start: of.from, End: of.to, At: of.known,
					Metric: sandbox.Metric{Namespace: "AWS/EC2", Name: metric, Dimensions: []sandbox.Dimension{{Name: "InstanceId", Value: i.ID}}},
				})
				for _, point := range points {
					all[pointID{p, i.ID, metric, agentName(stat), point.Time}] = point.Value
				}
			}
		}
	}
	return all
}

// object is one of JSON.
type object = map[string]any

// field is what is at a dotted path of a document; nil: nothing.
func field(of object, path string) any {
	var at any = of
	for name := range strings.SplitSeq(path, ".") {
		below, _ := at.(object)
		at = below[name]
	}
	return at
}

func text(of object, path string) string {
	value, _ := field(of, path).(string)
	return value
}

// written are the points of documents, with all the values that each is there with.
func written(documents []sandbox.Document) map[pointID][]float64 {
	all := map[pointID][]float64{}
	for _, d := range documents {
		at, _ := time.Parse(time.RFC3339, text(d.Source, "@timestamp"))
		id := pointID{place: place{text(d.Source, "cloud.account.id"), text(d.Source, "cloud.region")}, instance: text(d.Source, "aws.dimensions.InstanceId"), at: at.UTC()}
		metrics, _ := field(d.Source, "aws.ec2.metrics").(object)
		for metric, stats := range metrics {
			for stat, value := range stats.(object) {
				if stat == "rate" {
					continue // which follows from the sum
				}
				id.metric, id.stat = metric, stat
				number, _ := value.(float64)
				all[id] = append(all[id], number)
			}
		}
	}
	return all
}

// verdict is how what was written compares with the truth.
type verdict struct {
	all, missing, twice, wrong, unknown int
	examples                            []string
}

// judge wants each point of must once, with its value, and nothing that is not in may. Status
// checks are EC2's own and are looked at for doubles only.
func judge(got map[pointID][]float64, must, may map[pointID]float64) verdict {
	v := verdict{all: len(must)}
	for id := range must {
		if len(got[id]) == 0 {
			v.missing++
			v.example("missing", id, nil)
		}
	}
	for id, values := range got {
		if len(values) > 1 {
			v.twice += len(values) - 1
			v.example("more than once", id, values)
		}
		if strings.HasPrefix(id.metric, "StatusCheckFailed") {
			continue
		}
		switch want, known := may[id]; {
		case !known:
			v.unknown++
			v.example("unknown", id, values)
		case slices.ContainsFunc(values, func(value float64) bool { return value != want }):
			v.wrong++
			v.example(fmt.Sprint("not ", want), id, values)
		}
	}
	return v
}

func (v *verdict) example(what string, id pointID, values []float64) {
	if len(v.examples) < 5 {
		v.examples = append(v.examples, fmt.Sprintf("\n\t%s: %s %v", what, id, values))
	}
}

// faults are all but the points that are missing.
func (v *verdict) faults() int { return v.twice + v.wrong + v.unknown }

// share is how much of what must be there is there.
func (v *verdict) share() float64 { return 1 - float64(v.missing)/float64(max(v.all, 1)) }

func (v *verdict) String() string {
	return fmt.Sprintf("%d points, %d missing, %d double, %d with another value, %d that nobody knows%s", v.all, v.missing, v.twice, v.wrong, v.unknown, strings.Join(v.examples, ""))
}

// The judge itself: one that finds nothing is worth nothing.
func TestTheJudgeFindsAPointThatIsMissingOrDouble(t *testing.T) {
	world := ec2World(fleet("us-east-1", 2, 1, sandbox.Delivery{}))
	s := played(t, world, sandbox.Options{})
	now := time.Now().Truncate(5 * time.Minute)
	must := truth(s, places(world), span{from: now.Add(-time.Hour), to: now})
	var documents []sandbox.Document
	for id, value := range must {
		documents = append(documents, sandbox.Document{Source: object{
			"@timestamp": id.at.Format(time.RFC3339), "cloud": object{"account": object{"id": id.account}, "region": id.region},
			"aws": object{"dimensions": object{"InstanceId": id.instance}, "ec2": object{"metrics": object{id.metric: object{id.stat: value, "rate": 1.0}}}},
		}})
	}
	changed := maps.Clone(documents[0].Source)
	changed["cloud"] = object{"account": object{"id": "nobody"}}
	for name, c := range map[string]struct {
		documents []sandbox.Document
		want      verdict
	}{
		"all":       {documents, verdict{}},
		"missing":   {documents[1:], verdict{missing: 1}},
		"double":    {append(documents[:len(documents):len(documents)], documents[7]), verdict{twice: 1}},
		"elsewhere": {append(documents[1:len(documents):len(documents)], sandbox.Document{Source: changed}), verdict{missing: 1, unknown: 1}},
	} {
		got := judge(written(c.documents), must, must)
		if got.all != 2*(2*9+13)*12 || got.missing != c.want.missing || got.twice != c.want.twice || got.unknown != c.want.unknown || got.wrong != 0 {
			t.Errorf("%s: %s", name, &got)
		}
	}
}
