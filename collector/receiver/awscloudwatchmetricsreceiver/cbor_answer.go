package awscloudwatchmetricsreceiver

import "fmt"

func (rpcCBOR) page(body []byte) (page, error) {
	var p page
	r := &cborReader{rest: body}
	if major, _ := r.head(); major != majorMap {
		r.fail(errNotMap)
	}
	for all := r.open(majorMap); r.more(&all); {
		switch string(r.key()) {
		case "NextToken":
			p.Next = r.text()
		case "MetricDataResults":
			p.Results = r.results()
		case "Metrics":
			p.Metrics = mapsOf(r, (*cborReader).metric)
		case "Datapoints":
			p.Datapoints = mapsOf(r, (*cborReader).datapoint)
		default:
			r.skip()
		}
	}
	if r.err != nil {
		return page{}, fmt.Errorf("the answer is no CBOR: %w", r.err)
	}
	return p, nil
}

// mapsOf are those items of a list that are maps, each with what is said of its fields.
func mapsOf[T any](r *cborReader, field func(r *cborReader, name []byte, of *T)) []T {
	var out []T
	for all := r.open(majorList); r.more(&all); {
		if !r.is(majorMap) {
			continue
		}
		var of T
		for fields := r.open(majorMap); r.more(&fields); {
			field(r, r.key(), &of)
		}
		out = append(out, of)
	}
	return out
}

// results are most of what is ever read.
func (r *cborReader) results() []result {
	all := r.open(majorList)
	out := make([]result, 0, min(all.items, maxQueries))
	for r.more(&all) {
		if r.is(majorMap) {
			out = append(out, r.result())
		}
	}
	return out
}

func (r *cborReader) result() result {
	var of result
	r.times, r.values = r.times[:0], r.values[:0]
	for fields := r.open(majorMap); r.more(&fields); {
		switch string(r.key()) {
		case "Id":
			of.ID = r.text()
		case "StatusCode":
			of.Status = r.text()
		case "Timestamps":
			r.times = r.numbers(r.times, (*cborReader).time)
		case "Values":
			r.values = r.numbers(r.values, (*cborReader).number)
		default:
			r.skip()
		}
	}
	of.Points = pointsOf(r.times, r.values)
	return of
}

func (r *cborReader) metric(name []byte, of *found) {
	switch string(name) {
	case "MetricName":
		of.Name = r.text()
	case "Dimensions":
		of.Dimensions = mapsOf(r, (*cborReader).dimension)
	default:
		r.skip()
	}
}

func (r *cborReader) dimension(name []byte, of *dimension) {
	switch string(name) {
	case "Name":
		of.Name = r.text()
	case "Value":
		of.Value = r.text()
	default:
		r.skip()
	}
}

func (r *cborReader) datapoint(name []byte, of *datapoint) {
	if to := of.stat(string(name)); to != nil {
		*to = r.number()
		return
	}
	if string(name) == "Timestamp" {
		of.Time = r.time()
		return
	}
	r.skip()
}

// errorOf reads what is said of an error.
func (rpcCBOR) errorOf(body []byte) awsError {
	var e awsError
	r := &cborReader{rest: body}
	for all := r.open(majorMap); r.more(&all); {
		switch string(r.key()) {
		case "__type":
			e.Type = r.text()
		case "message":
			e.Text = r.text()
		case "Message":
			e.Message = r.text()
		default:
			r.skip()
		}
	}
	if r.err != nil {
		return awsError{}
	}
	return e
}
