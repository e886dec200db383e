package awscloudwatchmetricsreceiver

import (
	"encoding/json"
	"fmt"
	"math"
)

// protocol is a wire form of CloudWatch. Requests and answers are the same for all of them,
// so that nothing else has to know which it is.
type protocol interface {
	message(operation string, of request) (message, error)
	page(body []byte) (page, error)
}

// request is one of the three below, which have the form of JSON by themselves.
type request interface {
	writeCBOR(w *cborWriter)
	turn(token string) // to the next page
}

type dataRequest struct {
	MetricDataQueries  []queryRequest
	StartTime, EndTime epoch
	ScanBy             string
	MaxDatapoints      int
	NextToken          string `json:",omitempty"`
}

type queryRequest struct {
	ID         string `json:"Id"`
	MetricStat struct {
		Metric metricRequest
		Period int
		Stat   string
	}
}

// metricRequest is a metric, or of a list those that have what is not empty.
type metricRequest struct {
	Namespace  string
	MetricName string      `json:",omitempty"`
	Dimensions []dimension `json:",omitempty"`
}

type statisticsRequest struct {
	metricRequest
	StartTime, EndTime epoch
	Period             int
	Statistics         []string
}

type listRequest struct {
	metricRequest
	RecentlyActive string `json:",omitempty"`
	NextToken      string `json:",omitempty"`
}

func (q *dataRequest) turn(token string) { q.NextToken = token }
func (q *listRequest) turn(token string) { q.NextToken = token }
func (*statisticsRequest) turn(string)   {} // has one page

// epoch is in seconds since 1970.
type epoch int64

// page is an answer to any of the three operations.
type page struct {
	Next       string      `json:"NextToken"`
	Results    []result    `json:"MetricDataResults"` // of GetMetricData
	Metrics    []found     `json:"Metrics"`           // of ListMetrics
	Datapoints []datapoint `json:"Datapoints"`        // of GetMetricStatistics
}

// result is what GetMetricData says of a series.
type result struct {
	ID     string
	Status string
	Points []point
}

// UnmarshalJSON makes points of times and values.
func (r *result) UnmarshalJSON(text []byte) error {
	var of struct {
		ID         string `json:"Id"`
		StatusCode string
		Timestamps []number
		Values     []number
	}
	err := json.Unmarshal(text, &of)
	*r = result{ID: of.ID, Status: of.StatusCode, Points: pointsOf(of.Timestamps, of.Values)}
	return err
}

// datapoint is a time with all the statistics that were asked for.
type datapoint struct {
	Time                                        number `json:"Timestamp"`
	Average, Sum, Minimum, Maximum, SampleCount number
}

// stat is where a statistic is, or nil.
func (d *datapoint) stat(name string) *number {
	switch name {
	case statAverage:
		return &d.Average
	case statSum:
		return &d.Sum
	case statMin:
		return &d.Minimum
	case statMax:
		return &d.Maximum
	case statSampleCnt:
		return &d.SampleCount
	}
	return nil
}

// number is one that was there, and was one.
type number struct {
	Value float64
	Known bool
}

func known(value float64) number { return number{value, !math.IsNaN(value)} }

// UnmarshalJSON takes the texts of AWS JSON for what is no number in JSON, too.
func (n *number) UnmarshalJSON(text []byte) error {
	*n = number{}
	switch string(text) {
	case `"Infinity"`:
		*n = known(math.Inf(1))
	case `"-Infinity"`:
		*n = known(math.Inf(-1))
	default:
		var value float64
		if string(text) != "null" && json.Unmarshal(text, &value) == nil {
			*n = known(value)
		}
	}
	return nil
}

// point is the value at a time, which is in seconds since 1970.
func (n number) point(at number) (point, bool) {
	ok := n.Known && at.Known && at.Value >= 0 && at.Value <= math.MaxUint32
	if !ok {
		return point{}, false
	}
	return point{At: int64(at.Value), Value: n.Value}, true
}

func pointsOf(times, values []number) []point {
	out := make([]point, 0, min(len(times), len(values)))
	for i := range cap(out) {
		if p, ok := values[i].point(times[i]); ok {
			out = append(out, p)
		}
	}
	return out
}

const cloudWatchTarget = "GraniteServiceVersion20100801"

// rpcCBOR is "Smithy RPC v2 CBOR", which the SDKs speak with CloudWatch since 2025.
type rpcCBOR struct{}

func (rpcCBOR) message(operation string, of request) (message, error) {
	var w cborWriter
	of.writeCBOR(&w)
	return message{
		Operation: operation, Path: "/service/" + cloudWatchTarget + "/operation/" + operation, Body: w.out,
		Header: map[string]string{
			"Content-Type": "application/cbor", "Accept": "application/cbor", "Smithy-Protocol": "rpc-v2-cbor", "X-Amzn-Query-Mode": "true",
		},
	}, nil
}

// awsJSON is "AWS JSON 1.0", the second of the three that AWS's model of CloudWatch lists. A
// time is its seconds since 1970.
type awsJSON struct{}

func (awsJSON) message(operation string, of request) (message, error) {
	m, err := jsonMessage(operation, "1.0", cloudWatchTarget, of)
	if err != nil {
		return message{}, err
	}
	m.Header["X-Amzn-Query-Mode"] = "true"
	return m, nil
}

func (awsJSON) page(body []byte) (page, error) {
	var p page
	if err := json.Unmarshal(body, &p); err != nil {
		return page{}, fmt.Errorf("the answer is no JSON: %w", err)
	}
	return p, nil
}
