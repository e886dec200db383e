package interop_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	tagging "github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi"
	tagtypes "github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi/types"
	"github.com/aws/smithy-go"

	"github.com/keyless-id/keyless/sandbox"
)

// fleet is how many instances the metered account has: more than two pages of metrics.
const fleet = 120

// newMetered is a cloud with instances, whose points come late.
func newMetered(t *testing.T) *cloud {
	t.Helper()
	k := newKey(t)
	w := world(k)
	w.Accounts = append(w.Accounts, sandbox.Account{
		ID: emptyAccount, Alias: "metered", Administrators: []string{"arn:aws:iam::" + emptyAccount + ":user/admin"},
		Users: []sandbox.AccessKey{{UserName: "admin", AccessKeyID: adminID, SecretAccessKey: adminSecret}},
		Regions: []sandbox.Region{{
			Name: region,
			Instances: []sandbox.Instance{
				{Count: fleet - 1, Type: "t3.small", Tags: map[string]string{"Name": "web", "team": "blue"}},
				{ID: "i-0123456789abcdef0", Type: "m5d.large", Detailed: true, Tags: map[string]string{"Name": "db"}},
			},
			Delivery: sandbox.Delivery{Delay: 2 * time.Minute, Missing: 0.02},
		}, {Name: "eu-west-1"}},
	})
	s, err := sandbox.New(w, sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &cloud{Sandbox: s, key: k}
}

// awsConfig is that of the Go SDK, at one of the far sides; it tries once.
func awsConfig(c *cloud, h sandbox.Hop, secret string) aws.Config {
	address := c.URL(h)
	return aws.Config{
		Region: region, BaseEndpoint: &address, RetryMaxAttempts: 1, HTTPClient: &http.Client{Transport: plainBodies{}},
		Credentials: credentials.NewStaticCredentialsProvider(adminID, secret, ""),
	}
}

// plainBodies sends bodies that have nothing but Read and Close. The SDK closes that of a
// request as soon as it is answered, and after that its WriteTo is an error (smithy-go 1.28.8): where
// net/http is still looking for more of a long one, it takes that for a failed request, and
// hangs up. Who tries more than once does not see it.
type plainBodies struct{}

func (plainBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		r = r.WithContext(r.Context())
		r.Body = struct {
			io.Reader
			io.Closer
		}{r.Body, r.Body}
	}
	return http.DefaultTransport.RoundTrip(r)
}

// lastHour is asked of every client: the same one all the time, which has been over long
// enough for all its points to be there.
var lastHour = sync.OnceValues(func() (start, end time.Time) {
	end = time.Now().UTC().Add(-20 * time.Minute).Truncate(time.Hour)
	return end.Add(-time.Hour), end
})

// known is what the sandbox itself says.
func known(c *cloud, name, stat, id string) []sandbox.Datapoint {
	start, end := lastHour()
	return c.Datapoints(sandbox.MetricQuery{
		Account: emptyAccount, Region: region, Stat: stat, Period: 5 * time.Minute, Start: start, End: end,
		Metric: sandbox.Metric{Namespace: "AWS/EC2", Name: name, Dimensions: []sandbox.Dimension{{Name: "InstanceId", Value: id}}},
	})
}

func TestTheGoSDKReadsMetricsInPages(t *testing.T) {
	t.Parallel()
	c := newMetered(t)
	client := cloudwatch.NewFromConfig(awsConfig(c, sandbox.CloudWatch, adminSecret))
	start, end := lastHour()
	var queries []cwtypes.MetricDataQuery
	for i, instance := range c.Instances(emptyAccount, region) {
		queries = append(queries, cwtypes.MetricDataQuery{Id: aws.String(fmt.Sprintf("m%d", i)), MetricStat: &cwtypes.MetricStat{
			Period: aws.Int32(300), Stat: aws.String("Average"),
			Metric: &cwtypes.Metric{Namespace: aws.String("AWS/EC2"), MetricName: aws.String("CPUUtilization"), Dimensions: []cwtypes.Dimension{{Name: aws.String("InstanceId"), Value: &instance.ID}}},
		}})
	}
	got := map[string][]sandbox.Datapoint{}
	pages := cloudwatch.NewGetMetricDataPaginator(client, &cloudwatch.GetMetricDataInput{
		MetricDataQueries: queries, StartTime: &start, EndTime: &end, MaxDatapoints: aws.Int32(100), ScanBy: cwtypes.ScanByTimestampAscending,
	})
	calls := 0
	for ; pages.HasMorePages(); calls++ {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, result := range page.MetricDataResults {
			for i := range result.Values {
				got[*result.Id] = append(got[*result.Id], sandbox.Datapoint{Time: result.Timestamps[i].UTC(), Value: result.Values[i]})
			}
		}
	}
	for i, instance := range c.Instances(emptyAccount, region) {
		if want := known(c, "CPUUtilization", "Average", instance.ID); !reflect.DeepEqual(got[fmt.Sprintf("m%d", i)], want) {
			t.Fatalf("%s: got %v, want %v", instance.ID, got[fmt.Sprintf("m%d", i)], want)
		}
	}
	if billed := c.MetricsBilled(emptyAccount, region); calls < 10 || billed != calls*fleet || c.Calls(emptyAccount, region, "GetMetricData") != calls {
		t.Errorf("%d pages, %d billed", calls, billed)
	}
}

func TestTheGoSDKListsMetricsInPages(t *testing.T) {
	t.Parallel()
	c := newMetered(t)
	client := cloudwatch.NewFromConfig(awsConfig(c, sandbox.CloudWatch, adminSecret))
	listed := map[string]bool{}
	pages, calls := cloudwatch.NewListMetricsPaginator(client, &cloudwatch.ListMetricsInput{Namespace: aws.String("AWS/EC2"), RecentlyActive: cwtypes.RecentlyActivePt3h}), 0
	for ; pages.HasMorePages(); calls++ {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page.Metrics {
			listed[*m.MetricName+" "+*m.Dimensions[0].Value] = true
		}
	}
	want := 0
	for m := range c.Metrics(emptyAccount, region) {
		if want++; !listed[m.Name+" "+m.Dimensions[0].Value] {
			t.Errorf("%v is not listed", m)
		}
	}
	if len(listed) != want || calls < 3 {
		t.Errorf("%d metrics on %d pages, want %d", len(listed), calls, want)
	}
}

func TestTheGoSDKDescribesInstancesInPages(t *testing.T) {
	t.Parallel()
	c := newMetered(t)
	client := ec2.NewFromConfig(awsConfig(c, sandbox.EC2API, adminSecret))
	var ids []string
	pages := ec2.NewDescribeInstancesPaginator(client, &ec2.DescribeInstancesInput{
		MaxResults: aws.Int32(50), Filters: []ec2types.Filter{{Name: aws.String("tag:team"), Values: []string{"b*"}}, {Name: aws.String("instance-state-name"), Values: []string{"running"}}},
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Reservations {
			for _, i := range r.Instances {
				ids = append(ids, *i.InstanceId)
				if i.InstanceType != "t3.small" || i.State.Name != "running" || *i.State.Code != 16 || len(i.Tags) != 2 || *i.Placement.AvailabilityZone == "" || i.LaunchTime.IsZero() {
					t.Fatalf("%+v", i)
				}
			}
		}
	}
	if len(ids) != fleet-1 || !slices.IsSorted(ids) || c.Calls(emptyAccount, region, "DescribeInstances") != 3 {
		t.Errorf("%d instances in %d calls", len(ids), c.Calls(emptyAccount, region, "DescribeInstances"))
	}
	regions, err := client.DescribeRegions(t.Context(), &ec2.DescribeRegionsInput{})
	if err != nil || len(regions.Regions) != 2 {
		t.Errorf("%v, %v", regions, err)
	}
	status, err := client.DescribeInstanceStatus(t.Context(), &ec2.DescribeInstanceStatusInput{})
	if err != nil || len(status.InstanceStatuses) != fleet || status.InstanceStatuses[0].InstanceStatus.Status != "ok" {
		t.Errorf("%v, %v", status, err)
	}
}

func TestTheGoSDKGetsTagsInPages(t *testing.T) {
	t.Parallel()
	c := newMetered(t)
	client := tagging.NewFromConfig(awsConfig(c, sandbox.Tagging, adminSecret))
	pages, found := tagging.NewGetResourcesPaginator(client, &tagging.GetResourcesInput{
		ResourceTypeFilters: []string{"ec2:instance"}, ResourcesPerPage: aws.Int32(50), TagFilters: []tagtypes.TagFilter{{Key: aws.String("team"), Values: []string{"blue", "red"}}},
	}), 0
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found += len(page.ResourceTagMappingList)
	}
	if found != fleet-1 {
		t.Errorf("%d resources", found)
	}
}

// TestTheGoSDKIsRefusedWithAWrongSecretKey is the twin of the four above.
func TestTheGoSDKIsRefusedWithAWrongSecretKey(t *testing.T) {
	t.Parallel()
	c := newMetered(t)
	calls := map[string]func(ctx context.Context) error{
		"SignatureDoesNotMatch cloudwatch": func(ctx context.Context) error {
			_, err := cloudwatch.NewFromConfig(awsConfig(c, sandbox.CloudWatch, adminSecret+"x")).ListMetrics(ctx, nil)
			return err
		},
		"SignatureDoesNotMatch ec2": func(ctx context.Context) error {
			_, err := ec2.NewFromConfig(awsConfig(c, sandbox.EC2API, adminSecret+"x")).DescribeInstances(ctx, nil)
			return err
		},
		"InvalidSignatureException tagging": func(ctx context.Context) error {
			_, err := tagging.NewFromConfig(awsConfig(c, sandbox.Tagging, adminSecret+"x")).GetResources(ctx, nil)
			return err
		},
	}
	for name, call := range calls {
		want, _, _ := strings.Cut(name, " ")
		var got smithy.APIError
		if err := call(t.Context()); !errors.As(err, &got) || got.ErrorCode() != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
