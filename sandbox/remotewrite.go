package sandbox

import (
	"errors"
	"fmt"
	"math"
	"mime"
	"net/http"
	"strconv"
	"unicode/utf8"
)

// The messages of "Prometheus Remote-Write" 1.0 and 2.0.
const (
	writeV1 = "prometheus.WriteRequest"
	writeV2 = "io.prometheus.write.v2.Request"
)

// Bounds on a write. The number of labels is a quota of Amazon's; their lengths are
// those of the software behind it (unverified for both services). The others keep a
// small body from becoming something large.
const (
	maxWrite      = 32 << 20 // unpacked
	maxLabels     = 150
	maxLabelName  = 1024
	maxLabelValue = 2048
	maxSymbols    = 1 << 20
)

// write is a remote write taken apart.
type write struct {
	written
	series  []writtenSeries
	symbols []string // of version 2.0
}

// written is what the answer says about a write.
type written struct {
	v2                             bool
	samples, histograms, exemplars int
}

// writtenSeries is a time series with what a request has of it.
type writtenSeries struct {
	labels                []label
	points                []Point
	histograms, exemplars int
}

type label struct{ name, value string }

// announce says how much was written, where the protocol asks for it: also when it was
// nothing.
func (d written) announce(h http.Header) {
	if !d.v2 {
		return
	}
	for name, count := range map[string]int{"Samples": d.samples, "Histograms": d.histograms, "Exemplars": d.exemplars} {
		h.Set("X-Prometheus-Remote-Write-"+name+"-Written", strconv.Itoa(count))
	}
}

// takeWrite reads a body that may be written, hands it on and keeps account of it. admit
// is asked about its size once that is known.
func (s *Sandbox) takeWrite(r *http.Request, body []byte, details map[string]string, admit func(size int) *telemetryError) (written, *telemetryError) {
	v2, refusal := writeVersion(r.Header)
	nothing := written{v2: v2}
	if refusal != nil {
		return nothing, refusal
	}
	message, err := unsnappy(body, maxWrite)
	if err != nil {
		return nothing, refuse(http.StatusBadRequest, "", "%s", err.Error())
	}
	if refusal := admit(len(message)); refusal != nil {
		return nothing, refusal
	}
	d, err := readWrite(message, v2)
	if err != nil {
		return nothing, refuse(http.StatusBadRequest, "", "%s", err.Error())
	}
	if !s.samples.room(d) {
		return nothing, refuse(http.StatusTooManyRequests, "", "per-user series limit of %d exceeded", maxSeries)
	}
	if refusal := s.forward(r, body, v2); refusal != nil {
		return nothing, refusal
	}
	details["samples"] = strconv.Itoa(d.samples)
	s.samples.add(d)
	return d.written, nil
}

// writeVersion reads the headers of a write; it is the content type that decides.
func writeVersion(h http.Header) (v2 bool, refusal *telemetryError) {
	kind, parameters, err := mime.ParseMediaType(h.Get("Content-Type"))
	message := orText(parameters["proto"], writeV1)
	switch {
	case err != nil || kind != "application/x-protobuf" || message != writeV1 && message != writeV2:
		return false, refuse(http.StatusUnsupportedMediaType, "", "The content type must be application/x-protobuf, of %s or %s.", writeV1, writeV2)
	case h.Get("Content-Encoding") != "snappy":
		return false, refuse(http.StatusUnsupportedMediaType, "", "The content encoding must be snappy.")
	}
	return message == writeV2, nil
}

func readWrite(message []byte, v2 bool) (*write, error) {
	d := &write{written: written{v2: v2}}
	if v2 {
		return d, d.readV2(message)
	}
	return d, d.readV1(message)
}

// readV1: timeseries = 1, metadata = 3.
func (d *write) readV1(message []byte) error {
	return eachField(message, func(f field) error {
		if f.number != 1 {
			return nil
		}
		return d.readSeries(f)
	})
}

// readV2: symbols = 4, timeseries = 5. The symbols may come last, and the numbers of
// version 1.0 are reserved so that one is not taken for the other.
func (d *write) readV2(message []byte) error {
	err := eachField(message, func(f field) error {
		switch {
		case f.number <= 3:
			return errors.New("the message is that of version 1.0")
		case f.number != 4:
			return nil
		case len(d.symbols) == maxSymbols:
			return fmt.Errorf("there are more than %d symbols", maxSymbols)
		}
		symbol, err := f.bytes()
		d.symbols = append(d.symbols, string(symbol))
		return err
	})
	if err != nil {
		return err
	}
	if len(d.symbols) > 0 && d.symbols[0] != "" {
		return errors.New("the first symbol must be empty")
	}
	return eachField(message, func(f field) error {
		if f.number != 5 {
			return nil
		}
		return d.readSeries(f)
	})
}

// seriesField is what a field of a time series has.
type seriesField int

const (
	labelField seriesField = iota + 1
	sampleField
	histogramField
	exemplarField
	metadataField
)

// meaning tells the fields of a time series apart, which are numbered by version.
func (d *write) meaning(number uint64) seriesField {
	fields := []seriesField{labelField, sampleField, exemplarField, histogramField}
	if d.v2 {
		fields = []seriesField{labelField, sampleField, histogramField, exemplarField, metadataField}
	}
	if number > uint64(len(fields)) {
		return 0
	}
	return fields[number-1]
}

func (d *write) readSeries(f field) error {
	data, err := f.bytes()
	if err != nil {
		return err
	}
	if len(d.series) == maxSeries {
		return fmt.Errorf("there are more than %d series", maxSeries)
	}
	var s writtenSeries
	var references []uint64
	err = eachField(data, func(f field) (err error) {
		switch d.meaning(f.number) {
		case labelField:
			if d.v2 {
				references, err = f.appendNumbers(references, 2*maxLabels)
			} else {
				err = s.readLabel(f)
			}
		case sampleField:
			err = d.readSample(&s, f)
		case histogramField:
			s.histograms++
			_, err = f.bytes()
		case exemplarField:
			s.exemplars++
			err = d.checkExemplar(f)
		case metadataField:
			err = d.checkMetadata(f)
		}
		return err
	})
	if err != nil {
		return err
	}
	return d.finish(&s, references)
}

// finish checks a series as a whole and counts it in.
func (d *write) finish(s *writtenSeries, references []uint64) error {
	if d.v2 {
		if err := s.resolve(references, d.symbols); err != nil {
			return err
		}
		if (len(s.points) > 0) == (s.histograms > 0) {
			return errors.New("a series must have either samples or histograms")
		}
	}
	if err := s.check(); err != nil {
		return err
	}
	d.series = append(d.series, *s)
	d.samples, d.histograms, d.exemplars = d.samples+len(s.points), d.histograms+s.histograms, d.exemplars+s.exemplars
	return nil
}

// readLabel: name = 1, value = 2.
func (s *writtenSeries) readLabel(f field) error {
	data, err := f.bytes()
	if err != nil {
		return err
	}
	if len(s.labels) == maxLabels {
		return errTooManyLabels
	}
	var l label
	err = eachField(data, func(f field) error {
		text, err := f.bytes()
		switch f.number {
		case 1:
			l.name = string(text)
		case 2:
			l.value = string(text)
		default:
			return nil
		}
		return err
	})
	s.labels = append(s.labels, l)
	return err
}

var errTooManyLabels = fmt.Errorf("a series has more than %d labels", maxLabels)

// resolve makes labels of pairs of references to symbols.
func (s *writtenSeries) resolve(references []uint64, symbols []string) error {
	if len(references) > 2*maxLabels {
		return errTooManyLabels
	}
	if err := checkReferences(references, symbols); err != nil {
		return err
	}
	for i := 0; i < len(references); i += 2 {
		s.labels = append(s.labels, label{symbols[references[i]], symbols[references[i+1]]})
	}
	return nil
}

func checkReferences(references []uint64, symbols []string) error {
	if len(references)%2 != 0 {
		return errors.New("the references to labels are not pairs")
	}
	for _, reference := range references {
		if reference >= uint64(len(symbols)) {
			return errors.New("a reference is to no symbol")
		}
	}
	return nil
}

// readSample: value = 1, timestamp = 2. A field that is not there is zero.
func (d *write) readSample(s *writtenSeries, f field) error {
	data, err := f.bytes()
	if err != nil {
		return err
	}
	if d.samples+len(s.points) == maxPoints {
		return fmt.Errorf("there are more than %d samples", maxPoints)
	}
	var p Point
	err = eachField(data, func(f field) error {
		var number uint64
		var err error
		switch f.number {
		case 1:
			number, err = f.fixed64()
			p.Value = math.Float64frombits(number)
		case 2:
			number, err = f.varint()
			p.Time = int64(number) //nolint:gosec // two's complement is what the format has
		}
		return err
	})
	s.points = append(s.points, p)
	return err
}

// checkExemplar: labels_refs = 1 in version 2.0.
func (d *write) checkExemplar(f field) error {
	data, err := f.bytes()
	if err != nil || !d.v2 {
		return err
	}
	var references []uint64
	err = eachField(data, func(f field) (err error) {
		if f.number == 1 {
			references, err = f.appendNumbers(references, 2*maxLabels)
		}
		return err
	})
	return errors.Join(err, checkReferences(references, d.symbols))
}

// checkMetadata: help_ref = 3, unit_ref = 4.
func (d *write) checkMetadata(f field) error {
	data, err := f.bytes()
	if err != nil {
		return err
	}
	return eachField(data, func(f field) error {
		if f.number != 3 && f.number != 4 {
			return nil
		}
		reference, err := f.varint()
		return errors.Join(err, checkReferences([]uint64{reference, 0}, d.symbols))
	})
}

// check holds labels to the specification: sorted, none twice, none empty, a name.
func (s *writtenSeries) check() error {
	previous, hasName := "", false
	for _, l := range s.labels {
		switch {
		case l.name <= previous:
			return errors.New("labels are empty, not sorted or there twice")
		case l.value == "":
			return errors.New("a label has no value")
		case len(l.name) > maxLabelName || len(l.value) > maxLabelValue:
			return errors.New("a label is too long")
		case !utf8.ValidString(l.name) || !utf8.ValidString(l.value):
			return errors.New("a label is not UTF-8")
		}
		previous, hasName = l.name, hasName || l.name == metricName
	}
	if !hasName {
		return errors.New("a series has no name")
	}
	return nil
}

// metricName is the label that has the name of the metric.
const metricName = "__name__"
