package interop_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go/encoding/cbor"

	"github.com/keyless-id/keyless/sandbox"
)

// recording is a request or an answer as AWS's files have it.
type recording struct {
	first  string
	header textproto.MIMEHeader
	body   []byte
}

// snapshot reads a request or an answer that AWS recorded for the tests of its SDK, and
// publishes with it.
func snapshot(t *testing.T, service, name string) recording {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/aws/aws-sdk-go-v2/service/"+service).Output()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	first, rest, _ := strings.Cut(string(text), "\n")
	head, content, _ := strings.Cut(strings.TrimLeft(rest, "\n"), "\n\n")
	header := textproto.MIMEHeader{}
	for line := range strings.Lines(head) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		header.Set(name, value)
	}
	return recording{first, header, []byte(content)}
}

// post sends a body with the headers of a recorded request, signed.
func post(t *testing.T, c *cloud, h sandbox.Hop, like recording, body []byte) (int, []byte) {
	t.Helper()
	_, path, _ := strings.Cut(like.first, " ")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.URL(h)+strings.TrimSpace(path), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header(like.header)
	sum := sha256.Sum256(body)
	name := map[sandbox.Hop]string{sandbox.CloudWatch: "monitoring", sandbox.EC2API: "ec2", sandbox.Tagging: "tagging"}[h]
	keys := aws.Credentials{AccessKeyID: adminID, SecretAccessKey: adminSecret}
	if err := v4.NewSigner().SignHTTP(t.Context(), keys, r, hex.EncodeToString(sum[:]), name, region, time.Now()); err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, got
}

// TestRecordedRequestsOfTheSDKAreUnderstood: what the requests ask for makes no sense, so
// each is refused, but for its sense and not for its form.
func TestRecordedRequestsOfTheSDKAreUnderstood(t *testing.T) {
	t.Parallel()
	c := newMetered(t)
	for _, row := range []struct {
		hop                      sandbox.Hop
		service, operation, want string
	}{
		{sandbox.CloudWatch, "cloudwatch", "GetMetricData", "The parameter StartTime must be less than the parameter EndTime."},
		{sandbox.CloudWatch, "cloudwatch", "GetMetricStatistics", "The parameter StartTime must be less than the parameter EndTime."},
		{sandbox.CloudWatch, "cloudwatch", "ListMetrics", "Invalid nextToken"},
		{sandbox.CloudWatch, "cloudwatch", "PutMetricData", "Timestamp must specify a time no more than two weeks ago"},
		{sandbox.EC2API, "ec2", "DescribeInstances", "DryRunOperation"},
		{sandbox.EC2API, "ec2", "DescribeInstanceStatus", "DryRunOperation"},
		{sandbox.EC2API, "ec2", "DescribeRegions", "DryRunOperation"},
		{sandbox.Tagging, "resourcegroupstaggingapi", "GetResources", "PaginationToken is invalid"},
	} {
		recorded := snapshot(t, row.service, "request_snapshot/"+row.operation+".request.snap")
		if status, answer := post(t, c, row.hop, recorded, recorded.body); status/100 != 4 || !bytes.Contains(answer, []byte(row.want)) {
			t.Errorf("%s: got %d %q, want %q", row.operation, status, answer, row.want)
		}
	}
	recorded := snapshot(t, "cloudwatch", "request_snapshot/GetMetricData.request.snap")
	if _, answer := post(t, c, sandbox.CloudWatch, recorded, recorded.body[:len(recorded.body)/2]); !bytes.Contains(answer, []byte("SerializationException")) {
		t.Errorf("half a request: %q", answer)
	}
}

// TestAnswersHaveTheShapeOfRecordedOnes: the same members of the same types as in the
// answers that AWS recorded, none besides.
func TestAnswersHaveTheShapeOfRecordedOnes(t *testing.T) {
	t.Parallel()
	c := newMetered(t)
	start, end := lastHour()
	metric := cbor.Map{"Namespace": cbor.String("AWS/EC2"), "MetricName": cbor.String("NetworkIn"), "Dimensions": cbor.List{cbor.Map{"Name": cbor.String("InstanceId"), "Value": cbor.String(database)}}}
	times := cbor.Map{"StartTime": epoch(start), "EndTime": epoch(end)}
	for _, row := range []struct {
		operation, recorded string
		in                  cbor.Map
	}{
		{"GetMetricData", "GetMetricData.response", with(times, cbor.Map{"MaxDatapoints": cbor.Uint(5), "MetricDataQueries": cbor.List{cbor.Map{
			"Id": cbor.String("a"), "MetricStat": cbor.Map{"Metric": metric, "Period": cbor.Uint(60), "Stat": cbor.String("p99.9")},
		}}})},
		{"GetMetricData", "GetMetricData.response", with(times, cbor.Map{"MetricDataQueries": cbor.List{cbor.Map{
			"Id": cbor.String("a"), "AccountId": cbor.String(account), "MetricStat": cbor.Map{"Metric": metric, "Period": cbor.Uint(60), "Stat": cbor.String("Sum")},
		}}})},
		{"GetMetricStatistics", "GetMetricStatistics.response", with(times, with(metric, cbor.Map{
			"Period": cbor.Uint(60), "Statistics": cbor.List{cbor.String("Sum"), cbor.String("Average"), cbor.String("Minimum"), cbor.String("Maximum"), cbor.String("SampleCount")},
			"ExtendedStatistics": cbor.List{cbor.String("p50")},
		}))},
		{"ListMetrics", "ListMetrics.response", cbor.Map{"IncludeLinkedAccounts": cbor.Bool(true)}},
		{"ListMetrics", "InvalidParameterValueException.error", cbor.Map{"RecentlyActive": cbor.String("PT1H")}},
		{"GetMetricData", "InvalidNextToken.error", with(times, cbor.Map{"NextToken": cbor.String("?"), "MetricDataQueries": cbor.List{cbor.Map{
			"Id": cbor.String("a"), "MetricStat": cbor.Map{"Metric": metric, "Period": cbor.Uint(60), "Stat": cbor.String("Sum")},
		}}})},
		{"GetMetricStatistics", "MissingRequiredParameterException.error", cbor.Map{}},
	} {
		like := snapshot(t, "cloudwatch", "request_snapshot/"+row.operation+".request.snap")
		status, answer := post(t, c, sandbox.CloudWatch, like, cbor.Encode(row.in))
		want := snapshot(t, "cloudwatch", "response_snapshot/"+row.recorded+".snap")
		if strconv.Itoa(status) != want.first {
			t.Errorf("%s: got %d, want %s", row.recorded, status, want.first)
		}
		sameShape(t, row.recorded, decode(t, answer), decode(t, want.body))
	}
}

func epoch(at time.Time) cbor.Value { return &cbor.Tag{ID: 1, Value: cbor.Float64(at.Unix())} }

func with(a, b cbor.Map) cbor.Map {
	both := cbor.Map{}
	for _, m := range []cbor.Map{a, b} {
		for name, value := range m {
			both[name] = value
		}
	}
	return both
}

func decode(t *testing.T, body []byte) cbor.Value {
	t.Helper()
	value, err := cbor.Decode(body)
	if err != nil {
		t.Fatalf("%v in %q", err, body)
	}
	return value
}

func sameShape(t *testing.T, where string, got, want cbor.Value) {
	t.Helper()
	switch want := want.(type) {
	case cbor.Map:
		got, ok := got.(cbor.Map)
		if !ok {
			t.Fatalf("%s: got %T, want a map", where, got)
		}
		for name, value := range got {
			recorded, known := want[name]
			switch {
			case known:
				sameShape(t, where+"."+name, value, recorded)
			case strings.HasSuffix(where, ".ExtendedStatistics"), strings.HasSuffix(where, ".error") && name == "Message":
			default:
				t.Errorf("%s has a member %s", where, name)
			}
		}
	case cbor.List:
		got, ok := got.(cbor.List)
		if !ok {
			t.Fatalf("%s: got %T, want a list", where, got)
		}
		for _, item := range got {
			sameShape(t, where+"[]", item, want[0])
		}
	default:
		if g, w := kind(got), kind(want); g != w {
			t.Errorf("%s: got %s, want %s", where, g, w)
		}
	}
}

func kind(value cbor.Value) string {
	switch value := value.(type) {
	case cbor.String:
		return "string"
	case cbor.Float64, cbor.Float32:
		return "float"
	case *cbor.Tag:
		return "time: " + kind(value.Value)
	}
	return "other"
}

// TestATagAnswerHasTheShapeOfTheRecordedOne is the same for tagging, which speaks JSON.
func TestATagAnswerHasTheShapeOfTheRecordedOne(t *testing.T) {
	t.Parallel()
	c := newMetered(t)
	like := snapshot(t, "resourcegroupstaggingapi", "request_snapshot/GetResources.request.snap")
	_, answer := post(t, c, sandbox.Tagging, like, []byte(`{"ResourcesPerPage": 2}`))
	recorded := snapshot(t, "resourcegroupstaggingapi", "response_snapshot/GetResources.response.snap")
	type resources struct {
		PaginationToken        string
		ResourceTagMappingList []struct {
			ResourceARN       string
			Tags              []struct{ Key, Value string }
			ComplianceDetails any
		}
	}
	for _, body := range [][]byte{answer, recorded.body} {
		decoder := json.NewDecoder(bytes.NewReader(body))
		decoder.DisallowUnknownFields()
		var got resources
		if err := decoder.Decode(&got); err != nil || got.PaginationToken == "" || len(got.ResourceTagMappingList) != 2 || len(got.ResourceTagMappingList[1].Tags) != 2 {
			t.Errorf("%v: %+v", err, got)
		}
	}
}
