package azurelogsingestionexporter

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

const (
	ruleOne = "dcr-11111111111111111111111111111111"
	ruleTwo = "dcr-22222222222222222222222222222222"
	tableX  = "Custom-X_CL"
)

func testConfig(change ...func(c *Config)) *Config {
	config := createDefaultConfig()
	config.ClientConfig.Endpoint = "https://dce.westeurope-1.ingest.monitor.azure.com"
	config.DCR, config.Stream = ruleOne, tableX
	for _, f := range change {
		f(config)
	}
	return config
}

func testExporter(tb testing.TB, change ...func(c *Config)) *logsExporter {
	tb.Helper()
	e, err := newLogsExporter(testConfig(change...), exportertest.NewNopSettings(component.MustNewType("azure_logs_ingestion")))
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// numbered is a request of n rows, which count on from first.
func numbered(e *logsExporter, first, n, size int, random *rand.Rand) *request {
	r := e.request(destination{})
	for i := range n {
		r.rows.data = fmt.Appendf(r.rows.data, `{"TimeGenerated":"2026-11-21T12:00:00.0000000Z","n":%d,"x":"%s"}`, first+i, printableBytes(random, 1+random.IntN(size)))
		r.rows.append(time.Now())
	}
	return r
}

// numbers are those of the rows of bodies.
func numbers(t *testing.T, bodies []*body) []int {
	t.Helper()
	var all []int
	for _, b := range bodies {
		var rows []struct{ N int }
		if err := json.Unmarshal(unpack(t, b), &rows); err != nil {
			t.Fatal(err)
		}
		if len(rows) != b.count() {
			t.Fatalf("%d rows, said to be %d", len(rows), b.count())
		}
		for _, row := range rows {
			all = append(all, row.N)
		}
	}
	return all
}

func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func TestMergingAndSplittingKeepsEveryRowOnceAndInOrder(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		limit := leastRequestBytes << random.IntN(5)
		e := testExporter(t, func(c *Config) { c.MaxRequestBytes, c.MaxRawBytes = limit, limit*(1+random.IntN(3)) })
		var current xexporterhelper.Request
		var done []*body
		total := 0
		for range 30 {
			n := random.IntN(60)
			next := numbered(e, total, n, 400, random)
			total += n
			current, done = merge(t, current, next, done)
		}
		last := current.(*request)
		if last.ItemsCount()+len(numbers(t, done)) != total {
			t.Errorf("seed %d: %d rows are counted, want %d", seed, last.ItemsCount(), total)
		}
		last.closeAll()
		done = append(done, last.closed...)
		if got := numbers(t, done); !reflect.DeepEqual(got, upTo(total)) {
			t.Fatalf("seed %d: %d rows, want %d in order", seed, len(got), total)
		}
		for i, b := range done {
			if len(b.wire) > limit || b.raw > e.config.MaxRawBytes {
				t.Errorf("seed %d: a body has %d and %d bytes, limit %d", seed, len(b.wire), b.raw, limit)
			}
			if i < len(done)-1 && b.reason == whenFlushed {
				t.Errorf("seed %d: body %d is closed without being full", seed, i)
			}
		}
	}
}

// merge is what the queue does: it sends all requests but the last.
func merge(t *testing.T, current xexporterhelper.Request, next *request, done []*body) (xexporterhelper.Request, []*body) {
	t.Helper()
	var list []xexporterhelper.Request
	var err error
	if current == nil {
		list, err = next.MergeSplit(context.Background(), 1, exporterhelper.RequestSizerTypeBytes, nil)
	} else {
		list, err = current.MergeSplit(context.Background(), 1, exporterhelper.RequestSizerTypeBytes, next)
	}
	if err != nil || len(list) == 0 {
		t.Fatalf("%d requests, %v", len(list), err)
	}
	for _, r := range list[:len(list)-1] {
		done = append(done, r.(*request).closed...)
	}
	return list[len(list)-1], done
}

// The queue forgets the rows that were in a batch as soon as the first request is
// delivered that a merge returns.
func TestTheFirstRequestOfAMergeHasAllThatWasInTheBatch(t *testing.T) {
	for name, change := range map[string]struct {
		before, after func(e *logsExporter)
		long          bool // the new rows are longer than a request
	}{
		"usual":              {},
		"narrow":             {before: func(e *logsExporter) { e.stream(destination{}).setNarrow() }},
		"closed, then open":  {before: func(e *logsExporter) { e.stream(destination{}).close(time.Hour) }, after: func(e *logsExporter) { e.stream(destination{}).close(0) }},
		"open, then closed":  {after: func(e *logsExporter) { e.stream(destination{}).close(time.Hour) }},
		"a row that is long": {long: true},
	} {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(5, 5))
			cuts := 0
			for range 15 {
				e := testExporter(t, func(c *Config) { c.MaxRequestBytes = leastRequestBytes })
				if change.before != nil {
					change.before(e)
				}
				cuts += mergeOnce(t, e, random, change.after, change.long)
			}
			if cuts == 0 {
				t.Error("nothing was cut")
			}
		})
	}
}

func mergeOnce(t *testing.T, e *logsExporter, random *rand.Rand, after func(e *logsExporter), long bool) (cuts int) {
	t.Helper()
	batch, n := numbered(e, 0, 1+random.IntN(30), 400, random), 0
	for i := range batch.rows.at {
		batch.rows.at[i] -= int64(i) * int64(10*time.Minute)
	}
	list, err := batch.MergeSplit(context.Background(), 1, exporterhelper.RequestSizerTypeBytes, nil)
	if err != nil {
		t.Fatal(err)
	}
	current := list[len(list)-1].(*request)
	inBatch := current.ItemsCount()
	for _, r := range list[:len(list)-1] {
		n += r.ItemsCount()
	}
	if after != nil {
		after(e)
	}
	size := 400
	if long {
		size = 40_000
	}
	next := numbered(e, 1000, 1+random.IntN(100), size, random)
	total := next.ItemsCount() + inBatch
	list, err = current.MergeSplit(context.Background(), 1, exporterhelper.RequestSizerTypeBytes, next)
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	for i, r := range list {
		for _, b := range r.(*request).all(t) {
			if i > 0 && b < 1000 {
				t.Fatalf("row %d of the batch is in request %d of %d", b, i, len(list))
			}
			got++
		}
	}
	if got != total {
		t.Errorf("%d rows, want %d", got, total)
	}
	return len(list) - 1
}

// all are the numbers of all rows of a request, which is closed by that.
func (r *request) all(t *testing.T) (all []int) {
	t.Helper()
	r.closeAll()
	for _, b := range r.closed {
		texts, err := b.rows()
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			var row struct{ N int }
			if err := json.Unmarshal(text, &row); err != nil {
				t.Fatal(err)
			}
			all = append(all, row.N)
		}
	}
	return all
}

func TestARequestIsStoredAndRead(t *testing.T) {
	e := testExporter(t)
	for _, to := range []destination{{}, {dcr: ruleTwo}, {stream: "Microsoft-Syslog"}, {ruleTwo, tableX}} {
		r := numbered(e, 0, 50, 100, rand.New(rand.NewPCG(1, 1)))
		r.to = to
		stored, err := e.Marshal(context.Background(), r)
		if err != nil {
			t.Fatal(err)
		}
		_, read, err := e.Unmarshal(stored)
		if err != nil {
			t.Fatal(err)
		}
		got := read.(*request)
		if !got.rows.borrowed {
			t.Error("the memory of a storage is taken for our own")
		}
		got.rows.borrowed = false
		if got.to != to || !reflect.DeepEqual(got.rows, r.rows) || got.BytesSize() != r.BytesSize() {
			t.Errorf("%v: another request", to)
		}
		for n := range stored {
			if _, _, err := e.Unmarshal(stored[:n]); err == nil {
				t.Fatalf("%d bytes of %d are read as a whole", n, len(stored))
			}
		}
	}
}

func FuzzStored(f *testing.F) {
	e := testExporter(f)
	stored, err := e.Marshal(context.Background(), numbered(e, 0, 3, 10, rand.New(rand.NewPCG(1, 1))))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(stored)
	f.Fuzz(func(t *testing.T, stored []byte) {
		_, all, err := readRequest(stored)
		if err != nil {
			return
		}
		size := 0
		for _, row := range all.all() {
			size += len(row)
		}
		if size != len(all.data) {
			t.Errorf("%d bytes of %d", size, len(all.data))
		}
	})
}

func TestTheOriginalTimeIsKeptWhenAzureWouldReplaceIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for age, kept := range map[time.Duration]bool{
			0: false, 46 * time.Hour: false, 49 * time.Hour: true, 90 * 24 * time.Hour: true, -22 * time.Hour: false, -25 * time.Hour: true,
		} {
			at := time.Now().Add(-age)
			e := testExporter(t)
			r := e.request(destination{})
			newEncoder(newPlan(e.config)).encode(&r.rows, records(1, func(_ int, r plog.LogRecord) {
				r.SetTimestamp(timestamp(at))
				r.Attributes().PutStr("OriginalTime", "not this")
			}), at)
			r.closeAll()
			row := decoded(t, string(bytes.Trim(unpack(t, r.closed[0]), "[]")))
			if original := row["OriginalTime"]; (original != nil) != kept || kept && original != row["TimeGenerated"] {
				t.Errorf("%v: %v", age, row)
			}
			again := e.request(destination{})
			texts, err := r.closed[0].rows()
			if err != nil {
				t.Fatal(err)
			}
			again.rows.data = append(again.rows.data, texts[0]...)
			again.rows.append(at)
			again.closeAll()
			if got, want := string(unpack(t, again.closed[0])), string(unpack(t, r.closed[0])); got != want {
				t.Errorf("%v: the second time %s", age, got)
			}
		}
	})
}

func TestANarrowStreamGetsABodyForEachHalfHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := testExporter(t)
		e.stream(destination{}).setNarrow()
		r := e.request(destination{})
		now := time.Now().Truncate(30 * time.Minute)
		for i := range 100 {
			r.rows.data = append(r.rows.data, `{"n":`+strconv.Itoa(i)+`}`...)
			r.rows.append(now.Add(-time.Duration(i%4) * 20 * time.Minute)) // three windows
		}
		r.closeAll()
		if len(r.closed) != 3 || len(numbers(t, r.closed)) != 100 {
			t.Fatalf("%d bodies with %d rows", len(r.closed), len(numbers(t, r.closed)))
		}
		for _, b := range r.closed {
			for _, at := range b.at {
				if d := time.Duration(at - b.at[0]).Abs(); d > 30*time.Minute {
					t.Errorf("%v apart", d)
				}
			}
		}
	})
}

func TestRowsThatGetTheTimeOfTheirReceiptGoTogether(t *testing.T) {
	e := testExporter(t)
	e.stream(destination{}).setNarrow()
	r := e.request(destination{})
	for i := range 50 {
		r.rows.data = append(r.rows.data, `{"TimeGenerated":"x","n":`+strconv.Itoa(i)+`}`...)
		r.rows.append(time.Now().Add(-time.Duration(3+i) * 24 * time.Hour))
	}
	r.closeAll()
	if len(r.closed) != 1 {
		t.Errorf("%d bodies", len(r.closed))
	}
}

func TestManyHalfHoursDoNotKeepManyBodiesOpen(t *testing.T) {
	e := testExporter(t)
	e.stream(destination{}).setNarrow()
	r := e.request(destination{})
	for i := range 100 {
		r.rows.data = append(r.rows.data, `{"n":`+strconv.Itoa(i)+`}`...)
		r.rows.append(time.Now().Add(-time.Duration(i%40) * time.Hour))
	}
	r.pack(&r.rows)
	if len(r.open) > maxOpen {
		t.Errorf("%d open bodies", len(r.open))
	}
	r.closeAll()
	if n := len(numbers(t, r.closed)); n != 100 {
		t.Errorf("%d rows", n)
	}
}

func TestClosedBodiesWaitTogetherWhileTheStreamTakesNothing(t *testing.T) {
	e := testExporter(t, func(c *Config) { c.MaxRequestBytes = leastRequestBytes })
	random := rand.New(rand.NewPCG(3, 3))
	count := func() (requests, bodies int) {
		list, err := numbered(e, 0, 200, 400, random).MergeSplit(context.Background(), 1, exporterhelper.RequestSizerTypeBytes, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			bodies += len(r.(*request).closed)
		}
		return len(list), bodies
	}
	if requests, bodies := count(); requests != bodies+1 {
		t.Errorf("open: %d requests for %d bodies", requests, bodies)
	}
	e.stream(destination{}).rule.close(time.Minute)
	if requests, bodies := count(); requests > bodies/maxParked+1 {
		t.Errorf("closed: %d requests for %d bodies", requests, bodies)
	}
}

func TestOnlyWhatIsLostIsReported(t *testing.T) {
	core, logs := observer.New(zap.ErrorLevel)
	e := testExporter(t)
	e.set.Logger = zap.New(core)
	for _, stored := range []string{"", "another format"} {
		if _, _, err := e.Unmarshal([]byte(stored)); err == nil {
			t.Errorf("%q is read", stored)
		}
	}
	if logs.Len() != 1 {
		t.Errorf("%d entries in the log", logs.Len())
	}
}
