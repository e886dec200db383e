package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

func TestMetricsOfEC2ReachElasticsearchFromAnAzureVM(t *testing.T) {
	world := sandbox.Demo()
	s := played(t, world, sandbox.Options{})
	c := newCollector(t, ec2Env(t, s, sandbox.DemoVMRoleARN, sandbox.DemoSearchAPIKey), published("ec2-elasticsearch.yaml"), onBoth(t, s))
	end := time.Now().Add(-5 * time.Minute) // the poll may be in the next period
	c.start()
	all := places(world)
	must := truth(s, all, span{from: end.Add(-50 * time.Minute), to: end.Truncate(5 * time.Minute), known: time.Now()})
	await(t, 20*time.Second, "all points", func() bool {
		v := judge(written(s.Documents(ec2Documents)), must, nil)
		return v.missing == 0
	})
	c.stop()
	v := judge(written(s.Documents(ec2Documents)), must, truth(s, all, span{from: end.Add(-2 * time.Hour), to: time.Now()}))
	if v.all < 400 || v.missing+v.faults() > 0 {
		t.Errorf("%s", &v)
	}
	wantDescribed(t, s)
	for hop, name := range map[sandbox.Hop]string{sandbox.IMDS: "the metadata service", sandbox.STS: "STS"} {
		if s.Requests(hop) == 0 {
			t.Errorf("%s was not asked", name)
		}
	}
}

// wantDescribed looks at what documents say of their instances.
func wantDescribed(t *testing.T, s *sandbox.Sandbox) {
	t.Helper()
	instances := map[string]sandbox.Instance{}
	for _, i := range s.Instances(sandbox.DemoAccountID, "us-east-1") {
		instances[i.ID] = i
	}
	for _, d := range s.Documents(ec2Documents) {
		i := instances[text(d.Source, "aws.dimensions.InstanceId")]
		for path, want := range map[string]string{
			"host.id": i.ID, "host.name": i.Tags["Name"], "cloud.provider": "aws", "cloud.account.id": sandbox.DemoAccountID, "cloud.region": "us-east-1",
			"cloud.instance.id": i.ID, "cloud.machine.type": i.Type, "cloud.availability_zone": i.Zone, "aws.tags.team": i.Tags["team"],
			"aws.cloudwatch.namespace": "AWS/EC2", "data_stream.dataset": "aws.ec2_metrics",
		} {
			if got := text(d.Source, path); got != want || want == "" {
				t.Fatalf("%s: got %q, want %q, in %s", path, got, want, asJSON(t, d.Source))
			}
		}
	}
}

// Nothing is written when one of the far sides lets nobody in, and the log says which.
func TestMetricsOfEC2GoNowhereWithoutARoleOrAKey(t *testing.T) {
	for name, c := range map[string]struct {
		role, key string
		says      []string
		asked     bool // CloudWatch, before that is noticed
	}{
		"the role trusts somebody else": {sandbox.DemoOtherARN, sandbox.DemoSearchAPIKey, []string{"exchange: AssumeRoleWithWebIdentity: AccessDenied", "does not trust this subject"}, false},
		"the key is another":            {sandbox.DemoVMRoleARN, "demo:wrong", []string{"delivery: ", "401", "unable to authenticate"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := played(t, sandbox.Demo(), sandbox.Options{})
			p := newCollector(t, ec2Env(t, s, c.role, c.key), published("ec2-elasticsearch.yaml"), onBoth(t, s))
			p.start()
			await(t, 20*time.Second, strings.Join(c.says, ", "), func() bool {
				return !slices.ContainsFunc(c.says, func(part string) bool { return !strings.Contains(p.log.String(), part) })
			})
			if n := len(s.Documents(ec2Documents)); n != 0 {
				t.Errorf("%d documents", n)
			}
			if asked := s.Requests(sandbox.CloudWatch) > 0; asked != c.asked {
				t.Errorf("CloudWatch was asked: %v", asked)
			}
			p.kill()
			if strings.Contains(p.log.String(), c.key) {
				t.Error("the log has the key")
			}
		})
	}
}
