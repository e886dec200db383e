package sandbox_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyless-id/keyless/sandbox"
)

// The accounts of these tests: the first sees the metrics of the second.
const (
	watched = "444455556666"
	linked  = "777788889999"
	webID   = "i-0123456789abcdef0"
	reader  = "arn:aws:iam::" + watched + ":role/reader"
)

// noon is when they happen.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// watch is a sandbox with a clock, and the keys of who asks it.
type watch struct {
	*cloud
	now  *time.Time
	keys awsKeys
	at   string // region
}

func (w watch) wait(d time.Duration) { *w.now = w.now.Add(d) }

// newWatch has one instance in one region and nothing in the other.
func newWatch(t *testing.T, change func(*sandbox.Account, *sandbox.Options)) watch {
	t.Helper()
	now := noon
	account := sandbox.Account{
		ID: watched, LinkedAccounts: []string{linked},
		Users: []sandbox.AccessKey{{UserName: "eye", AccessKeyID: "AKIAEYE", SecretAccessKey: "hunter2"}},
		Roles: []sandbox.Role{{
			Name: "reader", Denied: []string{"cloudwatch:ListMetrics", "ec2:DescribeInstances", "tag:GetResources"},
			TrustPolicy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + watched + `:user/eye"},"Action":"sts:AssumeRole"}]}`,
		}},
		Regions: []sandbox.Region{{Name: "eu-west-1", Instances: []sandbox.Instance{{ID: webID, Tags: map[string]string{"Name": "web", "team": "blue"}}}}},
	}
	options := sandbox.Options{Now: func() time.Time { return now }}
	if change != nil {
		change(&account, &options)
	}
	other := sandbox.Account{ID: linked, Regions: []sandbox.Region{{Name: "eu-west-1", Instances: []sandbox.Instance{{ID: "i-0fedcba9876543210", Type: "m4.large"}}}}}
	s := newSandbox(t, sandbox.World{Accounts: []sandbox.Account{account, other}}, options)
	return watch{inProcess(s), &now, awsKeys{AccessKeyID: "AKIAEYE", SecretAccessKey: "hunter2"}, "eu-west-1"}
}

// metrics sets what is special about the region.
func metrics(d sandbox.Delivery, series ...sandbox.MetricSeries) func(*sandbox.Account, *sandbox.Options) {
	return func(a *sandbox.Account, _ *sandbox.Options) {
		a.Regions[0].Delivery, a.Regions[0].Series = d, series
	}
}

type tree = map[string]any

// ask sends JSON to CloudWatch, or to tagging, whose operation is GetResources.
func (w watch) ask(t *testing.T, operation string, in any) (int, tree) {
	t.Helper()
	host, name, target := "monitoring", "monitoring", "GraniteServiceVersion20100801."
	if operation == "GetResources" {
		host, name, target = "tagging", "tagging", "ResourceGroupsTaggingAPI_20170126."
	}
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	a := w.signed(t, "https://"+host+"."+w.at+".amazonaws.com/", name, string(body), "Content-Type", "application/x-amz-json-1.1", "X-Amz-Target", target+operation)
	var out tree
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		t.Fatalf("%v in %q", err, a.body)
	}
	return a.status, out
}

func (w watch) signed(t *testing.T, address, service, body string, header ...string) answer {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	signer{w.keys, service, w.at, *w.now}.sign(r, body)
	return w.do(t, r)
}

// ok is ask for what must not be refused.
func (w watch) ok(t *testing.T, operation string, in any) tree {
	t.Helper()
	status, out := w.ask(t, operation, in)
	if status != http.StatusOK {
		t.Fatalf("%s: %d %v", operation, status, out)
	}
	return out
}

// refused is ask for what must be refused, with a code and a part of the message.
func (w watch) refused(t *testing.T, operation string, in any, code, message string) {
	t.Helper()
	_, out := w.ask(t, operation, in)
	if text, _ := out["message"].(string); out["__type"] != code || !strings.Contains(text, message) {
		t.Errorf("%s %v: got %v, want %s %q", operation, in, out, code, message)
	}
}

func webMetric(name string) tree {
	return tree{"Namespace": "AWS/EC2", "MetricName": name, "Dimensions": []tree{{"Name": "InstanceId", "Value": webID}}}
}

// data asks for the last hours of one metric.
func data(now time.Time, hours int, metric tree, stat string) tree {
	return tree{
		"StartTime": now.Add(-time.Duration(hours) * time.Hour).Unix(), "EndTime": now.Unix(), "ScanBy": "TimestampAscending",
		"MetricDataQueries": []tree{{"Id": "a", "MetricStat": tree{"Metric": metric, "Period": 300, "Stat": stat}}},
	}
}

// result is the only one of an answer.
func result(t *testing.T, out tree) tree {
	t.Helper()
	list, _ := out["MetricDataResults"].([]any)
	if len(list) != 1 {
		t.Fatalf("%v", out)
	}
	return list[0].(tree)
}

func valuesOf(t *testing.T, out tree) []any {
	t.Helper()
	return result(t, out)["Values"].([]any)
}

func TestPointsAreSeenWhenTheyHaveArrivedAndNotBefore(t *testing.T) {
	w := newWatch(t, metrics(sandbox.Delivery{Delay: 4 * time.Minute}))
	// The interval from 11:55 on has just ended; its point needs two to six minutes more.
	if got := valuesOf(t, w.ok(t, "GetMetricData", data(*w.now, 1, webMetric("CPUUtilization"), "Average"))); len(got) > 11 {
		t.Errorf("%d values: the last cannot be there", len(got))
	}
	asked := data(*w.now, 1, webMetric("CPUUtilization"), "Average")
	w.wait(6 * time.Minute)
	got := valuesOf(t, w.ok(t, "GetMetricData", asked))
	if len(got) != 12 {
		t.Errorf("%d values, want 12", len(got))
	}
	want := w.Datapoints(sandbox.MetricQuery{
		Account: watched, Region: "eu-west-1", Stat: "Average", Period: 5 * time.Minute, Start: noon.Add(-time.Hour), End: noon,
		Metric: sandbox.Metric{Namespace: "AWS/EC2", Name: "CPUUtilization", Dimensions: []sandbox.Dimension{{Name: "InstanceId", Value: webID}}},
	})
	for i := range want {
		if got[i] != want[i].Value || !want[i].Time.Equal(noon.Add(time.Duration(i-12)*5*time.Minute)) {
			t.Errorf("%d: got %v, want %v", i, got[i], want[i])
		}
	}
}

// everyMinute is one of a world, of a minute's points.
func everyMinute() sandbox.MetricSeries {
	return sandbox.MetricSeries{Metric: sandbox.Metric{Namespace: "Demo", Name: "n"}, Period: time.Minute}
}

// TestDeliveryIsDistributedAsTheWorldSays looks at ten thousand points of a series.
func TestDeliveryIsDistributedAsTheWorldSays(t *testing.T) {
	const points = 10000
	w := newWatch(t, metrics(sandbox.Delivery{Delay: 2 * time.Minute, Late: 0.1, LateBy: 10 * time.Minute, Missing: 0.05, Revised: 0.2, ReviseAfter: time.Hour}, everyMinute()))
	query := sandbox.MetricQuery{Account: watched, Region: "eu-west-1", Metric: everyMinute().Metric, Stat: "Sum", Period: time.Minute, Start: noon.Add(-points * time.Minute), End: noon}
	final := w.Datapoints(query)
	if missing := 1 - float64(len(final))/points; math.Abs(missing-0.05) > 0.01 {
		t.Errorf("%.3f are missing, want 0.05", missing)
	}
	at, counts := map[time.Duration]int{}, []time.Duration{time.Minute, 2 * time.Minute, 3 * time.Minute, 14 * time.Minute}
	changed := 0
	for _, p := range final {
		for _, delay := range counts {
			query.Start, query.End, query.At = p.Time, p.Time.Add(time.Minute), p.Time.Add(time.Minute+delay)
			seen := w.Datapoints(query)
			at[delay] += len(seen)
			if delay == 3*time.Minute && len(seen) == 1 && seen[0].Value != p.Value {
				changed++
			}
		}
	}
	for i, want := range []float64{0, 0.45, 0.9, 0.967} { // of the late ones e⁻¹·¹ or so are not there after 14 minutes
		if got := float64(at[counts[i]]) / float64(len(final)); math.Abs(got-want) > 0.03 {
			t.Errorf("after %v: got %.3f, want %.3f", counts[i], got, want)
		}
	}
	if got := float64(changed) / float64(at[3*time.Minute]); math.Abs(got-0.2) > 0.02 {
		t.Errorf("%.3f are revised, want 0.2", got)
	}
}

func TestTheSameWorldHasTheSamePointsAndAnotherAccountOthers(t *testing.T) {
	ask := func(account, instance string) []sandbox.Datapoint {
		w := newWatch(t, func(a *sandbox.Account, _ *sandbox.Options) { a.Regions[0].Instances[0].Type = "m4.large" })
		return w.Datapoints(sandbox.MetricQuery{
			Account: account, Region: "eu-west-1", Stat: "Sum", Period: time.Hour, Start: noon.Add(-24 * time.Hour), End: noon,
			Metric: sandbox.Metric{Namespace: "AWS/EC2", Name: "NetworkIn", Dimensions: []sandbox.Dimension{{Name: "InstanceId", Value: instance}}},
		})
	}
	first := ask(watched, webID)
	if len(first) != 24 || !reflect.DeepEqual(first, ask(watched, webID)) || reflect.DeepEqual(first, ask(linked, "i-0fedcba9876543210")) {
		t.Errorf("%v", first)
	}
	if got := ask(linked, webID); got != nil {
		t.Errorf("the other account has the instance: %v", got)
	}
}

func TestMaxDatapointsCutsPagesWithoutLossInBothDirections(t *testing.T) {
	for _, order := range []string{"TimestampAscending", "TimestampDescending"} {
		w := newWatch(t, metrics(sandbox.Delivery{Delay: 4 * time.Minute}))
		in := data(*w.now, 1, webMetric("CPUUtilization"), "Maximum")
		in["ScanBy"] = order
		in["MetricDataQueries"] = append(in["MetricDataQueries"].([]tree), tree{"Id": "b", "MetricStat": tree{"Metric": webMetric("NetworkOut"), "Period": 300, "Stat": "Maximum"}})
		whole := w.ok(t, "GetMetricData", in)
		in["MaxDatapoints"] = 3
		got, pages := map[any][]any{}, 0
		for {
			out := w.ok(t, "GetMetricData", in)
			pages++
			taken := 0
			for _, r := range out["MetricDataResults"].([]any) {
				got[r.(tree)["Id"]] = append(got[r.(tree)["Id"]], r.(tree)["Values"].([]any)...)
				taken += len(r.(tree)["Values"].([]any))
			}
			if taken > 3 {
				t.Fatalf("%d datapoints", taken)
			}
			if out["NextToken"] == nil {
				break
			}
			in["NextToken"] = out["NextToken"]
			w.wait(2 * time.Minute) // what comes meanwhile is not for these pages
		}
		for _, r := range whole["MetricDataResults"].([]any) {
			if want := r.(tree)["Values"]; !reflect.DeepEqual(any(got[r.(tree)["Id"]]), want) || pages != 7 {
				t.Errorf("%s, %d pages: got %v, want %v", order, pages, got[r.(tree)["Id"]], want)
			}
		}
		in["NextToken"] = "eyJuIjo3fQ" // of a request with seven queries
		w.refused(t, "GetMetricData", in, "InvalidNextToken", "")
	}
}

func TestQueriesAreHeldToTheRules(t *testing.T) {
	w := newWatch(t, nil)
	for name, row := range map[string]struct {
		change        func(in, query, stat tree)
		code, message string
	}{
		"end before start":  {func(in, _, _ tree) { in["EndTime"] = in["StartTime"] }, "ValidationError", "must be less than the parameter EndTime"},
		"no start":          {func(in, _, _ tree) { delete(in, "StartTime") }, "ValidationError", "required"},
		"start is no time":  {func(in, _, _ tree) { in["StartTime"] = "yesterday" }, "ValidationError", "timestamp"},
		"no queries":        {func(in, _, _ tree) { in["MetricDataQueries"] = []tree{} }, "ValidationError", "MetricDataQueries is required"},
		"too many":          {func(in, q, _ tree) { in["MetricDataQueries"] = slices.Repeat([]tree{q}, 501) }, "ValidationError", "must not have a size greater than 500"},
		"same id":           {func(in, q, _ tree) { in["MetricDataQueries"] = []tree{q, q} }, "ValidationError", "not unique"},
		"id":                {func(_, q, _ tree) { q["Id"] = "A" }, "ValidationError", "expected pattern ^[a-z]"},
		"period":            {func(_, _, s tree) { s["Period"] = 45 }, "ValidationError", "multiple of 60"},
		"period of nothing": {func(_, _, s tree) { s["Period"] = 0 }, "ValidationError", "multiple of 60"},
		"stat":              {func(_, _, s tree) { s["Stat"] = "Median" }, "ValidationError", "Stat is not supported"},
		"percentile":        {func(_, _, s tree) { s["Stat"] = "p101" }, "ValidationError", "Stat is not supported"},
		"metric":            {func(_, _, s tree) { delete(s, "Metric") }, "ValidationError", "is required"},
		"order":             {func(in, _, _ tree) { in["ScanBy"] = "Any" }, "ValidationError", "ScanBy"},
		"datapoints":        {func(in, _, _ tree) { in["MaxDatapoints"] = 100801 }, "ValidationError", "MaxDatapoints"},
		"token":             {func(in, _, _ tree) { in["NextToken"] = "!" }, "InvalidNextToken", ""},
		"expression":        {func(_, q, _ tree) { delete(q, "MetricStat"); q["Expression"] = "SUM(METRICS())" }, "ValidationError", "metric math"},
	} {
		t.Run(name, func(t *testing.T) {
			in := data(*w.now, 1, webMetric("CPUUtilization"), "Sum")
			query := in["MetricDataQueries"].([]tree)[0]
			row.change(in, query, query["MetricStat"].(tree))
			w.refused(t, "GetMetricData", in, row.code, row.message)
		})
	}
	if got := w.MetricsBilled(watched, "eu-west-1"); got != 0 {
		t.Errorf("%d metrics are billed for refusals", got)
	}
	if got := valuesOf(t, w.ok(t, "GetMetricData", data(*w.now, 1, webMetric("CPUUtilization"), "p99.9"))); len(got) != 12 || w.MetricsBilled(watched, "eu-west-1") != 1 {
		t.Errorf("%v, %d billed", got, w.MetricsBilled(watched, "eu-west-1"))
	}
}

func TestStatisticsAreLimitedToWhatAnAnswerHolds(t *testing.T) {
	w := newWatch(t, nil)
	in := webMetric("NetworkIn")
	in["StartTime"], in["EndTime"], in["Period"], in["Statistics"] = noon.Add(-24*time.Hour).Unix(), noon.Unix(), 60, []string{"Sum"}
	if got := len(w.ok(t, "GetMetricStatistics", in)["Datapoints"].([]any)); got != 288 {
		t.Errorf("%d datapoints, want 288", got)
	}
	in["StartTime"] = noon.Add(-24*time.Hour - time.Minute).Unix()
	w.refused(t, "GetMetricStatistics", in, "InvalidParameterCombinationException", "You have requested up to 1441 datapoints")
	in["StartTime"], in["Statistics"] = noon.Add(-time.Hour).Unix(), []string{}
	w.refused(t, "GetMetricStatistics", in, "InvalidParameterCombinationException", "At least one of")
	delete(in, "Namespace")
	w.refused(t, "GetMetricStatistics", in, "MissingRequiredParameterException", "Namespace")
}

func TestFinePointsAreForgottenBeforeCoarseOnes(t *testing.T) {
	w := newWatch(t, metrics(sandbox.Delivery{}, everyMinute()))
	asked := data(*w.now, 24*20, tree{"Namespace": "Demo", "MetricName": "n"}, "SampleCount")
	stat := asked["MetricDataQueries"].([]tree)[0]["MetricStat"].(tree)
	for period, want := range map[int]int{60: 15 * 1440, 300: 20 * 288, 3600: 20 * 24} {
		stat["Period"] = period
		if got := len(valuesOf(t, w.ok(t, "GetMetricData", asked))); got != want {
			t.Errorf("period %d: %d values, want %d", period, got, want)
		}
	}
}

func TestListMetricsShowsWhatIsAlive(t *testing.T) {
	w := newWatch(t, func(a *sandbox.Account, _ *sandbox.Options) {
		a.Regions[0].Delivery.Listing = 15 * time.Minute
		a.Regions[0].Instances = []sandbox.Instance{
			{ID: "i-a", Launched: noon.Add(-10 * time.Minute)},
			{ID: "i-b", Terminated: noon.Add(-4 * time.Hour)},
			{ID: "i-c", Terminated: noon.Add(-15 * 24 * time.Hour)},
			{ID: "i-d", State: "stopped"},
		}
	})
	list := func(in tree) []any {
		in["MetricName"] = "CPUUtilization"
		names := []any{}
		for _, m := range w.ok(t, "ListMetrics", in)["Metrics"].([]any) {
			names = append(names, m.(tree)["Dimensions"].([]any)[0].(tree)["Value"])
		}
		return names
	}
	if got := list(tree{}); !reflect.DeepEqual(got, []any{"i-b"}) {
		t.Errorf("all: %v", got)
	}
	if got := list(tree{"RecentlyActive": "PT3H"}); len(got) != 0 {
		t.Errorf("recently active: %v", got)
	}
	w.wait(15 * time.Minute)
	if got := list(tree{"RecentlyActive": "PT3H"}); !reflect.DeepEqual(got, []any{"i-a"}) {
		t.Errorf("later: %v", got)
	}
	if got := list(tree{"Dimensions": []tree{{"Name": "InstanceId", "Value": "i-b"}}}); !reflect.DeepEqual(got, []any{"i-b"}) {
		t.Errorf("by dimension: %v", got)
	}
	if got := list(tree{"Dimensions": []tree{{"Name": "VolumeId"}}}); len(got) != 0 {
		t.Errorf("by another dimension: %v", got)
	}
	w.refused(t, "ListMetrics", tree{"RecentlyActive": "PT1H"}, "InvalidParameterValueException", "RecentlyActive")
}

func TestALinkedAccountIsSeenOnlyFromTheOneThatIsLinked(t *testing.T) {
	w := newWatch(t, nil)
	out := w.ok(t, "ListMetrics", tree{"IncludeLinkedAccounts": true, "MetricName": "NetworkIn"})
	if got, want := out["OwningAccounts"], []any{watched, linked}; !reflect.DeepEqual(got, any(want)) || len(out["Metrics"].([]any)) != 2 {
		t.Errorf("got %v", out)
	}
	if got := w.ok(t, "ListMetrics", tree{"MetricName": "NetworkIn"}); got["OwningAccounts"] != nil || len(got["Metrics"].([]any)) != 1 {
		t.Errorf("without: %v", got)
	}
	in := data(*w.now, 1, tree{"Namespace": "AWS/EC2", "MetricName": "NetworkIn", "Dimensions": []tree{{"Name": "InstanceId", "Value": "i-0fedcba9876543210"}}}, "Sum")
	query := in["MetricDataQueries"].([]tree)[0]
	query["AccountId"] = linked
	if got := result(t, w.ok(t, "GetMetricData", in)); got["StatusCode"] != "Complete" || len(got["Values"].([]any)) != 12 {
		t.Errorf("linked: %v", got)
	}
	query["AccountId"] = "123456789012"
	if got := result(t, w.ok(t, "GetMetricData", in)); got["StatusCode"] != "Forbidden" || len(got["Values"].([]any)) != 0 {
		t.Errorf("not linked: %v", got)
	}
	delete(query, "AccountId")
	if got := valuesOf(t, w.ok(t, "GetMetricData", in)); len(got) != 0 {
		t.Errorf("as its own: %v", got)
	}
}

func TestSomeQueriesFailAndLaterOthers(t *testing.T) {
	w := newWatch(t, metrics(sandbox.Delivery{Partial: 0.3, Failing: 0.3}))
	counts := map[any]int{}
	for range 100 {
		r := result(t, w.ok(t, "GetMetricData", data(noon, 1, webMetric("NetworkIn"), "Sum")))
		counts[r["StatusCode"]]++
		if want := map[any]int{"Complete": 12, "PartialData": 6, "InternalError": 0}[r["StatusCode"]]; len(r["Values"].([]any)) != want {
			t.Fatalf("%v", r)
		}
		w.wait(time.Minute)
	}
	if len(counts) != 3 || counts["Complete"] < 20 {
		t.Errorf("%v", counts)
	}
}

func TestTooManyCallsASecondAreRefusedByAccountRegionAndOperation(t *testing.T) {
	w := newWatch(t, func(_ *sandbox.Account, o *sandbox.Options) {
		o.Rates = map[string]float64{"ListMetrics": 2, "GetResources": 1}
	})
	for range 2 {
		w.ok(t, "ListMetrics", tree{})
	}
	w.refused(t, "ListMetrics", tree{}, "ThrottlingException", "Rate exceeded")
	w.ok(t, "GetMetricData", data(*w.now, 1, webMetric("NetworkIn"), "Sum"))
	elsewhere := w
	elsewhere.at = "us-east-1"
	elsewhere.ok(t, "ListMetrics", tree{})
	w.ok(t, "GetResources", tree{})
	w.refused(t, "GetResources", tree{}, "ThrottledException", "Rate exceeded")
	w.wait(500 * time.Millisecond)
	w.ok(t, "ListMetrics", tree{})
	w.refused(t, "ListMetrics", tree{}, "ThrottlingException", "")
	if served, refused := w.Calls(watched, "eu-west-1", "ListMetrics"), w.Throttled(watched, "eu-west-1", "ListMetrics"); served != 3 || refused != 2 {
		t.Errorf("%d calls, %d throttled", served, refused)
	}
	if got := w.Calls(watched, "us-east-1", "ListMetrics"); got != 1 {
		t.Errorf("%d calls elsewhere", got)
	}
}

func TestAFaultOfOneRegionLeavesTheOthersAlone(t *testing.T) {
	w := newWatch(t, nil)
	w.SetFault(sandbox.CloudWatch, sandbox.Fault{Region: "eu-west-1", Status: http.StatusServiceUnavailable, Times: 1})
	elsewhere := w
	elsewhere.at = "us-east-1"
	elsewhere.ok(t, "ListMetrics", tree{})
	if status, out := w.ask(t, "ListMetrics", tree{}); status != http.StatusServiceUnavailable || out["__type"] != "ServiceUnavailable" {
		t.Errorf("%d %v", status, out)
	}
	w.ok(t, "ListMetrics", tree{})
	w.SetFault(sandbox.CloudWatch, sandbox.Fault{Code: "Throttling"})
	elsewhere.refused(t, "ListMetrics", tree{}, "ThrottlingException", "Rate exceeded")
	w.ok(t, "GetResources", tree{})
	w.ClearFaults()
	elsewhere.ok(t, "ListMetrics", tree{})
}

func TestARoleMayNotWhatItIsDenied(t *testing.T) {
	w := newWatch(t, nil)
	a := w.signed(t, "https://sts.eu-west-1.amazonaws.com/", "sts", url.Values{"Action": {"AssumeRole"}, "Version": {"2011-06-15"}, "RoleArn": {reader}, "RoleSessionName": {"me"}}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	w.keys = decode[struct {
		Keys awsKeys `xml:"AssumeRoleResult>Credentials"`
	}](t, a).Keys
	w.ok(t, "GetMetricData", data(*w.now, 1, webMetric("NetworkIn"), "Sum"))
	w.refused(t, "ListMetrics", tree{}, "AccessDeniedException", "is not authorized to perform: cloudwatch:ListMetrics")
	w.refused(t, "GetResources", tree{}, "AccessDeniedException", "is not authorized to perform: tag:GetResources")
	if got := w.describe(t, "DescribeInstances"); got.status != http.StatusForbidden || !strings.Contains(got.body, "<Code>UnauthorizedOperation</Code>") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := w.describe(t, "DescribeRegions"); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := w.Calls(watched, "eu-west-1", "ListMetrics"); got != 0 {
		t.Errorf("%d calls", got)
	}
}

func TestMetricsAreForThoseWhoSignForThemInTheirRegion(t *testing.T) {
	for name, row := range map[string]struct {
		service, region, secret, host string
		status                        int
		code                          string
	}{
		"right":           {"monitoring", "eu-west-1", "hunter2", "monitoring.eu-west-1.amazonaws.com", 200, ""},
		"fips":            {"monitoring", "eu-west-1", "hunter2", "monitoring-fips.eu-west-1.amazonaws.com", 200, ""},
		"wrong secret":    {"monitoring", "eu-west-1", "hunter3", "monitoring.eu-west-1.amazonaws.com", 403, "SignatureDoesNotMatch"},
		"another service": {"ec2", "eu-west-1", "hunter2", "monitoring.eu-west-1.amazonaws.com", 403, "SignatureDoesNotMatch"},
		"another region":  {"monitoring", "us-east-1", "hunter2", "monitoring.eu-west-1.amazonaws.com", 403, "SignatureDoesNotMatch"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWatch(t, nil)
			w.at, w.keys.SecretAccessKey = row.region, row.secret
			a := w.signed(t, "https://"+row.host+"/", row.service, "Action=ListMetrics&Version=2010-08-01", "Content-Type", "application/x-www-form-urlencoded")
			if a.status != row.status || !strings.Contains(a.body, "<Code>"+row.code) == (row.code != "") {
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
}

func TestPutPointsAreSeenWithTheOthers(t *testing.T) {
	w := newWatch(t, metrics(sandbox.Delivery{Delay: time.Minute}))
	put := func(datum tree) (int, tree) {
		datum["MetricName"] = "depth"
		return w.ask(t, "PutMetricData", tree{"Namespace": "Demo", "MetricData": []tree{datum}})
	}
	depth := tree{"Namespace": "Demo", "MetricName": "depth"}
	if status, out := put(tree{"Value": 2, "Timestamp": noon.Add(-time.Hour).Unix()}); status != http.StatusOK {
		t.Fatalf("%v", out)
	}
	put(tree{"Values": []int{4, 6}, "Counts": []int{2, 1}, "Timestamp": noon.Add(-time.Hour).Unix()})
	asked := data(noon, 2, depth, "Sum")
	if got := valuesOf(t, w.ok(t, "GetMetricData", asked)); len(got) != 0 {
		t.Errorf("at once: %v", got)
	}
	w.wait(2 * time.Minute)
	if got := valuesOf(t, w.ok(t, "GetMetricData", asked)); !reflect.DeepEqual(got, []any{16.0}) {
		t.Errorf("later: %v", got)
	}
	elsewhere := w
	elsewhere.at = "us-east-1"
	if got := valuesOf(t, elsewhere.ok(t, "GetMetricData", asked)); len(got) != 0 {
		t.Errorf("elsewhere: %v", got)
	}
	for name, datum := range map[string]tree{
		"no value": {}, "a text": {"Value": "NaN"}, "too great": {"Value": 1e200}, "too old": {"Value": 1, "Timestamp": noon.Add(-15 * 24 * time.Hour).Unix()},
		"from the future": {"Value": 1, "Timestamp": noon.Add(3 * time.Hour).Unix()}, "counts": {"Values": []int{1, 2}, "Counts": []int{1}},
		"statistics": {"StatisticValues": tree{"SampleCount": 1, "Sum": 1, "Minimum": 2, "Maximum": 1}},
	} {
		if status, out := put(datum); status != http.StatusBadRequest || out["__type"] != "InvalidParameterValueException" {
			t.Errorf("%s: %d %v", name, status, out)
		}
	}
	w.refused(t, "PutMetricData", tree{"Namespace": "AWS/EC2", "MetricData": []tree{{"MetricName": "a", "Value": 1}}}, "InvalidParameterValueException", "Namespace is invalid")
}

// TestTenThousandInstancesAreNoBurden: a page in the middle of a quarter of a million
// metrics, and a datapoint of the last of them.
func TestTenThousandInstancesAreNoBurden(t *testing.T) {
	w := newWatch(t, func(a *sandbox.Account, _ *sandbox.Options) {
		a.Regions[0].Instances = []sandbox.Instance{{Count: 10000, Type: "t3.small"}}
	})
	all := w.Instances(watched, "eu-west-1")
	last := all[len(all)-1].ID
	metric := tree{"Namespace": "AWS/EC2", "MetricName": "NetworkIn", "Dimensions": []tree{{"Name": "InstanceId", "Value": last}}}
	if got := valuesOf(t, w.ok(t, "GetMetricData", data(*w.now, 1, metric, "Sum"))); len(all) != 10000 || len(got) != 12 {
		t.Errorf("%d instances, %v", len(all), got)
	}
	out := w.ok(t, "ListMetrics", tree{"Dimensions": []tree{{"Name": "InstanceId", "Value": last}}})
	if got := len(out["Metrics"].([]any)); got < 15 {
		t.Errorf("%d metrics: %v", got, out)
	}
}

func TestWorldsThatCannotBeAreRefused(t *testing.T) {
	for want, r := range map[string]sandbox.Region{
		"a name or id is empty":              {},
		"instance \"i-a\" exists twice":      {Name: "a", Instances: []sandbox.Instance{{ID: "i-a"}, {ID: "i-a"}}},
		"unable to parse IP":                 {Name: "a", Instances: []sandbox.Instance{{PrivateIP: "here"}}},
		"count -1 is out of range":           {Name: "a", Instances: []sandbox.Instance{{Count: -1}}},
		"no namespace or no name":            {Name: "a", Series: []sandbox.MetricSeries{{}}},
		"those of AWS/EC2 are the instances": {Name: "a", Series: []sandbox.MetricSeries{{Metric: sandbox.Metric{Namespace: "AWS/EC2", Name: "b"}}}},
		"exists twice":                       {Name: "a", Series: []sandbox.MetricSeries{everyMinute(), everyMinute()}},
	} {
		_, err := sandbox.New(sandbox.World{Accounts: []sandbox.Account{{ID: watched, Regions: []sandbox.Region{r}}}}, sandbox.Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// describe asks EC2; parameters are names and values.
func (w watch) describe(t *testing.T, action string, parameters ...string) answer {
	t.Helper()
	form := url.Values{"Action": {action}, "Version": {"2016-11-15"}}
	for i := 0; i < len(parameters); i += 2 {
		form.Set(parameters[i], parameters[i+1])
	}
	return w.signed(t, "https://ec2."+w.at+".amazonaws.com/", "ec2", form.Encode(), "Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
}

type described struct {
	IDs    []string `xml:"reservationSet>item>instancesSet>item>instanceId"`
	States []string `xml:"reservationSet>item>instancesSet>item>instanceState>name"`
	Next   string   `xml:"nextToken"`
}

func TestInstancesComeAndGo(t *testing.T) {
	w := newWatch(t, func(a *sandbox.Account, _ *sandbox.Options) {
		a.Regions[0].Instances = []sandbox.Instance{
			{ID: "i-a", Launched: noon.Add(time.Minute)}, {ID: "i-b", Terminated: noon.Add(2 * time.Minute), Impaired: noon.Add(time.Minute)}, {ID: "i-c", State: "stopped"},
		}
	})
	for _, row := range []struct {
		after time.Duration
		want  string
	}{
		{0, "[i-b i-c] [running stopped]"},
		{time.Minute, "[i-a i-b i-c] [running running stopped]"},
		{2 * time.Minute, "[i-a i-b i-c] [running terminated stopped]"},
		{time.Hour, "[i-a i-b i-c] [running terminated stopped]"},
		{63 * time.Minute, "[i-a i-c] [running stopped]"},
	} {
		*w.now = noon.Add(row.after)
		got := decode[described](t, w.describe(t, "DescribeInstances"))
		if text := fmt.Sprint(got.IDs, got.States); text != row.want {
			t.Errorf("after %v: got %s, want %s", row.after, text, row.want)
		}
	}
	*w.now = noon.Add(90 * time.Second)
	type statuses struct {
		IDs    []string `xml:"instanceStatusSet>item>instanceId"`
		Status []string `xml:"instanceStatusSet>item>instanceStatus>status"`
	}
	if got := decode[statuses](t, w.describe(t, "DescribeInstanceStatus")); fmt.Sprint(got) != "{[i-a i-b] [ok impaired]}" {
		t.Errorf("%v", got)
	}
	if got := decode[statuses](t, w.describe(t, "DescribeInstanceStatus", "IncludeAllInstances", "true")); fmt.Sprint(got) != "{[i-a i-b i-c] [ok impaired not-applicable]}" {
		t.Errorf("%v", got)
	}
}

func TestFiltersOfInstancesLetThroughWhatTheyName(t *testing.T) {
	w := newWatch(t, func(a *sandbox.Account, _ *sandbox.Options) {
		a.Regions[0].Instances = []sandbox.Instance{
			{ID: "i-a", Tags: map[string]string{"team": "blue"}},
			{ID: "i-b", Tags: map[string]string{"team": "b*e"}, Type: "m5.large", Detailed: true},
			{ID: "i-c", State: "stopped", Zone: "eu-west-1b", PrivateIP: "10.0.0.7"},
		}
	})
	for name, row := range map[string]struct {
		parameters []string
		want       string
	}{
		"tag":           {[]string{"Filter.1.Name", "tag:team", "Filter.1.Value.1", "blue"}, "[i-a]"},
		"star":          {[]string{"Filter.1.Name", "tag:team", "Filter.1.Value.1", "b*e"}, "[i-a i-b]"},
		"literal star":  {[]string{"Filter.1.Name", "tag:team", "Filter.1.Value.1", `b\*e`}, "[i-b]"},
		"key":           {[]string{"Filter.1.Name", "tag-key", "Filter.1.Value.1", "t?am"}, "[i-a i-b]"},
		"two values":    {[]string{"Filter.1.Name", "instance-state-name", "Filter.1.Value.1", "stopped", "Filter.1.Value.2", "pending"}, "[i-c]"},
		"two filters":   {[]string{"Filter.1.Name", "tag-key", "Filter.1.Value.1", "team", "Filter.2.Name", "instance-type", "Filter.2.Value.1", "m5.*"}, "[i-b]"},
		"zone":          {[]string{"Filter.1.Name", "availability-zone", "Filter.1.Value.1", "*b", "Filter.2.Name", "private-ip-address", "Filter.2.Value.1", "10.0.0.7"}, "[i-c]"},
		"monitoring":    {[]string{"Filter.1.Name", "monitoring-state", "Filter.1.Value.1", "enabled"}, "[i-b]"},
		"ids":           {[]string{"InstanceId.1", "i-c", "InstanceId.2", "i-a"}, "[i-a i-c]"},
		"nothing there": {[]string{"Filter.1.Name", "tag:none", "Filter.1.Value.1", "*"}, "[]"},
	} {
		if got := decode[described](t, w.describe(t, "DescribeInstances", row.parameters...)); fmt.Sprint(got.IDs) != row.want {
			t.Errorf("%s: got %v, want %s", name, got.IDs, row.want)
		}
	}
	for code, parameters := range map[string][]string{
		"InvalidParameterValue":       {"Filter.1.Name", "colour", "Filter.1.Value.1", "blue"},
		"InvalidInstanceID.NotFound":  {"InstanceId.1", "i-z"},
		"InvalidInstanceID.Malformed": {"InstanceId.1", "z"},
		"InvalidParameterCombination": {"InstanceId.1", "i-a", "MaxResults", "5"},
		"DryRunOperation":             {"DryRun", "true"},
		"InvalidNextToken":            {"NextToken", "!"},
	} {
		if got := w.describe(t, "DescribeInstances", parameters...); got.status/100 != 4 || !strings.Contains(got.body, "<Code>"+code+"</Code>") {
			t.Errorf("%v: %d %s, want %s", parameters, got.status, got.body, code)
		}
	}
	if got := w.describe(t, "DescribeInstances", "MaxResults", "4"); !strings.Contains(got.body, "Expecting a value greater than 5") {
		t.Errorf("%s", got.body)
	}
	w.SetFault(sandbox.EC2API, sandbox.Fault{Status: http.StatusTooManyRequests, Times: 1})
	if got := w.describe(t, "DescribeInstances"); !strings.Contains(got.body, "RequestLimitExceeded") {
		t.Errorf("%s", got.body)
	}
}

func TestTypesOfInstancesHaveTheirMetrics(t *testing.T) {
	for kind, want := range map[string]string{
		"t2.micro": "credits", "t3.micro": "credits ebs balance", "t4g.2xlarge": "credits ebs", "m4.large": "", "m5.large": "ebs balance", "m5d.24xlarge": "ebs disk",
		"m3.large": "disk", "i3.large": "disk", "i3en.large": "disk ebs balance", "c7gn.metal": "ebs", "p3.2xlarge": "", "p3dn.24xlarge": "disk ebs", "g5.xlarge": "disk ebs balance",
		"x1e.xlarge": "disk", "r6idn.large": "disk ebs balance", "u-6tb1.metal": "ebs", "mac2.metal": "ebs",
	} {
		w := newWatch(t, func(a *sandbox.Account, _ *sandbox.Options) { a.Regions[0].Instances[0].Type = kind })
		has := map[string]bool{}
		for m := range w.Metrics(watched, "eu-west-1") {
			has[m.Name] = true
		}
		for word, name := range map[string]string{"credits": "CPUCreditBalance", "ebs": "EBSReadOps", "balance": "EBSIOBalance%", "disk": "DiskReadOps"} {
			if want := slices.Contains(strings.Fields(want), word); has[name] != want {
				t.Errorf("%s: %s is %v, want %v", kind, name, has[name], want)
			}
		}
		if !has["CPUUtilization"] || !has["StatusCheckFailed"] {
			t.Errorf("%s: %v", kind, has)
		}
	}
}

func TestTagsAreFoundOfWhatHasSome(t *testing.T) {
	w := newWatch(t, func(a *sandbox.Account, _ *sandbox.Options) {
		a.Regions[0].Instances = append(a.Regions[0].Instances, sandbox.Instance{ID: "i-bare"}, sandbox.Instance{Count: 3, Tags: map[string]string{"team": "red"}})
	})
	for name, row := range map[string]struct {
		in   tree
		want int
	}{
		"all": {tree{}, 4}, "a key": {tree{"TagFilters": []tree{{"Key": "Name"}}}, 1}, "one of two values": {tree{"TagFilters": []tree{{"Key": "team", "Values": []string{"red", "green"}}}}, 3},
		"both": {tree{"TagFilters": []tree{{"Key": "team", "Values": []string{"red"}}, {"Key": "Name"}}}, 0}, "another type": {tree{"ResourceTypeFilters": []string{"s3"}}, 0},
		"a type": {tree{"ResourceTypeFilters": []string{"ec2"}}, 4}, "by name": {tree{"ResourceARNList": []string{"arn:aws:ec2:eu-west-1:" + watched + ":instance/" + webID}}, 1},
	} {
		if got := len(w.ok(t, "GetResources", row.in)["ResourceTagMappingList"].([]any)); got != row.want {
			t.Errorf("%s: got %d, want %d", name, got, row.want)
		}
	}
	w.refused(t, "GetResources", tree{"ResourcesPerPage": 101}, "InvalidParameterException", "")
	w.keys.SecretAccessKey = "hunter3"
	w.refused(t, "GetResources", tree{}, "InvalidSignatureException", "")
}
