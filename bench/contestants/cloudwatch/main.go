// Command cloudwatch decodes with aws-sdk-go-v2 what a poll of a fleet's metrics is answered:
// the instances and their status by EC2, their metrics by CloudWatch. It asks for everything
// once, keeps the answers, and then measures the SDK's clients with the answers in memory: what
// is left is making the requests and decoding the answers.
//
//	cloudwatch CLOUDWATCH EC2 REGION ROUNDS METRIC…
//
// It prints the CPU time of a poll in microseconds, the middle one of the rounds: of CloudWatch
// alone, and of both.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	rounds, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	f := newFleet(args[0], args[1], args[2])
	ids, err := f.instances(ctx)
	if err != nil {
		return err
	}
	f.requests = requestsFor(ids, args[4:])
	if err := f.metrics(ctx); err != nil {
		return err
	}
	alone, both := make([]time.Duration, rounds), make([]time.Duration, rounds)
	for i := range rounds {
		f.again()
		before := cpu()
		if _, err := f.instances(ctx); err != nil {
			return err
		}
		between := cpu()
		if err := f.metrics(ctx); err != nil {
			return err
		}
		alone[i], both[i] = cpu()-between, cpu()-before
	}
	slices.Sort(alone)
	slices.Sort(both)
	fmt.Println(alone[rounds/2].Microseconds(), both[rounds/2].Microseconds())
	return nil
}

// fleet is one region of an account, as the SDK's clients see it.
type fleet struct {
	cloudwatch *cloudwatch.Client
	ec2        *ec2.Client
	answers    [2]*memory // of CloudWatch and of EC2
	requests   []*cloudwatch.GetMetricDataInput
}

func newFleet(atCloudWatch, atEC2, region string) *fleet {
	f := &fleet{answers: [2]*memory{{}, {}}}
	keys := credentials.NewStaticCredentialsProvider(os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), "")
	f.cloudwatch = cloudwatch.New(cloudwatch.Options{BaseEndpoint: &atCloudWatch, Region: region, HTTPClient: &http.Client{Transport: f.answers[0]}, Credentials: keys})
	f.ec2 = ec2.New(ec2.Options{BaseEndpoint: &atEC2, Region: region, HTTPClient: &http.Client{Transport: f.answers[1]}, Credentials: keys})
	return f
}

// again begins with the first of the answers that were kept.
func (f *fleet) again() {
	for _, m := range f.answers {
		m.next, m.full = 0, true
	}
}

// instances are those of the region, and reads their status.
func (f *fleet) instances(ctx context.Context) ([]string, error) {
	var ids []string
	for pages := ec2.NewDescribeInstancesPaginator(f.ec2, &ec2.DescribeInstancesInput{MaxResults: aws.Int32(1000)}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, reservation := range page.Reservations {
			for _, instance := range reservation.Instances {
				ids = append(ids, *instance.InstanceId)
			}
		}
	}
	statuses := 0
	for pages := ec2.NewDescribeInstanceStatusPaginator(f.ec2, &ec2.DescribeInstanceStatusInput{MaxResults: aws.Int32(1000)}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		statuses += len(page.InstanceStatuses)
	}
	if statuses != len(ids) {
		return nil, fmt.Errorf("%d instances, but the status of %d", len(ids), statuses)
	}
	return ids, nil
}

// requestsFor are those of one poll, for thirteen periods of a minute.
func requestsFor(ids, metrics []string) []*cloudwatch.GetMetricDataInput {
	end := time.Now().Truncate(time.Minute)
	start := end.Add(-13 * time.Minute)
	var queries []types.MetricDataQuery
	for _, id := range ids {
		for _, metric := range metrics {
			queries = append(queries, types.MetricDataQuery{
				Id: aws.String("q" + strconv.Itoa(len(queries)%500)),
				MetricStat: &types.MetricStat{
					Metric: &types.Metric{
						Namespace: aws.String("AWS/EC2"), MetricName: aws.String(metric),
						Dimensions: []types.Dimension{{Name: aws.String("InstanceId"), Value: aws.String(id)}},
					},
					Period: aws.Int32(60), Stat: aws.String("Average"),
				},
			})
		}
	}
	var requests []*cloudwatch.GetMetricDataInput
	for part := range slices.Chunk(queries, 500) {
		requests = append(requests, &cloudwatch.GetMetricDataInput{MetricDataQueries: part, StartTime: &start, EndTime: &end})
	}
	return requests
}

// metrics reads those of all instances.
func (f *fleet) metrics(ctx context.Context) error {
	for _, request := range f.requests {
		got, err := f.cloudwatch.GetMetricData(ctx, request)
		if err != nil {
			return err
		}
		if len(got.MetricDataResults) != len(request.MetricDataQueries) || len(got.MetricDataResults[0].Values) == 0 {
			return fmt.Errorf("%d results for %d queries", len(got.MetricDataResults), len(request.MetricDataQueries))
		}
	}
	return nil
}

// memory keeps the answers of the first round, and gives them in the same order again.
type memory struct {
	bodies [][]byte
	header http.Header
	next   int
	full   bool
}

func (m *memory) RoundTrip(r *http.Request) (*http.Response, error) {
	if m.full {
		body := m.bodies[m.next]
		m.next++
		return &http.Response{
			StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: m.header, Request: r,
			ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)),
		}, nil
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusOK { // the SDK asks again after a refusal, which the answers in memory have none of
		m.bodies, m.header = append(m.bodies, body), response.Header
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

// cpu is what the process has taken so far.
func cpu() time.Duration {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used) // fails only for another who
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
