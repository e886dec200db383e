package azurelogsingestionexporter

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"
)

// The contestants of each benchmark make requests of the same records, and read raw bytes
// of JSON: compare their MB/s, and what they need for a GB.

const benchRecords = 8192

// ours takes records all the way to bodies.
type ours struct {
	exporter *logsExporter
	encoder  *encoder
	request  *request
	raw      int64
	requests int
	wire     int64
}

func newOurs(b *testing.B, change func(c *Config)) *ours {
	b.Helper()
	e := testExporter(b, change)
	return &ours{exporter: e, encoder: newEncoder(newPlan(e.config)), request: e.request(destination{})}
}

func (o *ours) consume(logs plog.Logs) {
	all := o.exporter.packers.emptyRows()
	o.encoder.encode(&all, logs, noon)
	o.raw += int64(len(all.data))
	o.request.pack(&all)
	for _, body := range o.request.closed {
		o.requests++
		o.wire += int64(len(body.wire))
	}
	o.request.closed = nil
}

func (o *ours) finish(b *testing.B) {
	b.Helper()
	o.request.closeAll()
	for _, body := range o.request.closed {
		o.requests++
		o.wire += int64(len(body.wire))
	}
	figures(b, o.raw, o.requests, o.wire)
}

func figures(b *testing.B, raw int64, requests int, wire int64) {
	b.Helper()
	b.SetBytes(raw / int64(b.N))
	b.ReportMetric(float64(requests)/float64(raw)*1e9, "requests/GB")
	b.ReportMetric(float64(raw)/float64(wire), "ratio")
	b.ReportMetric(100*float64(wire)/float64(requests)/serviceRequestBytes, "%fill")
}

// sdk collects rows up to 1,000,000 raw bytes and compresses each request by itself, as
// the libraries of the vendor do.
type sdk struct {
	body     bytes.Buffer
	out      bytes.Buffer
	raw      int64
	requests int
	wire     int64
}

func (s *sdk) add(row []byte) {
	if s.body.Len()+len(row)+2 > 1_000_000 {
		s.flush()
	}
	if s.body.Len() == 0 {
		s.body.WriteByte('[')
	} else {
		s.body.WriteByte(',')
	}
	s.body.Write(row)
	s.raw += int64(len(row))
}

func (s *sdk) flush() {
	if s.body.Len() == 0 {
		return
	}
	s.body.WriteByte(']')
	s.out.Reset()
	w := gzip.NewWriter(&s.out)
	_, _ = w.Write(s.body.Bytes())
	_ = w.Close()
	s.requests++
	s.wire += int64(s.out.Len())
	s.body.Reset()
}

func BenchmarkRecords(b *testing.B) {
	logs := appLogs(benchRecords)
	b.Run("ours", func(b *testing.B) {
		o := newOurs(b, asIs)
		b.ReportAllocs()
		for b.Loop() {
			o.consume(logs)
		}
		o.finish(b)
	})
	b.Run("encoding-json and gzip", func(b *testing.B) {
		var s sdk
		b.ReportAllocs()
		for b.Loop() {
			for _, row := range recordsAsMaps(logs) {
				text, err := json.Marshal(row)
				if err != nil {
					b.Fatal(err)
				}
				s.add(text)
			}
		}
		s.flush()
		figures(b, s.raw, s.requests, s.wire)
	})
	maps := recordsAsMaps(logs)
	b.Run("encoding-json and gzip of ready maps", func(b *testing.B) {
		var s sdk
		b.ReportAllocs()
		for b.Loop() {
			for _, row := range maps {
				text, err := json.Marshal(row)
				if err != nil {
					b.Fatal(err)
				}
				s.add(text)
			}
		}
		s.flush()
		figures(b, s.raw, s.requests, s.wire)
	})
}

func BenchmarkLines(b *testing.B) {
	logs, lines := lineLogs(benchRecords)
	b.Run("ours", func(b *testing.B) {
		o := newOurs(b, jsonBody)
		b.ReportAllocs()
		for b.Loop() {
			o.consume(logs)
		}
		o.finish(b)
	})
	b.Run("decode, encode and gzip", func(b *testing.B) {
		var s sdk
		b.ReportAllocs()
		for b.Loop() {
			for _, line := range lines {
				var row map[string]any
				if err := json.Unmarshal(line, &row); err != nil {
					b.Fatal(err)
				}
				text, err := json.Marshal(row)
				if err != nil {
					b.Fatal(err)
				}
				s.add(text)
			}
		}
		s.flush()
		figures(b, s.raw, s.requests, s.wire)
	})
}

func BenchmarkParts(b *testing.B) {
	logs := appLogs(benchRecords)
	e := newEncoder(newPlan(testConfig()))
	var all rows
	e.encode(&all, logs, noon)
	size := int64(len(all.data))
	b.Run("encode", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		for b.Loop() {
			all = rows{data: all.data[:0], ends: all.ends[:0], at: all.at[:0]}
			e.encode(&all, logs, noon)
		}
	})
	for level := 1; level <= 9; level += 2 {
		b.Run(fmt.Sprintf("pack at level %d", level), func(b *testing.B) {
			o := newOurs(b, func(c *Config) { c.GzipLevel = level })
			b.SetBytes(size)
			for b.Loop() {
				for at, row := range all.all() {
					o.request.add(0, "", row, at)
				}
				o.request.closed = nil
			}
		})
	}
	b.Run("store and read", func(b *testing.B) {
		x := testExporter(b)
		r := x.request(destination{})
		r.rows = all
		b.SetBytes(size)
		for b.Loop() {
			stored, err := x.Marshal(b.Context(), r)
			if err == nil {
				_, _, err = x.Unmarshal(stored)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}
