// Command cloudwatch decodes with aws-sdk-go-v2 what a poll of a fleet's metrics is answered.
// It asks for everything once, keeps the answers, and then measures the SDK's client with the
// answers in memory: what is left is making the requests and decoding the answers.
//
//	cloudwatch ENDPOINT REGION IDS ROUNDS METRIC…
//
// It prints the CPU time of a poll in microseconds, the middle one of the rounds.
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
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	endpoint, region, file, metrics := args[0], args[1], args[2], args[4:]
	rounds, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	ids, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	answers := &memory{}
	client := cloudwatch.New(cloudwatch.Options{
		BaseEndpoint: &endpoint, Region: region, HTTPClient: &http.Client{Transport: answers},
		Credentials: credentials.NewStaticCredentialsProvider(os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), ""),
	})
	requests := requestsFor(strings.Fields(string(ids)), metrics)
	if err := poll(ctx, client, requests); err != nil {
		return err
	}
	times := make([]time.Duration, rounds)
	for i := range times {
		answers.next, answers.full = 0, true
		before := cpu()
		if err := poll(ctx, client, requests); err != nil {
			return err
		}
		times[i] = cpu() - before
	}
	slices.Sort(times)
	fmt.Println(times[rounds/2].Microseconds())
	return nil
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

func poll(ctx context.Context, client *cloudwatch.Client, requests []*cloudwatch.GetMetricDataInput) error {
	for _, request := range requests {
		got, err := client.GetMetricData(ctx, request)
		if err != nil {
			return err
		}
		if len(got.MetricDataResults) != len(request.MetricDataQueries) || len(got.MetricDataResults[0].Values) == 0 {
			return fmt.Errorf("%d results of %d points", len(got.MetricDataResults), len(got.MetricDataResults[0].Values))
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
	m.bodies, m.header = append(m.bodies, body), response.Header
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response, nil
}

// cpu is what the process has taken so far.
func cpu() time.Duration {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used) // fails only for another who
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
