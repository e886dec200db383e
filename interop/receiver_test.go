package interop_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The Collector with its receiver aws_cloudwatch_metrics, before services of AWS that are
// not ours, and before clients of AWS that read the same.

// collector is the program to test, which make test builds.
func collector(t *testing.T) string {
	t.Helper()
	program := os.Getenv("COLLECTOR_PROGRAM")
	if program == "" {
		missing(t, "the collector", "COLLECTOR_PROGRAM does not say where it is")
	}
	parts, err := exec.CommandContext(t.Context(), program, "components").Output()
	if err != nil || !bytes.Contains(parts, []byte("aws_cloudwatch_metrics")) {
		t.Fatalf("%s has no receiver aws_cloudwatch_metrics: %v", program, err)
	}
	return program
}

// sink takes what an exporter otlp_http sends as JSON.
type sink struct {
	*httptest.Server
	mu        sync.Mutex
	points    map[string]float64           // by series and time
	often     map[string]int               // how often each point came
	resources map[string]map[string]string // attributes by host.id
}

func newSink(t *testing.T) *sink {
	t.Helper()
	s := &sink{points: map[string]float64{}, often: map[string]int{}, resources: map[string]map[string]string{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.take))
	t.Cleanup(s.Close)
	return s
}

// otlp is as much of an ExportMetricsServiceRequest as the receiver fills.
type otlp struct {
	ResourceMetrics []struct {
		Resource     struct{ Attributes []otlpAttribute }
		ScopeMetrics []struct {
			Metrics []struct {
				Name  string
				Gauge struct {
					DataPoints []struct {
						Attributes   []otlpAttribute
						TimeUnixNano string
						AsDouble     float64
					}
				}
			}
		}
	}
}

type otlpAttribute struct {
	Key   string
	Value struct {
		StringValue string
		KvlistValue struct{ Values []otlpAttribute }
	}
}

func texts(all []otlpAttribute) map[string]string {
	out := map[string]string{}
	for _, a := range all {
		out[a.Key] = a.Value.StringValue
	}
	return out
}

func (s *sink) take(w http.ResponseWriter, r *http.Request) {
	var in otlp
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rm := range in.ResourceMetrics {
		about := texts(rm.Resource.Attributes)
		s.resources[about["host.id"]] = about
		for _, m := range rm.ScopeMetrics[0].Metrics {
			for _, dp := range m.Gauge.DataPoints {
				dimensions := map[string]string{}
				for _, a := range dp.Attributes {
					maps.Copy(dimensions, texts(a.Value.KvlistValue.Values))
				}
				ns, _ := strconv.ParseInt(dp.TimeUnixNano, 10, 64)
				key := pointKey(strings.TrimPrefix(m.Name, "amazonaws.com/"), dimensions, texts(dp.Attributes)["stat"], time.Unix(0, ns))
				s.points[key] = dp.AsDouble
				s.often[key]++
			}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte("{}"))
}

// pointKey has the names of a metric and of its dimensions, which are sorted by fmt.
func pointKey(metric string, dimensions map[string]string, stat string, at time.Time) string {
	return fmt.Sprintf("%s %q %s %d", metric, dimensions, stat, at.Unix())
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.points)
}

// wantExactly compares every point, to the last bit.
func (s *sink) wantExactly(t *testing.T, want map[string]float64) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	wrong := 0
	complain := func(format string, args ...any) {
		if wrong++; wrong < 5 {
			t.Errorf(format, args...)
		}
	}
	for key, value := range want {
		if got, ok := s.points[key]; !ok || got != value {
			complain("%s: got %v, %v, want %v", key, got, ok, value)
		}
	}
	for key, n := range s.often {
		if _, ok := want[key]; !ok || n != 1 {
			complain("%s came %d times; it is there: %v", key, n, ok)
		}
	}
	if wrong > 0 || len(want) == 0 {
		t.Errorf("%d of %d points are wrong", wrong, len(want))
	}
}

// awsHost is an address of each service of AWS.
type awsHost map[string]string

// receiver is a receiver of what is there, with further options.
func (a awsHost) receiver(options string) string {
	addresses, _ := json.Marshal(a)
	return `
  aws_cloudwatch_metrics:
    endpoints: ` + string(addresses) + `
    regions: [eu-west-1]
` + options
}

// collect starts the collector with a receiver, which has points of a minute and has read none
// before, and waits until it has read all that there is, as done reports.
func collect(t *testing.T, env environment, receiver string, to *sink, done func(log string) bool) string {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "collector.yaml")
	text := `
receivers:` + receiver + `
exporters:
  otlp_http: {endpoint: "` + to.URL + `", encoding: json, compression: none, sending_queue: {enabled: false}}
service:
  telemetry: {metrics: {level: none}}
  pipelines: {metrics: {receivers: [aws_cloudwatch_metrics], exporters: [otlp_http]}}
`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), collector(t), "--config", config)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	said := &spoken{}
	cmd.Env, cmd.Stdout, cmd.Stderr = env.with(environment{"STATE_DIRECTORY": filepath.Join(dir, "state")}).list(), said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	deadline := time.After(time.Minute)
	for !done(said.String()) {
		select {
		case <-ended:
			t.Fatalf("the collector has ended:\n%s", said)
		case <-deadline:
			t.Fatalf("the collector does not read all; it has %d points and says\n%s", to.count(), said)
		case <-time.After(50 * time.Millisecond):
		}
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	<-ended
	return said.String()
}

// spoken is what a program says, while it says it.
type spoken struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *spoken) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *spoken) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// pager stands before moto, counts operations, and asks for pages of five reservations.
type pager struct {
	mu         sync.Mutex
	operations map[string]int
}

func (p *pager) before(t *testing.T, address string) string {
	t.Helper()
	far, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(far)
	proxy.ErrorLog = log.New(io.Discard, "", 0) // the collector leaves when it has what it is to have
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		form, _ := url.ParseQuery(string(body))
		_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		p.mu.Lock()
		p.operations[form.Get("Action")+operation]++
		p.mu.Unlock()
		text := strings.Replace(string(body), "MaxResults=1000", "MaxResults=5", 1)
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func (p *pager) count(operation string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.operations[operation]
}

// fleetOfMoto makes instances in more reservations than a page has, and metrics of most of them.
const fleetOfMoto = `
import boto3, datetime, random, sys
ec2, cloudwatch = (boto3.client(name, endpoint_url=sys.argv[1], region_name="eu-west-1") for name in ("ec2", "cloudwatch"))
random.seed(7)
image = ec2.describe_images()["Images"][0]["ImageId"]
ids = []
for i in range(7):
    tags = [{"Key": "env", "Value": "prod" if i < 6 else "test"}, {"Key": "Name", "Value": "web" + str(i)}]
    run = ec2.run_instances(ImageId=image, MinCount=2, MaxCount=2, InstanceType="m5.large", TagSpecifications=[{"ResourceType": "instance", "Tags": tags}])
    ids += [i["InstanceId"] for i in run["Instances"]]
now = datetime.datetime.now(datetime.timezone.utc).replace(second=0, microsecond=0)
for id in ids[1:]:
    for name in ("CPUUtilization", "NetworkIn", "EBSReadBytes", "StatusCheckFailed"):
        cloudwatch.put_metric_data(Namespace="AWS/EC2", MetricData=[
            {"MetricName": name, "Dimensions": [{"Name": "InstanceId", "Value": id}], "Timestamp": now - datetime.timedelta(minutes=m), "Value": random.choice([random.random() * 100, random.randrange(10 ** 12)])}
            for m in range(5, 50) if random.random() < 0.7])
`

// pointsOfMoto prints what boto3 reads of the instances with a tag: those of the profile
// minimal, and what EC2 says of them.
const pointsOfMoto = `
import boto3, datetime, json, sys
ec2, cloudwatch = (boto3.client(name, endpoint_url=sys.argv[1], region_name="eu-west-1") for name in ("ec2", "cloudwatch"))
now = datetime.datetime.now(datetime.timezone.utc).replace(second=0, microsecond=0) # moto takes any time for the begin of a period
metrics = {"CPUUtilization": "Average", **{n: "Sum" for n in ("NetworkIn", "NetworkOut", "NetworkPacketsIn", "NetworkPacketsOut")}}
out = {"points": [], "instances": {}}
for page in ec2.get_paginator("describe_instances").paginate(Filters=[{"Name": "tag:env", "Values": ["prod"]}]):
    for i in [i for r in page["Reservations"] for i in r["Instances"]]:
        id = i["InstanceId"]
        out["instances"][id] = {"host.id": id, "host.type": i["InstanceType"], "host.image.id": i["ImageId"], "cloud.availability_zone": i["Placement"]["AvailabilityZone"],
          "host.name": [t["Value"] for t in i["Tags"] if t["Key"] == "Name"][0], "aws.tag.env": "prod", "cloud.region": "eu-west-1", "cloud.account.id": "123456789012"}
        queries = [{"Id": "m" + str(n), "MetricStat": {"Metric": {"Namespace": "AWS/EC2", "MetricName": name, "Dimensions": [{"Name": "InstanceId", "Value": id}]}, "Period": 60, "Stat": stat}}
          for n, (name, stat) in enumerate(metrics.items())]
        for page in cloudwatch.get_paginator("get_metric_data").paginate(StartTime=now - datetime.timedelta(minutes=58), EndTime=now, MetricDataQueries=queries):
            for r in page["MetricDataResults"]:
                name, stat = list(metrics.items())[int(r["Id"][1:])]
                out["points"] += [[id, name, stat, int(t.timestamp()), v] for t, v in zip(r["Timestamps"], r["Values"])]
print(json.dumps(out))
`

// options of the receiver, before moto.
func ofInstances(tag string) string {
	return `
    lookback: 1h
    metrics: {protocol: json, period: 1m, delay: 0s}
    ec2: {enabled: true, profile: minimal, tags: {env: [` + tag + `]}}
`
}

func TestTheReceiverReadsOfMotoWhatBoto3Reads(t *testing.T) {
	t.Parallel()
	collector(t)
	address, proxy := moto(t), &pager{operations: map[string]int{}}
	python, env := installed(t, "moto", "venv-setup/bin/python"), administrator(t)
	run(t, env, python, "-c", fleetOfMoto, address).wantSuccess(t)
	var truth struct {
		Points    [][]any
		Instances map[string]map[string]string
	}
	if err := json.Unmarshal([]byte(run(t, env, python, "-c", pointsOfMoto, address).wantSuccess(t).stdout), &truth); err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{}
	for _, p := range truth.Points {
		at := time.Unix(int64(p[3].(float64)), 0)
		want[pointKey("AWS/EC2/"+p[1].(string), map[string]string{"InstanceId": p[0].(string)}, p[2].(string), at)] = p[4].(float64)
	}
	front, to := proxy.before(t, address), newSink(t)
	at := awsHost{"monitoring": front, "ec2": front, "sts": front}
	said := collect(t, env, at.receiver(ofInstances("prod")), to, func(string) bool { return to.count() >= len(want) })
	to.wantExactly(t, want)
	free := newSink(t) // by the operation of the free tier
	collect(t, env, at.receiver(ofInstances("prod")+"    statistics_api: metric_statistics\n"), free, func(string) bool { return free.count() >= len(want) })
	free.wantExactly(t, want)
	if proxy.count("DescribeInstances") < 4 || len(truth.Instances) != 12 || proxy.count("GetMetricData") != 1 || proxy.count("GetMetricStatistics") < 12 || proxy.count("ListMetrics") != 0 {
		t.Errorf("%d instances by %v", len(truth.Instances), proxy.operations)
	}
	if !strings.Contains(said, "123456789012") {
		t.Errorf("the log does not name the account:\n%s", said)
	}
	for id, attributes := range truth.Instances {
		for name, value := range attributes {
			if got := to.resources[id]; got != nil && got[name] != value {
				t.Errorf("%s: %s is %q, want %q", id, name, got[name], value)
			}
		}
	}
	if len(to.resources) != len(truth.Instances)-1 { // one has no metrics
		t.Errorf("%d resources", len(to.resources))
	}
}

// TestATagThatNobodyHasCostsNothing is the twin of the one above.
func TestATagThatNobodyHasCostsNothing(t *testing.T) {
	t.Parallel()
	collector(t)
	address, proxy := moto(t), &pager{operations: map[string]int{}}
	env := administrator(t)
	run(t, env, installed(t, "moto", "venv-setup/bin/python"), "-c", fleetOfMoto, address).wantSuccess(t)
	front, to := proxy.before(t, address), newSink(t)
	collect(t, env, awsHost{"monitoring": front, "ec2": front, "sts": front}.receiver(ofInstances("nobody")), to, func(log string) bool {
		return strings.Contains(log, "what is read") && proxy.count("DescribeInstances") > 0
	})
	if to.count() != 0 || slices.Collect(maps.Keys(proxy.operations)) == nil || proxy.count("GetMetricData")+proxy.count("ListMetrics")+proxy.count("GetMetricStatistics") != 0 {
		t.Errorf("%d points, %v", to.count(), proxy.operations)
	}
}
