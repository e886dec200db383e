package awscloudwatchmetricsreceiver

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/aws/smithy-go/encoding/cbor"
)

// protocol is a wire form of CloudWatch. Requests are one tree of values for all of them, and
// answers become one form, so that nothing else has to know which it is.
type protocol interface {
	message(operation string, fields cbor.Map) (message, error)
	page(body []byte) (page, error)
}

// page is an answer to any of the three operations.
type page struct {
	Next       string      `json:"NextToken"`
	Results    []result    `json:"MetricDataResults"` // of GetMetricData
	Metrics    []found     `json:"Metrics"`           // of ListMetrics
	Datapoints []datapoint `json:"Datapoints"`        // of GetMetricStatistics
}

// result is what GetMetricData says of a series.
type result struct {
	ID     string   `json:"Id"`
	Status string   `json:"StatusCode"`
	Times  []number `json:"Timestamps"`
	Values []number `json:"Values"`
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

// rpcCBOR is "Smithy RPC v2 CBOR", which the SDKs speak with CloudWatch since 2025.
type rpcCBOR struct{}

func (rpcCBOR) message(operation string, fields cbor.Map) (message, error) {
	return message{
		Operation: operation, Path: "/service/" + cloudWatchTarget + "/operation/" + operation, Body: cbor.Encode(fields),
		Header: map[string]string{
			"Content-Type": "application/cbor", "Accept": "application/cbor", "Smithy-Protocol": "rpc-v2-cbor", "X-Amzn-Query-Mode": "true",
		},
	}, nil
}

// awsJSON is "AWS JSON 1.0", the second of the three that AWS's model of CloudWatch lists. A
// time is its seconds since 1970.
type awsJSON struct{}

const cloudWatchTarget = "GraniteServiceVersion20100801"

func (awsJSON) message(operation string, fields cbor.Map) (message, error) {
	m, err := jsonMessage(operation, "1.0", cloudWatchTarget, plain(fields))
	m.Header["X-Amzn-Query-Mode"] = "true"
	return m, err
}

// plain is a request as encoding/json wants it.
func plain(v cbor.Value) any {
	switch v := v.(type) {
	case cbor.Map:
		out := make(map[string]any, len(v))
		for name, field := range v {
			out[name] = plain(field)
		}
		return out
	case cbor.List:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = plain(item)
		}
		return out
	case *cbor.Tag:
		return plain(v.Value)
	}
	return v // strings and numbers are themselves
}

func (awsJSON) page(body []byte) (page, error) {
	var p page
	if err := json.Unmarshal(body, &p); err != nil {
		return page{}, fmt.Errorf("the answer is no JSON: %w", err)
	}
	return p, nil
}
