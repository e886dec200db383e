package awscloudwatchmetricsreceiver

import (
	"encoding/xml"
	"errors"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/sandbox"
)

func TestErrorsAreUnderstoodInEachProtocol(t *testing.T) {
	body := string(cbor.Encode(cbor.Map{"__type": cbor.String("com.amazonaws.cloudwatch#InvalidParameterValueException"), "message": cbor.String("bad\nvalue")}))
	for name, c := range map[string]struct{ kind, query, body, code, text string }{
		"cbor":          {"application/cbor", "", body, "InvalidParameterValueException", "bad value"},
		"in query mode": {"application/cbor", "InvalidParameterValue;Sender", body, "InvalidParameterValue", "bad value"},
		"ec2":           {"text/xml", "", "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>no</Message></Error></Errors></Response>", "UnauthorizedOperation", "no"},
		"sts":           {"text/xml", "", "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>", "AccessDenied", "no"},
		"json":          {"application/x-amz-json-1.0", "ValidationError;Sender", `{"__type":"GraniteServiceVersion20100801#ValidationException","Message":"no"}`, "ValidationError", "no"},
		"of moto":       {"text", "", `{"__type":"com.amazonaws.cloudwatch#ValidationException","message":"no"}`, "ValidationException", "no"},
		"tagging":       {"application/x-amz-json-1.1", "", `{"__type":"ThrottledException","message":"slow"}`, "ThrottledException", "slow"},
		"a proxy":       {"text/html", "", "<html>oops", "", ""},
		"nothing":       {"application/cbor", "", "", "", ""},
	} {
		header := http.Header{"Content-Type": {c.kind}, "X-Amzn-Query-Error": {c.query}}
		if code, text := explain(header, []byte(c.body)); code != c.code || text != c.text {
			t.Errorf("%s: %q, %q, want %q, %q", name, code, text, c.code, c.text)
		}
	}
}

func TestADenialIsNotTriedAgainAndSaysWhichActionIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := newFar(t, sandbox.Options{}, fleet("eu-west-1", 1, sandbox.Delivery{}))
		far.SetFault(sandbox.EC2API, sandbox.Fault{Status: 403, Code: "UnauthorizedOperation"})
		s := &service{
			Client: &http.Client{Transport: far.RoundTripper()}, Endpoint: "https://ec2.eu-west-1.amazonaws.com", Account: "1", Region: "eu-west-1",
			Limits: map[string]*limiter{opInstances: newLimiter(opInstances)},
		}
		_, err := ec2{s}.instances(t.Context(), nil, nil)
		var e *keyless.Error
		if !errors.As(err, &e) || e.Temporary || e.Hint != "the role needs the action ec2:DescribeInstances" {
			t.Errorf("%#v", err)
		}
		if n := far.Requests(sandbox.EC2API); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestPointsOfAnyNumbers(t *testing.T) {
	at := func(v cbor.Value) cbor.Value { return &cbor.Tag{ID: 1, Value: v} }
	times := cbor.List{at(cbor.Uint(300)), at(cbor.Float64(600.5)), at(cbor.Float32(900)), cbor.String("x"), at(cbor.NegInt(5)), at(cbor.Uint(1200)), at(cbor.Uint(1500))}
	values := cbor.List{cbor.Float64(1.5), cbor.Float32(2), cbor.Uint(3), cbor.Uint(4), cbor.Uint(5), cbor.Float64(math.NaN()), cbor.NegInt(7)}
	p, err := rpcCBOR{}.page(cbor.Encode(cbor.Map{"MetricDataResults": cbor.List{cbor.Map{"Timestamps": times, "Values": values}}}))
	must(t, err)
	got := p.Results[0].Points
	want := []point{{300, 1.5}, {600, 2}, {900, 3}, {1500, -7}}
	if len(got) != len(want) {
		t.Fatalf("%v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%v, want %v", got[i], want[i])
		}
	}
}

func TestPagesThatDoNotEndAreAnError(t *testing.T) {
	body := cbor.Encode(cbor.Map{"NextToken": cbor.String("again")})
	s := &service{
		Client:   &http.Client{Transport: roundTrip(func(r *http.Request) *http.Response { return answer(r, 200, "application/cbor", string(body)) })},
		Endpoint: "http://127.0.0.1:1", Limits: map[string]*limiter{opListMetrics: {Rate: 1000, Burst: 1000}},
	}
	if _, err := (cloudWatch{s, rpcCBOR{}}).list(t.Context(), QueryConfig{Namespace: "AWS/RDS"}, false, 0); err == nil || !strings.Contains(err.Error(), "no end") {
		t.Errorf("%v", err)
	}
}

// Who answers in EC2's place has not said that there are no instances.
func TestWhatIsNoAnswerOfEC2IsAnError(t *testing.T) {
	const sound = "<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>"
	for body, want := range map[string]bool{
		sound: true, "<?xml version=\"1.0\"?>\n" + sound: true, strings.Replace(sound, ">", ` xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">`, 1): true,
		"": false, sound[:20]: false, sound[:len(sound)-3]: false, "<html><body>sign in</body></html>": false, "<DescribeRegionsResponse/>": false, "{}": false,
	} {
		e := ec2{&service{
			Client:   &http.Client{Transport: roundTrip(func(r *http.Request) *http.Response { return answer(r, 200, "text/xml", body) })},
			Endpoint: "http://127.0.0.1:1", Limits: map[string]*limiter{opInstances: {Rate: 1000, Burst: 1000}},
		}}
		if _, err := e.instances(t.Context(), nil, nil); (err == nil) != want {
			t.Errorf("%s: %v", body, err)
		}
	}
}

type roundTrip func(*http.Request) *http.Response

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

func FuzzInstances(f *testing.F) {
	f.Add([]byte(`<DescribeInstancesResponse><reservationSet><item><instancesSet><item><instanceId>i-1</instanceId><instanceType>m5.large</instanceType></item></instancesSet></item></reservationSet></DescribeInstancesResponse>`))
	f.Add([]byte(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<DescribeInstancesResponse xmlns="x"><b/><nextToken>&lt;&amp;</nextToken><reservationSet><item><instancesSet><item><tagSet><item><key>k</key><value></value></item></tagSet><placement><availabilityZone>z</availabilityZone></placement></item></instancesSet></item></reservationSet></DescribeInstancesResponse>`))
	f.Add([]byte(`<DescribeInstanceStatusResponse><instanceStatusSet><item><instanceId>i</instanceId><systemStatus><status>ok</status><details><item>x</item></details></systemStatus></item></instanceStatusSet></DescribeInstanceStatusResponse>`))
	f.Add([]byte(`<?xml version="1.0" encoding="UTF-8"?> <a xmlns="></a>`))
	f.Fuzz(func(_ *testing.T, body []byte) {
		var instances instancesAnswer
		if xml.Unmarshal(body, &instances) == nil {
			for i := range instances.Instances {
				createDefaultConfig().EC2.entity(&instances.Instances[i])
			}
		}
		var statuses statusAnswer
		if xml.Unmarshal(body, &statuses) == nil {
			for _, s := range statuses.Statuses {
				s.health()
			}
		}
		explain(http.Header{}, body)
	})
}

func TestAPackIsWithinTheLimitsOfARequest(t *testing.T) {
	e := &entity{Namespace: "AWS/EC2"}
	for i := range 1300 {
		e.Metrics = append(e.Metrics, metricOf{Name: time.Duration(i).String(), Stats: []string{statSum}})
	}
	all := e.add(nil, time.Minute, true)
	for window, want := range map[time.Duration]int{time.Hour: 3, 24 * time.Hour: 19, 15 * 24 * time.Hour: 325} {
		batches, n := pack(all, time.Minute, time.Unix(0, 0), time.Unix(0, 0).Add(window), maxQueries), 0
		for _, b := range batches {
			if n += len(b.Series); len(b.Series) > maxQueries || len(b.Series)*int(window/time.Minute) > maxPoints {
				t.Errorf("%s: %d queries", window, len(b.Series))
			}
		}
		if len(batches) != want || n != len(all) {
			t.Errorf("%s: %d requests of %d queries, want %d", window, len(batches), n, want)
		}
	}
}
