package sandbox

import (
	"mime"
	"net/http"
	"strings"
)

const (
	cloudWatchTarget    = "GraniteServiceVersion20100801"
	cloudWatchNamespace = "http://monitoring.amazonaws.com/doc/2010-08-01/"
)

// serveCloudWatch is "Amazon CloudWatch API Reference" in the three wire forms of its model.
func (s *Sandbox) serveCloudWatch(w http.ResponseWriter, r *http.Request) {
	s.serveAPI(cloudWatch(), cloudWatchProtocol(r), w, r)
}

func cloudWatchProtocol(r *http.Request) protocol {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case r.Header.Get("Smithy-Protocol") == "rpc-v2-cbor":
		return cborProtocol{cloudWatchTarget}
	case strings.HasPrefix(kind, "application/x-amz-json-"):
		return jsonProtocol{cloudWatchTarget, kind}
	}
	return queryProtocol{cloudWatchNamespace, "2010-08-01"}
}

// cloudWatch has the rates of "CloudWatch service quotas".
func cloudWatch() *awsService {
	return &awsService{
		hop: CloudWatch, name: "monitoring",
		operation: func(name string) *awsOperation {
			switch name {
			case "GetMetricData":
				return &awsOperation{(*apiCall).getMetricData, 50}
			case "GetMetricStatistics":
				return &awsOperation{(*apiCall).getMetricStatistics, 400}
			case "ListMetrics":
				return &awsOperation{(*apiCall).listMetrics, 25}
			case "PutMetricData":
				return &awsOperation{(*apiCall).putMetricData, 500}
			}
			return nil
		},
		unsigned: (*signatureError).forSTS,
		denied: func(who, permission string) *awsError {
			return denied("User: %s is not authorized to perform: %s because no identity-based policy allows the %s action", who, permission, permission)
		},
		throttled: cloudWatchThrottled(),
	}
}

func cloudWatchThrottled() *awsError {
	return &awsError{"Throttling", http.StatusBadRequest, "Rate exceeded"}
}

// invalidValue, missing and combination are the errors of the operations that are older
// than GetMetricData.
func invalidValue(format string, args ...any) *awsError {
	e := invalid(format, args...)
	e.code = "InvalidParameterValue"
	return e
}

func missing(parameter string) *awsError {
	e := invalid("The parameter %s is required.", parameter)
	e.code = "MissingParameter"
	return e
}

func combination(format string, args ...any) *awsError {
	e := invalid(format, args...)
	e.code = "InvalidParameterCombination"
	return e
}

// readMetric reads namespace, name and dimensions of a metric.
func readMetric(in params) Metric {
	m := Metric{Namespace: in.text("Namespace"), Name: in.text("MetricName")}
	for _, d := range in.structures("Dimensions") {
		m.Dimensions = append(m.Dimensions, Dimension{d.text("Name"), d.text("Value")})
	}
	return m
}

func (m Metric) object() object {
	dimensions := make([]object, len(m.Dimensions))
	for i, d := range m.Dimensions {
		dimensions[i] = object{"Name": d.Name, "Value": d.Value}
	}
	return object{"Namespace": m.Namespace, "MetricName": m.Name, "Dimensions": dimensions}
}
