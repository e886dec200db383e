package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

// ec2Operations are those that a poll of instances needs.
var ec2Operations = []string{"GetMetricData", "DescribeInstances", "DescribeInstanceStatus"}

// estimate runs keyless-collector estimate.
func (c *collector) estimate() (string, error) {
	c.t.Helper()
	path, err := program()
	if err != nil {
		c.t.Fatal(err)
	}
	out, err := commandWith(c.env, path, append([]string{"estimate"}, c.args...)...).CombinedOutput()
	return string(out), err
}

// estimated is what it prints: what it says by what it is about.
func (c *collector) estimated() map[string]string {
	c.t.Helper()
	out, err := c.estimate()
	if err != nil {
		c.t.Fatalf("%v\n%s", err, out)
	}
	rows := map[string]string{}
	for line := range strings.Lines(out) {
		if what, value, found := strings.Cut(strings.TrimSpace(line), "  "); found {
			rows[what] = strings.TrimSpace(value)
		}
	}
	return rows
}

// counted sums one of the program's own metrics over all series that have the labels.
func (c *collector) counted(name string, labels ...string) float64 {
	c.t.Helper()
	answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", c.metrics))
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	return sumOf(c.t, answer.Body, "otelcol_receiver_aws_cloudwatch_metrics_"+name, labels)
}

func sumOf(t *testing.T, exposition io.Reader, name string, labels []string) float64 {
	t.Helper()
	sum := 0.0
	lines := bufio.NewScanner(exposition)
	for lines.Scan() {
		series, value, _ := strings.Cut(lines.Text(), " ")
		if found, _, _ := strings.Cut(series, "{"); found != name || slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(series, l) }) {
			continue
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += number
	}
	return sum
}

// bookkeeping is about the program, over two regions of two accounts, of which one has more instances
// than a page of EC2.
type bookkeeping struct {
	*collector
	sandbox *sandbox.Sandbox
	places  []place
	poll    map[string]string // as it was estimated
	before  map[string]int    // what the estimate itself has asked
}

func newBookkeeping(t *testing.T) *bookkeeping {
	t.Helper()
	world := ec2World(fleet("eu-west-1", 1020, 20, sandbox.Delivery{}), fleet("us-east-1", 60, 5, sandbox.Delivery{}))
	s := played(t, world, sandbox.Options{Rates: map[string]float64{"DescribeInstances": 0, "DescribeInstanceStatus": 0}})
	config := onBoth(t, s, "regions: [eu-west-1, us-east-1]", "accounts: [{}, {role_arns: ["+otherRole+"]}]", "metrics: {collection_interval: 1m}", "ec2: {refresh: 1m}", "budget: {usd_per_month: 0}")
	c := newCollector(t, ec2Env(t, s, sandbox.DemoVMRoleARN, sandbox.DemoSearchAPIKey), published("ec2-elasticsearch.yaml"), config)
	b := &bookkeeping{collector: c, sandbox: s, places: places(world), before: map[string]int{}}
	b.poll = c.estimated()
	for _, operation := range ec2Operations {
		b.before[operation] = b.calls(operation)
	}
	return b
}

// calls are those that the sandbox has served since the estimate.
func (b *bookkeeping) calls(operation string) int {
	sum := -b.before[operation]
	for _, p := range b.places {
		sum += b.sandbox.Calls(p.account, p.region, operation)
	}
	return sum
}

func (b *bookkeeping) billed() int {
	sum := 0
	for _, p := range b.places {
		sum += b.sandbox.MetricsBilled(p.account, p.region)
	}
	return sum
}

// each is a number of the estimate, which is of one poll.
func (b *bookkeeping) each(what string) int {
	b.t.Helper()
	n, err := strconv.Atoi(b.poll[what])
	if err != nil {
		b.t.Fatalf("%s: %v in %v", what, err, b.poll)
	}
	return n
}

// polled waits until the program has asked for all metrics so many times. How often it was
// told to come again does not count: that is what the sandbox did not serve.
func (b *bookkeeping) polled(times int) {
	b.t.Helper()
	want := times * b.each("GetMetricData per poll")
	b.await(time.Duration(times)*90*time.Second, fmt.Sprintf("%d polls", times), func() bool { return b.calls("GetMetricData") >= want })
	b.await(10*time.Second, "the end of the poll", func() bool {
		return int(b.counted("queries")+b.counted("rereads")) >= times*b.each("metrics requested per poll")
	})
}

// wantEstimated compares what the sandbox has served, and what the program says that it has
// asked, with so many times the estimate and the retries.
func (b *bookkeeping) wantEstimated(polls int) {
	b.t.Helper()
	for _, operation := range ec2Operations {
		want := polls * b.each(operation+" per poll")
		if got := b.calls(operation); got != want {
			b.t.Errorf("%s: %d were served, want %d", operation, got, want)
		}
		label := fmt.Sprintf("operation=%q", operation)
		asked, retried := b.counted("calls", label), b.counted("retries", label)
		if int(asked-retried) != want {
			b.t.Errorf("%s: the program counts %v and %v retries, want %d", operation, asked, retried, want)
		}
	}
	queries := polls * b.each("metrics requested per poll")
	if billed := b.billed(); billed != queries || int(b.counted("queries")) != queries {
		b.t.Errorf("%d metrics were billed, the program counts %v, want %d", billed, b.counted("queries"), queries)
	}
	want := 0.0
	if _, err := fmt.Sscanf(b.poll["per poll"], "$%f", &want); err != nil || math.Abs(b.counted("dollars")-want*float64(polls)) > 1e-4*float64(polls) {
		b.t.Errorf("$%v, want %s: %v", b.counted("dollars"), b.poll["per poll"], err)
	}
}

func TestAPollAsksForWhatWasEstimated(t *testing.T) {
	b := newBookkeeping(t)
	if got := b.each("metrics requested per poll"); got != 2*(1080*9+25*13) {
		t.Fatalf("%v", b.poll)
	}
	b.start()
	b.polled(1)
	b.wantEstimated(1)
	if got := b.counted("retries") + b.counted("throttled"); got != 0 {
		t.Errorf("%v retries: the test shows nothing", got)
	}
	b.stop()
}

func TestWithFaultsAPollAsksForWhatWasEstimatedAndTheRetries(t *testing.T) {
	b := newBookkeeping(t)
	b.sandbox.SetFault(sandbox.CloudWatch, sandbox.Fault{Region: "eu-west-1", Status: http.StatusServiceUnavailable, Times: 3})
	b.sandbox.SetFault(sandbox.CloudWatch, sandbox.Fault{Region: "us-east-1", Status: http.StatusBadRequest, Code: "Throttling", Times: 2})
	b.sandbox.SetFault(sandbox.EC2API, sandbox.Fault{Region: "us-east-1", Reset: true, Times: 1})
	b.start()
	b.polled(1)
	b.wantEstimated(1)
	for operation, want := range map[string]float64{"GetMetricData": 5, "Describe": 1} {
		if got := b.counted("retries", `operation="`+operation); got != want {
			t.Errorf("%s: %v retries, want %v", operation, got, want)
		}
	}
	if got := b.counted("throttled"); got != 2 {
		t.Errorf("%v throttled", got)
	}
	b.stop()
}

// What a poll could not read costs nothing besides: the next one asks for it in any case. It
// takes a minute for that one to come.
func TestWhatIsReadAgainIsInTheEstimateOfTheNextPoll(t *testing.T) {
	t.Parallel()
	b := newBookkeeping(t)
	b.sandbox.SetFault(sandbox.CloudWatch, sandbox.Fault{Region: "us-east-1", Truncate: true, Times: 1})
	b.start()
	b.polled(2)
	lost := b.counted("rereads")
	if lost == 0 || b.counted("failed") != 1 {
		t.Errorf("%v read again, %v failed", lost, b.counted("failed"))
	}
	queries := 2 * b.each("metrics requested per poll")
	if billed, known := b.billed(), b.counted("queries")+lost; billed != queries || int(known) != queries {
		t.Errorf("%d metrics were billed, the program knows of %v, want %d", billed, known, queries)
	}
	b.stop()
}

// An estimate has the identity of the receiver, and no other where that is refused.
func TestAnEstimateIsMadeWithTheIdentityOfTheReceiver(t *testing.T) {
	for name, c := range map[string]struct{ role, provider, says string }{
		"as it is":                  {sandbox.DemoVMRoleARN, "keyless", "metrics requested per poll"},
		"a role that trusts others": {sandbox.DemoOtherARN, "keyless", "exchange: AssumeRoleWithWebIdentity: AccessDenied"},
		"no credentials":            {sandbox.DemoVMRoleARN, "health_check", `the extension "health_check" has no credentials for AWS`},
		"no extension":              {sandbox.DemoVMRoleARN, "keyless/2", `there is no extension "keyless/2"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := played(t, sandbox.Demo(), sandbox.Options{})
			p := newCollector(t, ec2Env(t, s, c.role, sandbox.DemoSearchAPIKey), published("ec2-elasticsearch.yaml"), onBoth(t, s, "credentials_provider: "+c.provider))
			out, err := p.estimate()
			if (err == nil) != (name == "as it is") || !strings.Contains(out, c.says) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
