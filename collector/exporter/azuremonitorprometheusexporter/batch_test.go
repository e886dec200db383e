package azuremonitorprometheusexporter

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"testing"

	"github.com/prometheus/prometheus/prompb"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"

	"github.com/keyless-id/keyless/collector/internal/deadletter"
)

// series has a number of samples, a second apart.
func series(name string, samples int) prompb.TimeSeries {
	s := prompb.TimeSeries{Labels: []prompb.Label{{Name: "__name__", Value: name}}}
	for i := range samples {
		s.Samples = append(s.Samples, prompb.Sample{Timestamp: int64(i) * 1000, Value: float64(i)})
	}
	return s
}

func many(n, samples int) *batch {
	b := &batch{}
	for i := range n {
		b.series = append(b.series, series("s"+strconv.Itoa(i), samples))
	}
	return b
}

// census counts each sample, by series and time.
func census(all ...xexporterhelper.Request) map[string]int {
	seen := map[string]int{}
	for _, r := range all {
		for _, s := range r.(*batch).series {
			for _, sample := range s.Samples {
				seen[fmt.Sprint(nameOf(s.Labels), sample.Timestamp)]++
			}
		}
	}
	return seen
}

func TestMergingAndSplittingLosesNoSampleAndDoublesNone(t *testing.T) {
	for _, row := range []struct {
		a, b  *batch
		limit int
		sizer exporterhelper.RequestSizerType
		parts int
	}{
		{many(10, 1), nil, 0, exporterhelper.RequestSizerTypeItems, 1},
		{many(10, 1), many(0, 0), 4, exporterhelper.RequestSizerTypeItems, 3},
		{many(1, 100), nil, 30, exporterhelper.RequestSizerTypeItems, 4},
		{many(3, 7), nil, 5, exporterhelper.RequestSizerTypeItems, 6},
		{many(100, 1), nil, 1000, exporterhelper.RequestSizerTypeBytes, 3},
		{&batch{}, nil, 10, exporterhelper.RequestSizerTypeItems, 1},
	} {
		want := census(row.a)
		var other xexporterhelper.Request
		if row.b != nil {
			other = row.b
		}
		parts, err := row.a.MergeSplit(t.Context(), row.limit, row.sizer, other)
		if err != nil || len(parts) != row.parts {
			t.Errorf("%d parts, %v, want %d", len(parts), err, row.parts)
		}
		got := census(parts...)
		if len(got) != len(want) {
			t.Errorf("%d samples, want %d", len(got), len(want))
		}
		for sample, n := range got {
			if n != 1 {
				t.Errorf("%s is there %d times", sample, n)
			}
		}
		for _, part := range parts {
			if row.limit > 0 && row.sizer == exporterhelper.RequestSizerTypeItems && part.ItemsCount() > row.limit || row.sizer == exporterhelper.RequestSizerTypeBytes && part.BytesSize() > row.limit {
				t.Errorf("a part of %d samples and %d bytes", part.ItemsCount(), part.BytesSize())
			}
		}
	}
}

func TestTwoBatchesAreOne(t *testing.T) {
	a, b := many(2, 3), many(3, 2)
	a.metadata, b.metadata = []prompb.MetricMetadata{{MetricFamilyName: "a"}}, []prompb.MetricMetadata{{MetricFamilyName: "b"}}
	merged, err := a.MergeSplit(t.Context(), 0, exporterhelper.RequestSizerTypeItems, b)
	if err != nil || len(merged) != 1 || merged[0].ItemsCount() != 12 || len(merged[0].(*batch).metadata) != 2 {
		t.Errorf("%+v, %v", merged, err)
	}
	if _, err := a.MergeSplit(t.Context(), 0, exporterhelper.RequestSizerTypeItems, nil); err != nil {
		t.Error(err)
	}
}

func TestABatchIsTheSameAfterItWasOnDisk(t *testing.T) {
	b := many(3, 2)
	b.metadata = []prompb.MetricMetadata{{MetricFamilyName: "s", Help: "h"}}
	b.series[0].Samples[0].Value = math.NaN()
	data, err := encoding{}.Marshal(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	_, read, err := encoding{}.Unmarshal(data)
	if err != nil || read.ItemsCount() != 6 || read.BytesSize() != b.BytesSize() || !math.IsNaN(read.(*batch).series[0].Samples[0].Value) || read.(*batch).metadata[0].Help != "h" {
		t.Errorf("%+v, %v", read, err)
	}
	if _, _, err := (encoding{}).Unmarshal([]byte("\xff\xff")); err == nil {
		t.Error("read what is no batch")
	}
}

func TestTheSameSampleTwiceIsOne(t *testing.T) {
	stale := math.Float64frombits(0x7ff0000000000002) // what marks a series as stale, a NaN
	a, b := series("s", 2), series("s", 3)
	a.Samples = append(a.Samples, prompb.Sample{Timestamp: 9000, Value: stale})
	b.Samples = append(b.Samples, prompb.Sample{Timestamp: 9000, Value: stale}, prompb.Sample{Timestamp: 9000, Value: 1})
	got := gather([]prompb.TimeSeries{b, series("other", 1), a})
	if len(got) != 2 || len(got[0].Samples) != 5 { // two values for one time are the receiver's to judge
		t.Errorf("%+v", got)
	}
}

func TestASampleAloneCannotBeCut(t *testing.T) {
	if halves := bisect([]prompb.TimeSeries{series("s", 1)}); halves != nil {
		t.Errorf("%v", halves)
	}
	for _, piece := range [][]prompb.TimeSeries{{series("s", 3)}, {series("a", 1), series("b", 1), series("c", 1)}, {{Histograms: make([]prompb.Histogram, 2)}}} {
		halves := bisect(piece)
		if len(halves) != 2 || countAll(halves[0])+countAll(halves[1]) != countAll(piece) || countAll(halves[0]) == 0 || countAll(halves[1]) == 0 {
			t.Errorf("%v", halves)
		}
	}
}

func TestAFullDeadLetterFileMovesOn(t *testing.T) {
	path := t.TempDir() + "/dead.jsonl"
	d := deadLetters{deadletter.File{Config: deadletter.Config{Path: path, MaxBytes: 200, MaxFiles: 1}}}
	for _, samples := range []int{1, 10} {
		if err := d.write(reasonTooOld, "m", []prompb.TimeSeries{series("s", samples)}); err != nil {
			t.Error(err)
		}
	}
	if err := d.file.Close(); err != nil {
		t.Error(err)
	}
	if now, before := len(letters(t, path)), len(letters(t, path+".1")); now != 1 || before != 1 {
		t.Errorf("%d lines, and %d in the older file", now, before)
	}
}

func TestWithoutAPathThereIsNoDeadLetterFile(t *testing.T) {
	var d deadLetters
	if err := errors.Join(d.open(), d.write(reasonTooOld, "m", []prompb.TimeSeries{series("s", 1)}), d.file.Close()); err != nil {
		t.Error(err)
	}
}
