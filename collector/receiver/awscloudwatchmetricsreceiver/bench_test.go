package awscloudwatchmetricsreceiver

import (
	"encoding/xml"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.opentelemetry.io/collector/receiver/receivertest"
)

// recorded answers every request for the metrics of n series with the same points.
func recorded(n int, end time.Time) []byte {
	results := make(cbor.List, n)
	for i := range results {
		var times, values cbor.List
		for p := range 13 {
			times = append(times, &cbor.Tag{ID: 1, Value: cbor.Float64(end.Add(time.Duration(p-13) * 5 * time.Minute).Unix())})
			values = append(values, cbor.Float64(float64(p)*1.25))
		}
		results[i] = cbor.Map{
			"Id": cbor.String("q" + strconv.Itoa(i)), "Label": cbor.String("CPUUtilization"), "StatusCode": cbor.String(statusComplete), "Timestamps": times, "Values": values,
		}
	}
	return cbor.Encode(cbor.Map{"MetricDataResults": results})
}

// BenchmarkPoll is one poll of so many instances with nine metrics each, of which one point of
// thirteen is new.
func BenchmarkPoll(b *testing.B) {
	for _, n := range []int{1000, 2500, 5000, 7500, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) { benchmarkPoll(b, n) })
	}
}

func benchmarkPoll(b *testing.B, n int) {
	b.Helper()
	now := time.Now().Truncate(time.Hour)
	s := benchSite(b, now, n)
	round := func() {
		now = now.Add(5 * time.Minute)
		body := string(recorded(maxQueries, now))
		s.cloudWatch.Client = &http.Client{Transport: roundTrip(func(r *http.Request) *http.Response {
			_, _ = io.Copy(io.Discard, r.Body)
			return answer(r, http.StatusOK, "application/cbor", body)
		})}
		if err := s.read(b.Context(), now.Add(s.config.Metrics.Delay), plan{Optional: true, API: apiData}); err != nil {
			b.Fatal(err)
		}
	}
	round() // the first poll passes everything on
	b.ReportAllocs()
	began := used()
	for b.Loop() {
		round()
	}
	b.ReportMetric(float64(used()-began)/float64(b.N)/1e6, "cpu-ms/op")
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "MiB-kept")
	runtime.KeepAlive(s)
}

// used is the processor time of this process, garbage collection and all. What a benchmark
// counts by itself is the time that passes.
func used() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchSite(b *testing.B, now time.Time, n int) *site {
	b.Helper()
	c := configOf(func(c *Config) { c.EC2.Profile = profileStandard })
	set := receivertest.NewNopSettings(NewFactory().Type())
	obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{ReceiverID: set.ID, Transport: "https", ReceiverCreateSettings: set})
	must(b, err)
	s := &site{config: c, account: "1", region: "eu-west-1", next: consumertest.NewNop(), obs: obs, allowance: &allowance{}}
	s.marks = &marks{Client: disk{newHost()}, Prefix: "v1/1/eu-west-1", Keep: s.slots(2 * c.MaxBackfill)}
	s.cloudWatch = cloudWatch{&service{Endpoint: "http://127.0.0.1:1", Limits: map[string]*limiter{opMetricData: {Rate: 1e9, Burst: 1e9}}}, rpcCBOR{}}
	s.instances, s.at = assumed(c, map[string]int{"m5.large": n})[0], now
	return s
}

// BenchmarkAnswer decodes the answer to one request, which is what the poll cannot do without.
func BenchmarkAnswer(b *testing.B) {
	body := recorded(maxQueries, time.Now().Truncate(time.Hour))
	b.ReportAllocs()
	began := used()
	for b.Loop() {
		p, err := rpcCBOR{}.page(body)
		must(b, err)
		addResults(make([]reading, maxQueries), p.Results)
	}
	b.ReportMetric(float64(used()-began)/float64(b.N)/1e6, "cpu-ms/op")
}

// BenchmarkInstances decodes what EC2 says of a thousand instances.
func BenchmarkInstances(b *testing.B) {
	item := `<item><groupSet></groupSet><instancesSet><item><architecture>x86_64</architecture><cpuOptions><coreCount>1</coreCount></cpuOptions><imageId>ami-06be7d03f9390fcb6</imageId>` +
		`<instanceId>i-00074100351defad3</instanceId><instanceState><code>16</code><name>running</name></instanceState><instanceType>m5.large</instanceType><placement><availabilityZone>eu-west-1a</availabilityZone></placement>` +
		`<privateDnsName>ip-10-116-5-79.eu-west-1.compute.internal</privateDnsName><tagSet><item><key>Name</key><value>web</value></item></tagSet></item></instancesSet></item>`
	body := []byte(`<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><reservationSet>` + strings.Repeat(item, 1000) + `</reservationSet></DescribeInstancesResponse>`)
	b.ReportAllocs()
	for b.Loop() {
		var a instancesAnswer
		if err := xml.Unmarshal(body, &a); err != nil || len(a.Instances) != 1000 {
			b.Fatalf("%d instances, %v", len(a.Instances), err)
		}
	}
}
