package interop_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

// hour is lastHour as the command line has it.
func hour() (start, end string) {
	from, to := lastHour()
	return from.Format(time.RFC3339), to.Format(time.RFC3339)
}

func values(points []sandbox.Datapoint) []float64 {
	list := []float64{}
	for _, p := range points {
		list = append(list, p.Value)
	}
	return list
}

// database is the instance that has everything.
const database = "i-0123456789abcdef0"

func TestTheAWSCLIReadsMetricsInstancesAndTags(t *testing.T) {
	t.Parallel()
	start, end := hour()
	for _, client := range awsClients {
		t.Run(client.name, func(t *testing.T) {
			t.Parallel()
			c, env := newMetered(t), administrator(t)
			cli := func(h sandbox.Hop, args ...string) map[string]any {
				t.Helper()
				return parsed(t, run(t, env, client.cli(t), append([]string{"--endpoint-url", c.URL(h), "--output", "json"}, args...)...).wantSuccess(t).stdout)
			}
			queries, _ := json.Marshal([]any{map[string]any{"Id": "a", "MetricStat": map[string]any{
				"Stat": "Maximum", "Period": 300, "Metric": map[string]any{
					"Namespace": "AWS/EC2", "MetricName": "EBSReadBytes", "Dimensions": []any{map[string]any{"Name": "InstanceId", "Value": database}},
				},
			}}})
			data := cli(sandbox.CloudWatch, "cloudwatch", "get-metric-data", "--start-time", start, "--end-time", end, "--scan-by", "TimestampAscending", "--metric-data-queries", string(queries), "--page-size", "5")
			wantValues(t, data["MetricDataResults"], known(c, "EBSReadBytes", "Maximum", database))

			listed := cli(sandbox.CloudWatch, "cloudwatch", "list-metrics", "--namespace", "AWS/EC2", "--metric-name", "CPUCreditBalance")
			if got := len(listed["Metrics"].([]any)); got != fleet-1 {
				t.Errorf("%d metrics", got)
			}
			statistics := cli(sandbox.CloudWatch, "cloudwatch", "get-metric-statistics", "--namespace", "AWS/EC2", "--metric-name", "NetworkIn", "--dimensions", "Name=InstanceId,Value="+database,
				"--start-time", start, "--end-time", end, "--period", "300", "--statistics", "Sum", "SampleCount", "--extended-statistics", "p90")
			points, _ := statistics["Datapoints"].([]any)
			if want := known(c, "NetworkIn", "Sum", database); len(points) != len(want) {
				t.Errorf("%d datapoints, want %d", len(points), len(want))
			}
			first, _ := points[0].(map[string]any)
			if extended, _ := first["ExtendedStatistics"].(map[string]any); first["Unit"] != "Bytes" || extended["p90"] == nil {
				t.Errorf("%v", first)
			}
			described := cli(sandbox.EC2API, "ec2", "describe-instances", "--page-size", "50", "--filters", "Name=tag:team,Values=blue")
			if got := len(described["Reservations"].([]any)); got != fleet-1 {
				t.Errorf("%d reservations", got)
			}
			resources := cli(sandbox.Tagging, "resourcegroupstaggingapi", "get-resources", "--resources-per-page", "50", "--tag-filters", "Key=Name,Values=db")
			if got := resources["ResourceTagMappingList"].([]any); len(got) != 1 {
				t.Errorf("%v", got)
			}
			if aliases := parsed(t, iamCLI(t, c, client, env, "list-account-aliases").wantSuccess(t).stdout)["AccountAliases"].([]any); len(aliases) != 1 || aliases[0] != "metered" {
				t.Errorf("%v", aliases)
			}
		})
	}
}

func wantValues(t *testing.T, results any, want []sandbox.Datapoint) {
	t.Helper()
	got := []float64{}
	for _, page := range results.([]any) { // the client leaves it to its user to join them
		for _, value := range page.(map[string]any)["Values"].([]any) {
			got = append(got, value.(float64))
		}
	}
	if !slices.Equal(got, values(want)) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestBoto3PutsAndReadsMetrics: the old one speaks the query protocol, the current one CBOR.
func TestBoto3PutsAndReadsMetrics(t *testing.T) {
	t.Parallel()
	const script = `
import boto3, datetime, sys
cloudwatch = boto3.client("cloudwatch", endpoint_url=sys.argv[1], region_name="eu-west-1") # where points are not late
ec2 = boto3.client("ec2", endpoint_url=sys.argv[2])
tags = boto3.client("resourcegroupstaggingapi", endpoint_url=sys.argv[3])
now = datetime.datetime.now(datetime.timezone.utc).replace(second=0, microsecond=0) - datetime.timedelta(minutes=10)
dims = [{"Name": "queue", "Value": "a&b é"}]
print("protocol", cloudwatch.meta.service_model.metadata.get("protocol"))
for i in range(3): # large enough to be compressed by those that can
    cloudwatch.put_metric_data(Namespace="Demo", MetricData=[
        {"MetricName": "depth" + str(n), "Dimensions": dims, "Timestamp": now, "Unit": "Count", **v} for n in range(40) for v in (
            {"Value": 1.5}, {"Values": [1.0, 4.0], "Counts": [2.0, 1.0]}, {"StatisticValues": {"SampleCount": 2, "Sum": 3, "Minimum": 1, "Maximum": 2}})])
def read(stat):
    pages = cloudwatch.get_paginator("get_metric_data").paginate(StartTime=now, EndTime=now + datetime.timedelta(minutes=5), ScanBy="TimestampAscending", MetricDataQueries=[
        {"Id": "a", "Label": "depth", "MetricStat": {"Metric": {"Namespace": "Demo", "MetricName": "depth7", "Dimensions": dims}, "Period": 60, "Stat": stat}}])
    for page in pages:
        for r in page["MetricDataResults"]:
            assert r["StatusCode"] == "Complete" and r["Timestamps"] == [now], r
            return r["Values"]
print([[float(x) for x in read(s)] for s in ("SampleCount", "Sum", "Minimum", "Maximum")])
print(len(ec2.describe_instance_status()["InstanceStatuses"]), len(ec2.describe_regions()["Regions"]))
instances = [i for p in ec2.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 7}) for r in p["Reservations"] for i in r["Instances"]]
print(len(instances), {i["InstanceType"] for i in instances} == {"t3.small", "m5d.large"}, type(instances[0]["LaunchTime"]).__name__)
print(sum(len(p["ResourceTagMappingList"]) for p in tags.get_paginator("get_resources").paginate(ResourcesPerPage=100)))
listed = [m for p in cloudwatch.get_paginator("list_metrics").paginate(Namespace="Demo", Dimensions=dims) for m in p["Metrics"]]
print(len(listed), listed[0]["Dimensions"] == dims)
for call, arguments in ((cloudwatch.put_metric_data, dict(Namespace="AWS/EC2", MetricData=[{"MetricName": "a", "Value": 1}])),
        (cloudwatch.get_metric_statistics, dict(Namespace="Demo", MetricName="a", StartTime=now - datetime.timedelta(days=14), EndTime=now, Period=300, Statistics=["Sum"])),
        (cloudwatch.list_metrics, dict(NextToken="?"))):
    try:
        call(**arguments)
    except (cloudwatch.exceptions.InvalidParameterValueException, cloudwatch.exceptions.InvalidParameterCombinationException) as e:
        print(e.response["Error"]["Code"])
try:
    cloudwatch.get_metric_data(StartTime=now, EndTime=now, MetricDataQueries=[])
except cloudwatch.exceptions.ClientError as e:
    print(e.response["Error"]["Code"])
`
	for _, client := range awsClients {
		t.Run(client.name, func(t *testing.T) {
			t.Parallel()
			c := newMetered(t)
			got := run(t, administrator(t), client.python(t), "-c", script, c.URL(sandbox.CloudWatch), c.URL(sandbox.EC2API), c.URL(sandbox.Tagging)).wantSuccess(t)
			want := []string{
				"[[18.0], [31.5], [1.0], [4.0]]", "120 2", "120 True datetime", "120", "40 True",
				"InvalidParameterValue", "InvalidParameterCombination", "InvalidParameterValue", "ValidationError",
			}
			lines := strings.Split(strings.TrimSpace(got.stdout), "\n")
			if !slices.Equal(lines[1:], want) {
				t.Errorf("%s: got %q, want %q", lines[0], lines[1:], want)
			}
			if protocol := map[string]string{"debian": "protocol query", "pypi": "protocol smithy-rpc-v2-cbor"}[client.name]; lines[0] != protocol {
				t.Errorf("got %s, want %s", lines[0], protocol)
			}
		})
	}
}

// TestAWrongSecretKeyReadsNoMetrics is the twin of the two above.
func TestAWrongSecretKeyReadsNoMetrics(t *testing.T) {
	t.Parallel()
	for _, client := range awsClients {
		t.Run(client.name, func(t *testing.T) {
			t.Parallel()
			c, env := newMetered(t), administrator(t).with(environment{"AWS_SECRET_ACCESS_KEY": adminSecret + "x"})
			for code, call := range map[string][]string{
				"(SignatureDoesNotMatch) when calling the ListMetrics":       {c.URL(sandbox.CloudWatch), "cloudwatch", "list-metrics"},
				"(SignatureDoesNotMatch) when calling the DescribeInstances": {c.URL(sandbox.EC2API), "ec2", "describe-instances"},
				"(InvalidSignatureException) when calling the GetResources":  {c.URL(sandbox.Tagging), "resourcegroupstaggingapi", "get-resources"},
			} {
				got := run(t, env, client.cli(t), append([]string{"--endpoint-url"}, call...)...)
				if got.code == 0 || !strings.Contains(got.stderr, code) || got.stdout != "" {
					t.Errorf("got %d %s, want %s", got.code, got.stderr, code)
				}
			}
		})
	}
}
