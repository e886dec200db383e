package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

// manifested is the configuration in the manifest of a StatefulSet or a DaemonSet.
func manifested(t *testing.T, name string) string {
	t.Helper()
	manifest, err := os.ReadFile(filepath.Join("..", "..", "deploy", "kubernetes", "collector", name))
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(manifest), "\n  collector.yaml: |\n")
	block, _, found := strings.Cut(block, "\n---\n")
	if !found {
		t.Fatalf("%s has no configuration", name)
	}
	return write(t, filepath.Join(t.TempDir(), name), block)
}

// inPod replaces what is a cluster's in a configuration, and gives each pod a namespace of its
// own in Elasticsearch, by which is seen what it has read.
func inPod(t *testing.T, s *sandbox.Sandbox, accounts string) string {
	t.Helper()
	key := write(t, filepath.Join(t.TempDir(), "api_key"), sandbox.DemoSearchAPIKey)
	return write(t, filepath.Join(t.TempDir(), "pod.yaml"), fmt.Sprintf(`
extensions:
  file_storage: {directory: "${env:STATE_DIRECTORY}"}
  keyless: {audience: %q, aws: {role_arn: %q}}
receivers:
  aws_cloudwatch_metrics:
    accounts: %s
exporters:
  elasticsearch: {endpoint: %q, api_key_file: %q, data_stream: {namespace: "${env:NAMESPACE}"}, dead_letter: {path: "${env:DEAD_LETTER}"}}
`, sandbox.DemoAudience, sandbox.DemoRoleARN, accounts, s.URL(sandbox.Elasticsearch), key))
}

// resource is what a part has or has not.
type resource struct {
	place
	instance string
}

// pods are programs of one StatefulSet over one sandbox; each writes to the namespace of its
// place in the list.
type pods struct {
	*sandbox.Sandbox
	places []place
	names  []string
}

// newPods runs the configuration of the manifest, in which a pod knows its name only, over two
// regions of three accounts.
func newPods(t *testing.T, names ...string) *pods {
	t.Helper()
	const third = "777788889999"
	world := ec2World(fleet("eu-west-1", 12, 6, sandbox.Delivery{}), fleet("us-east-1", 7, 3, sandbox.Delivery{}))
	last := world.Accounts[1]
	last.ID = third
	world.Accounts = append(world.Accounts, last)
	s := played(t, world, sandbox.Options{})
	accounts := fmt.Sprintf(`[{}, {role_arns: [%q]}, {role_arns: [%q], regions: ["*"]}]`, otherRole, strings.Replace(otherRole, otherAccount, third, 1))
	files := []string{manifested(t, "metrics.yaml"), clouds(t, s, "workload_identity: {}"), inPod(t, s, accounts)}
	cluster, err := s.HostEnv(sandbox.HostAKS, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	roots := write(t, filepath.Join(t.TempDir(), "ca.pem"), string(s.CAPEM()))
	for i, name := range names {
		env := slices.Concat(cluster, s.Env(), []string{"POD_NAME=" + name, fmt.Sprint("NAMESPACE=part", i), "POD_IP=127.0.0.1", "SSL_CERT_FILE=" + roots})
		newCollector(t, env, files...).start()
	}
	return &pods{s, places(world), names}
}

// readers are the places in the list of those who have written something of each resource.
func (p *pods) readers() map[resource][]int {
	all := map[resource][]int{}
	for i := range p.names {
		for id := range written(p.Documents(fmt.Sprint("metrics-aws.ec2_metrics-part", i))) {
			r := resource{id.place, id.instance}
			if !slices.Contains(all[r], i) {
				all[r] = append(all[r], i)
			}
		}
	}
	return all
}

// billed is how many metrics were asked for.
func (p *pods) billed() int {
	sum := 0
	for _, at := range p.places {
		sum += p.MetricsBilled(at.account, at.region)
	}
	return sum
}

// known are the resources that there are, and how many metrics they have.
func (p *pods) known() (resources, metrics int) {
	for _, at := range p.places {
		for _, i := range p.Instances(at.account, at.region) {
			resources, metrics = resources+1, metrics+len(statistics(i.Type))
		}
	}
	return resources, metrics
}

func TestThePodsOfAStatefulSetReadEachResourceOnce(t *testing.T) {
	p := newPods(t, "metrics-0", "metrics-1", "metrics-2")
	resources, metrics := p.known()
	await(t, 30*time.Second, "a document of each resource", func() bool { return len(p.readers()) == resources })
	await(t, 20*time.Second, "the end of the first poll", func() bool { return p.billed() >= metrics })
	if got := p.billed(); got != metrics {
		t.Errorf("%d metrics were asked for, want %d", got, metrics)
	}
	busy := map[int]int{}
	for r, by := range p.readers() {
		if len(by) != 1 {
			t.Errorf("%v is read by %v", r, by)
		}
		busy[by[0]]++
	}
	if len(busy) != len(p.names) {
		t.Errorf("not all have something to read: %v", busy)
	}
	t.Logf("resources by pod: %v", busy)
}

// Two pods of one name, which Kubernetes never has, read the same, and the others' is not read.
func TestPodsThatBearOneNameReadTheSame(t *testing.T) {
	p := newPods(t, "metrics-1", "metrics-1")
	alike := func() bool {
		all := p.readers()
		for _, by := range all {
			if len(by) != 2 {
				return false
			}
		}
		return len(all) > 0
	}
	await(t, 30*time.Second, "both to have written the same", alike)
	if resources, _ := p.known(); len(p.readers()) >= resources {
		t.Errorf("all of %d resources were read by one part of three", resources)
	}
}
