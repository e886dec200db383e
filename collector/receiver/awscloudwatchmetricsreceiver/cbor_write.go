package awscloudwatchmetricsreceiver

import (
	"encoding/binary"
	"math"
	"slices"
)

// cborWriter writes one value after the other.
type cborWriter struct{ out []byte }

func (w *cborWriter) head(major byte, n int) {
	kind := major << 5
	switch {
	case n < 24:
		w.out = append(w.out, kind|byte(n)) //nolint:gosec // less than 24
	case n <= math.MaxUint8:
		w.out = append(w.out, kind|24, byte(n))
	case n <= math.MaxUint16:
		w.out = binary.BigEndian.AppendUint16(append(w.out, kind|25), uint16(n))
	default:
		w.out = binary.BigEndian.AppendUint32(append(w.out, kind|26), uint32(n)) //nolint:gosec // lengths, counts and seconds
	}
}

func (w *cborWriter) text(s string) {
	w.head(majorText, len(s))
	w.out = append(w.out, s...)
}

func (w *cborWriter) time(at epoch) {
	w.head(majorTag, epochTag)
	w.out = binary.BigEndian.AppendUint64(append(w.out, float64Head), math.Float64bits(float64(at)))
}

// cborFields is a map that is being written. Its head has the number of fields, which must
// not be more than 23.
type cborFields struct {
	*cborWriter
	at int
}

func (w *cborWriter) fields() cborFields {
	w.head(majorMap, 0)
	return cborFields{w, len(w.out) - 1}
}

func (f cborFields) key(name string) *cborWriter {
	f.out[f.at]++
	f.text(name)
	return f.cborWriter
}

// textUnlessEmpty leaves out what is not asked for.
func (f cborFields) textUnlessEmpty(name, value string) {
	if value != "" {
		f.key(name).text(value)
	}
}

func (f cborFields) window(start, end epoch) {
	f.key("StartTime").time(start)
	f.key("EndTime").time(end)
}

func (f cborFields) metric(m *metricRequest) {
	f.textUnlessEmpty("Namespace", m.Namespace)
	f.textUnlessEmpty("MetricName", m.MetricName)
	if len(m.Dimensions) == 0 {
		return
	}
	w := f.key("Dimensions")
	w.head(majorList, len(m.Dimensions))
	for _, d := range m.Dimensions {
		of := w.fields()
		of.key("Name").text(d.Name)
		of.textUnlessEmpty("Value", d.Value)
	}
}

func (q *dataRequest) writeCBOR(w *cborWriter) {
	w.out = slices.Grow(w.out, 256*(1+len(q.MetricDataQueries)))
	all := w.fields()
	all.window(q.StartTime, q.EndTime)
	all.key("ScanBy").text(q.ScanBy)
	all.key("MaxDatapoints").head(majorUint, q.MaxDatapoints)
	all.textUnlessEmpty("NextToken", q.NextToken)
	all.key("MetricDataQueries").head(majorList, len(q.MetricDataQueries))
	for i := range q.MetricDataQueries {
		of := &q.MetricDataQueries[i]
		fields := w.fields()
		fields.key("Id").text(of.ID)
		stat := fields.key("MetricStat").fields()
		stat.key("Metric").fields().metric(&of.MetricStat.Metric)
		stat.key("Period").head(majorUint, of.MetricStat.Period)
		stat.key("Stat").text(of.MetricStat.Stat)
	}
}

func (q *statisticsRequest) writeCBOR(w *cborWriter) {
	all := w.fields()
	all.metric(&q.metricRequest)
	all.window(q.StartTime, q.EndTime)
	all.key("Period").head(majorUint, q.Period)
	all.key("Statistics").head(majorList, len(q.Statistics))
	for _, stat := range q.Statistics {
		w.text(stat)
	}
}

func (q *listRequest) writeCBOR(w *cborWriter) {
	all := w.fields()
	all.metric(&q.metricRequest)
	all.textUnlessEmpty("RecentlyActive", q.RecentlyActive)
	all.textUnlessEmpty("NextToken", q.NextToken)
}
