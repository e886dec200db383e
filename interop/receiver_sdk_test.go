package interop_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/smithy-go/encoding/cbor"

	"github.com/keyless-id/keyless/sandbox"
)

const (
	randomMetrics = 620 // more than a page of ListMetrics, and than a request for data
	elsewhere     = "eu-west-1"
)

// randomStats are asked of each metric.
var randomStats = []string{"Average", "Sum", "Minimum", "Maximum", "SampleCount"}

// anyValue is of all the sizes that CloudWatch takes, and smaller.
func anyValue(r *rand.Rand) float64 {
	switch r.IntN(6) {
	case 0:
		return float64(r.IntN(100))
	case 1:
		return math.Ldexp(r.Float64()-0.5, 350) // less than 2^360
	case 2:
		return math.Float64frombits(r.Uint64() >> 12) // not even normal
	case 3:
		return -r.ExpFloat64() * 1e-9
	case 4:
		return float64(r.Int64()) // whole, with more digits than fit
	}
	return r.NormFloat64() * 1000
}

// putRandom puts values of the last hour, with gaps, and some as sets of statistics.
func putRandom(t *testing.T, client *cloudwatch.Client) {
	t.Helper()
	random := rand.New(rand.NewPCG(11, 12))
	now := time.Now().Truncate(time.Minute)
	var data []cwtypes.MetricDatum
	flush := func() {
		if _, err := client.PutMetricData(t.Context(), &cloudwatch.PutMetricDataInput{Namespace: aws.String("Random"), MetricData: data}); err != nil {
			t.Fatal(err)
		}
		data = nil
	}
	for i := range randomMetrics {
		name, dimensions := aws.String(fmt.Sprintf("m%d", i%7)), []cwtypes.Dimension{{Name: aws.String("series"), Value: aws.String(fmt.Sprintf("é %d", i))}}
		for age := 5; age < 50; age++ {
			if random.IntN(3) > 0 {
				continue
			}
			datum := cwtypes.MetricDatum{MetricName: name, Dimensions: dimensions, Timestamp: aws.Time(now.Add(-time.Duration(age) * time.Minute))}
			if a, b := anyValue(random), anyValue(random); random.IntN(2) == 0 {
				datum.Value = &a
			} else {
				datum.StatisticValues = &cwtypes.StatisticSet{SampleCount: aws.Float64(float64(1 + random.IntN(9))), Sum: aws.Float64(anyValue(random)), Minimum: aws.Float64(min(a, b)), Maximum: aws.Float64(max(a, b))}
			}
			if data = append(data, datum); len(data) == 1000 {
				flush()
			}
		}
	}
	flush()
}

// readBySDK is all that the SDK finds in the namespace.
func readBySDK(t *testing.T, client *cloudwatch.Client) map[string]float64 {
	t.Helper()
	type asked struct {
		metric cwtypes.Metric
		stat   string
	}
	var all []asked
	for pages := cloudwatch.NewListMetricsPaginator(client, &cloudwatch.ListMetricsInput{Namespace: aws.String("Random")}); pages.HasMorePages(); {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page.Metrics {
			for _, stat := range randomStats {
				all = append(all, asked{m, stat})
			}
		}
	}
	out := map[string]float64{}
	now := time.Now()
	for len(all) > 0 {
		n := min(500, len(all))
		in := &cloudwatch.GetMetricDataInput{StartTime: aws.Time(now.Add(-58 * time.Minute).Truncate(time.Minute)), EndTime: &now, MaxDatapoints: aws.Int32(3000)}
		for i, a := range all[:n] {
			in.MetricDataQueries = append(in.MetricDataQueries, cwtypes.MetricDataQuery{Id: aws.String(fmt.Sprintf("m%d", i)), MetricStat: &cwtypes.MetricStat{Metric: &a.metric, Period: aws.Int32(60), Stat: &a.stat}})
		}
		for pages := cloudwatch.NewGetMetricDataPaginator(client, in); pages.HasMorePages(); {
			page, err := pages.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, result := range page.MetricDataResults {
				var i int
				_, _ = fmt.Sscanf(*result.Id, "m%d", &i)
				dimensions := map[string]string{*all[i].metric.Dimensions[0].Name: *all[i].metric.Dimensions[0].Value}
				for j := range result.Values {
					out[pointKey("Random/"+*all[i].metric.MetricName, dimensions, all[i].stat, result.Timestamps[j])] = result.Values[j]
				}
			}
		}
		all = all[n:]
	}
	return out
}

// shortPages stands before the sandbox and lets an answer have a thousand points at most. It
// signs what it has changed.
func shortPages(t *testing.T, c *cloud, pages *atomic.Int32) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if bytes.Contains(body, []byte("MaxDatapoints")) {
			body = shortened(t, r.Header.Get("Content-Type"), body)
			pages.Add(1)
		}
		onward, err := http.NewRequestWithContext(r.Context(), r.Method, c.URL(sandbox.CloudWatch)+r.URL.Path, bytes.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		for name, value := range r.Header {
			if name != "Authorization" && !strings.HasPrefix(name, "X-Amz-Date") && !strings.HasPrefix(name, "X-Amz-Content") {
				onward.Header[name] = value
			}
		}
		sum := sha256.Sum256(body)
		keys := aws.Credentials{AccessKeyID: adminID, SecretAccessKey: adminSecret}
		if err := v4.NewSigner().SignHTTP(r.Context(), keys, onward, hex.EncodeToString(sum[:]), "monitoring", elsewhere, time.Now()); err != nil {
			t.Error(err)
		}
		answer, err := http.DefaultTransport.RoundTrip(onward)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		for name, value := range answer.Header {
			w.Header()[name] = value
		}
		w.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(w, answer.Body)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func shortened(t *testing.T, kind string, body []byte) []byte {
	t.Helper()
	if kind == "application/cbor" {
		fields, _ := decode(t, body).(cbor.Map)
		fields["MaxDatapoints"] = cbor.Uint(1000)
		return cbor.Encode(fields)
	}
	var fields map[string]any
	if err := json.Unmarshal(body, &fields); err != nil {
		t.Error(err)
	}
	fields["MaxDatapoints"] = 1000
	out, _ := json.Marshal(fields)
	return out
}

// TestTheReceiverReadsWhatTheSDKReads, in both of its protocols, in many pages and requests,
// whatever the numbers are.
func TestTheReceiverReadsWhatTheSDKReads(t *testing.T) {
	t.Parallel()
	collector(t)
	c := newMetered(t)
	config := awsConfig(c, sandbox.CloudWatch, adminSecret)
	config.Region = elsewhere // where points are not late
	client := cloudwatch.NewFromConfig(config)
	putRandom(t, client)
	want := readBySDK(t, client)
	for _, protocol := range []string{"cbor", "json"} {
		t.Run(protocol, func(t *testing.T) {
			var pages atomic.Int32
			to := newSink(t)
			at := awsHost{"monitoring": shortPages(t, c, &pages), "sts": c.URL(sandbox.STS)}
			collect(t, administrator(t), at.receiver(`
    lookback: 1h
    metrics:
      protocol: `+protocol+`
      period: 1m
      delay: 0s
      queries: [{namespace: Random, dimensions: {series: "*"}, stats: [`+strings.Join(randomStats, ", ")+`]}]
`), to, func(string) bool { return to.count() >= len(want) })
			to.wantExactly(t, want)
			if n := pages.Load(); n < 40 {
				t.Errorf("%d pages: the test shows less than it should", n)
			}
		})
	}
}

// TestAReceiverThatMayNotReadSaysSo is the twin of the one above.
func TestAReceiverThatMayNotReadSaysSo(t *testing.T) {
	t.Parallel()
	collector(t)
	c, to := newMetered(t), newSink(t)
	at := awsHost{"monitoring": c.URL(sandbox.CloudWatch), "sts": c.URL(sandbox.STS)}
	env := administrator(t)
	refused := func(env environment, protocol, word string) {
		log := collect(t, env, at.receiver("    metrics: {protocol: "+protocol+", queries: [{namespace: Random}]}\n"), to, func(log string) bool { return strings.Contains(log, "not all could be read") })
		if to.count() != 0 || !strings.Contains(log, word) {
			t.Errorf("%s: %d points, want %s:\n%s", protocol, to.count(), word, log)
		}
	}
	refused(env.with(environment{"AWS_SECRET_ACCESS_KEY": adminSecret + "x"}), "json", "SignatureDoesNotMatch")
	c.SetFault(sandbox.CloudWatch, sandbox.Fault{Status: http.StatusForbidden, Code: "AccessDenied"})
	refused(env, "json", "the role needs the action cloudwatch:ListMetrics")
	refused(env, "cbor", "the role needs the action cloudwatch:ListMetrics")
}
