package awscloudwatchmetricsreceiver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"

	"github.com/keyless-id/keyless/sandbox"
)

// The generated tests start the receiver without an extension for credentials. What the SDK
// then looks for must not be looked for outside of this machine.
var _ = os.Setenv("AWS_EC2_METADATA_DISABLED", "true")

// host has the extensions, and the disk that outlives a receiver.
type host struct {
	component.StartFunc
	component.ShutdownFunc
	mu   sync.Mutex
	disk map[string][]byte
}

func newHost() *host { return &host{disk: make(map[string][]byte)} }

func (h *host) GetExtensions() map[component.ID]component.Component {
	return map[component.ID]component.Component{component.MustNewID("keyless"): h, component.MustNewID("file_storage"): h}
}

func (*host) GetCredentialsProvider() aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: sandbox.DemoAdminKeyID, SecretAccessKey: sandbox.DemoAdminSecret}, nil
	})
}

func (h *host) GetClient(context.Context, component.Kind, component.ID, string) (storage.Client, error) {
	return disk{h}, nil
}

// disk is a client of the storage.
type disk struct{ *host }

func (disk) Close(context.Context) error { return nil }

func (d disk) Get(_ context.Context, key string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.disk[key], nil
}

func (d disk) Set(ctx context.Context, key string, value []byte) error {
	return d.Batch(ctx, storage.SetOperation(key, value))
}

func (d disk) Delete(ctx context.Context, key string) error {
	return d.Batch(ctx, storage.DeleteOperation(key))
}

func (d disk) Batch(_ context.Context, ops ...*storage.Operation) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, op := range ops {
		switch op.Type {
		case storage.Set:
			d.disk[op.Key] = op.Value
		case storage.Delete:
			delete(d.disk, op.Key)
		case storage.Get:
			op.Value = d.disk[op.Key]
		}
	}
	return nil
}

// sink is a pipeline that remembers each point, and how often it came.
type sink struct {
	mu     sync.Mutex
	points map[string]float64
	times  map[string]int
	last   pmetric.Metrics
	refuse error
}

func newSink() *sink { return &sink{points: make(map[string]float64), times: make(map[string]int)} }

func (*sink) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (s *sink) ConsumeMetrics(_ context.Context, md pmetric.Metrics) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return s.refuse
	}
	s.last = md
	for _, rm := range md.ResourceMetrics().All() {
		for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
			s.add(rm.Resource().Attributes(), m)
		}
	}
	return nil
}

func (s *sink) add(of pcommon.Map, m pmetric.Metric) {
	where := text(of, "cloud.account.id") + " " + text(of, "cloud.region")
	if m.Type() != pmetric.MetricTypeGauge {
		return
	}
	for _, dp := range m.Gauge().DataPoints().All() {
		dims, _ := dp.Attributes().Get("Dimensions")
		id, _ := dims.Map().Get("InstanceId")
		key := pointKey(where, id.Str(), m.Name(), text(dp.Attributes(), "stat"), dp.Timestamp().AsTime())
		s.points[key] = dp.DoubleValue()
		s.times[key]++
	}
}

func text(m pcommon.Map, name string) string {
	v, ok := m.Get(name)
	if !ok {
		return ""
	}
	return v.Str()
}

func pointKey(where, id, metric, stat string, at time.Time) string {
	return strings.Join([]string{where, id, metric[strings.LastIndex(metric, "/")+1:], stat, at.UTC().Format(time.RFC3339)}, " ")
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.points)
}

// wantOnce compares with what there is in CloudWatch from one time to another.
func (s *sink) wantOnce(t *testing.T, far *sandbox.Sandbox, c *Config, from, to time.Time) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	missing, wrong, all := 0, 0, 0
	for key := range expected(far, c, from, to) {
		all++
		if _, ok := s.points[key]; !ok {
			if missing++; missing < 4 {
				t.Errorf("missing: %s", key)
			}
		}
	}
	for key, n := range s.times {
		if n != 1 {
			if wrong++; wrong < 4 {
				t.Errorf("%d times: %s", n, key)
			}
		}
	}
	if missing+wrong > 0 || all == 0 {
		t.Errorf("%d of %d points missing, %d more than once", missing, all, wrong)
	}
}

// expected is the truth, of the sandbox itself.
func expected(far *sandbox.Sandbox, c *Config, from, to time.Time) map[string]float64 {
	out := make(map[string]float64)
	for _, region := range c.regions() {
		for _, i := range far.Instances(sandbox.DemoAccountID, region) {
			for _, m := range profileOf(c.EC2.Profile, i.Type) {
				for _, stat := range m.Stats {
					q := sandbox.MetricQuery{
						Account: sandbox.DemoAccountID, Region: region, Stat: stat, Period: c.Metrics.Period, Start: from, End: to,
						Metric: sandbox.Metric{Namespace: "AWS/EC2", Name: m.Name, Dimensions: []sandbox.Dimension{{Name: "InstanceId", Value: i.ID}}},
					}
					for _, p := range far.Datapoints(q) {
						out[pointKey(sandbox.DemoAccountID+" "+region, i.ID, m.Name, stat, p.Time)] = p.Value
					}
				}
			}
		}
	}
	return out
}

func newFar(t *testing.T, o sandbox.Options, regions ...sandbox.Region) *sandbox.Sandbox {
	t.Helper()
	w := sandbox.Demo()
	w.Accounts[0].Regions = regions
	far, err := sandbox.New(w, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	return far
}

func fleet(name string, n int, d sandbox.Delivery) sandbox.Region {
	return sandbox.Region{Name: name, Delivery: d, Instances: []sandbox.Instance{
		{Count: n, Type: "m5.large", Tags: map[string]string{"Name": "web", "env": "prod"}},
		{Count: n, Type: "t3.micro", Tags: map[string]string{"env": "test"}},
	}}
}

// configOf polls as often as there is a point, which is where most can go wrong.
func configOf(change ...func(*Config)) *Config {
	c := createDefaultConfig()
	c.Metrics.CollectionInterval = 5 * time.Minute
	keyless, file := component.MustNewID("keyless"), component.MustNewID("file_storage")
	c.CredentialsProvider, c.Storage = &keyless, &file
	c.Regions, c.EC2.Enabled = []string{"eu-west-1"}, true
	for _, f := range change {
		f(c)
	}
	return c
}

type running struct {
	*poller
	tel *componenttest.Telemetry
}

func start(t *testing.T, rt http.RoundTripper, h *host, c *Config, next consumer.Metrics) running {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	tel := componenttest.NewTelemetry()
	set := receivertest.NewNopSettings(NewFactory().Type())
	set.TelemetrySettings = tel.NewTelemetrySettings()
	p, err := newPoller(set, c, next)
	if err != nil {
		t.Fatal(err)
	}
	p.client = &http.Client{Transport: rt, Timeout: c.ClientConfig.Timeout}
	if err := p.Start(context.Background(), h); err != nil {
		t.Fatal(err)
	}
	return running{p, tel}
}

func (r running) stop(t *testing.T) {
	t.Helper()
	if err := r.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// counted is the sum of a counter of the receiver's own.
func (r running) counted(t *testing.T, name string) float64 {
	t.Helper()
	m, err := r.tel.GetMetric("otelcol_receiver_aws_cloudwatch_metrics_" + name)
	if err != nil {
		return 0
	}
	switch data := m.Data.(type) {
	case metricdata.Sum[int64]:
		return added(t, data.DataPoints)
	case metricdata.Sum[float64]:
		return added(t, data.DataPoints)
	case metricdata.Gauge[int64]:
		return added(t, data.DataPoints)
	}
	t.Fatalf("%s: %T", name, m.Data)
	return 0
}

// added are points that all say which receiver's they are.
func added[N int64 | float64](t *testing.T, points []metricdata.DataPoint[N]) (sum float64) {
	t.Helper()
	for _, p := range points {
		if of, _ := p.Attributes.Value("receiver"); !strings.HasPrefix(of.AsString(), "aws_cloudwatch_metrics") {
			t.Errorf("a point of %q", of.AsString())
		}
		sum += float64(p.Value)
	}
	return sum
}

// unlucky refuses a share of the requests, as AWS does when it is busy.
type unlucky struct {
	http.RoundTripper
	share  float64
	random *rand.Rand
	mu     sync.Mutex
}

func (u *unlucky) RoundTrip(r *http.Request) (*http.Response, error) {
	u.mu.Lock()
	bad := u.random.Float64() < u.share
	u.mu.Unlock()
	if !bad || !strings.HasPrefix(r.URL.Host, "monitoring") {
		return u.RoundTripper.RoundTrip(r)
	}
	if r.Body != nil {
		_ = r.Body.Close()
	}
	return answer(r, http.StatusTooManyRequests, "text/plain", ""), nil
}

func answer(r *http.Request, status int, kind, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Status: fmt.Sprint(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {kind}}, Body: readCloser{strings.NewReader(body)}, ContentLength: int64(len(body)),
	}
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

var errFull = errors.New("the queue is full")

func copyOf(h *host) *host {
	h.mu.Lock()
	defer h.mu.Unlock()
	return &host{disk: maps.Clone(h.disk)}
}

func nopLogger() *zap.Logger { return zap.NewNop() }
