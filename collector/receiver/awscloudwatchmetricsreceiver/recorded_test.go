package awscloudwatchmetricsreceiver

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	keyless "github.com/keyless-id/keyless"
)

// recordedAnswer is one that AWS recorded for the tests of its SDK: a status, headers and a
// body.
func recordedAnswer(tb testing.TB, name string) (status int, header http.Header, body []byte) {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "recorded", name+".snap"))
	must(tb, err)
	head, body, _ := bytes.Cut(text, []byte("\n\n"))
	first, rest, _ := strings.Cut(string(head), "\n")
	status, err = strconv.Atoi(first)
	must(tb, err)
	header = http.Header{}
	for line := range strings.Lines(rest) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		header.Set(name, value)
	}
	return status, header, body
}

func TestRecordedAnswersAreRead(t *testing.T) {
	const at = 946684800 // of each
	metric := found{Name: "__MetricName__", Dimensions: []dimension{{"__Name__", "__Value__"}, {"__Name__", "__Value__"}}}
	one := number{1, true}
	both := datapoint{number{at, true}, one, one, one, one, one}
	data := result{ID: "__Id__", Status: statusComplete, Points: []point{{at, 1}, {at, 1}}}
	for name, want := range map[string]page{
		opMetricData:       {Next: "__NextToken__", Results: []result{data, data}},
		opListMetrics:      {Next: "__NextToken__", Metrics: []found{metric, metric}},
		opMetricStatistics: {Datapoints: []datapoint{both, both}},
	} {
		_, _, body := recordedAnswer(t, name+".response")
		got, err := rpcCBOR{}.page(body)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, want)
		}
		compare(t, body)
	}
}

func TestRecordedErrorsAreUnderstood(t *testing.T) {
	for name, temporary := range map[string]bool{
		"InternalServiceFault": true, "LimitExceededException": true, "InvalidNextToken": false, "InvalidParameterCombinationException": false,
		"InvalidParameterValueException": false, "MissingRequiredParameterException": false,
	} {
		status, header, body := recordedAnswer(t, name+".error")
		err := (&service{}).refusal(opMetricData, &http.Response{StatusCode: status, Header: header}, body)
		var e *keyless.Error
		if !errors.As(err, &e) || e.Code != name || e.Temporary != temporary {
			t.Errorf("%d: got %#v, want %s", status, err, name)
		}
		if strings.HasPrefix(name, "InvalidParameter") != isInvalid(err) {
			t.Errorf("%s: is it the request's fault?", name)
		}
	}
}
