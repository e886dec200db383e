package awscloudwatchmetricsreceiver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go/encoding/cbor"
)

// theirs is a page by way of the SDK's decoder.
func theirs(body []byte) (page, error) {
	value, err := cbor.Decode(body)
	if err != nil {
		return page{}, err
	}
	fields, ok := value.(cbor.Map)
	if !ok {
		return page{}, errNotMap
	}
	p := page{Next: textOf(fields["NextToken"])}
	eachMap(fields["MetricDataResults"], func(m cbor.Map) {
		p.Results = append(p.Results, result{
			textOf(m["Id"]), textOf(m["StatusCode"]), pointsOf(numbersOf(m["Timestamps"], timeOf), numbersOf(m["Values"], numberOf)),
		})
	})
	eachMap(fields["Metrics"], func(m cbor.Map) {
		f := found{Name: textOf(m["MetricName"])}
		eachMap(m["Dimensions"], func(d cbor.Map) {
			f.Dimensions = append(f.Dimensions, dimension{textOf(d["Name"]), textOf(d["Value"])})
		})
		p.Metrics = append(p.Metrics, f)
	})
	eachMap(fields["Datapoints"], func(m cbor.Map) {
		p.Datapoints = append(p.Datapoints, datapoint{
			timeOf(m["Timestamp"]), numberOf(m[statAverage]), numberOf(m[statSum]), numberOf(m[statMin]), numberOf(m[statMax]), numberOf(m[statSampleCnt]),
		})
	})
	return p, nil
}

func textOf(v cbor.Value) string {
	s, _ := v.(cbor.String)
	return string(s)
}

func eachMap(v cbor.Value, f func(cbor.Map)) {
	list, _ := v.(cbor.List)
	for _, item := range list {
		if m, ok := item.(cbor.Map); ok {
			f(m)
		}
	}
}

func numbersOf(v cbor.Value, of func(cbor.Value) number) []number {
	list, _ := v.(cbor.List)
	var out []number
	for _, item := range list {
		out = append(out, of(item))
	}
	return out
}

func timeOf(v cbor.Value) number {
	if tag, ok := v.(*cbor.Tag); ok && tag.ID == 1 {
		return numberOf(tag.Value)
	}
	return number{}
}

func numberOf(v cbor.Value) number {
	value := math.NaN()
	switch n := v.(type) {
	case cbor.Float64:
		value = float64(n)
	case cbor.Float32:
		value = float64(n)
	case cbor.Uint:
		value = float64(n)
	case cbor.NegInt:
		if n != 0 { // -2^64, of which theirs makes 0
			value = -float64(n)
		}
	}
	return known(value)
}

// same compares to the last bit, and takes an empty list for none.
func same(a, b page) bool { return fmt.Sprint(bitsOf(a)) == fmt.Sprint(bitsOf(b)) }

// bitsOf has the bits of all numbers that are known: 0 and -0 are equal otherwise.
func bitsOf(p page) []any {
	out := []any{p.Next, p.Metrics}
	for _, r := range p.Results {
		out = append(out, r.ID, r.Status)
		for _, p := range r.Points {
			out = append(out, p.At, math.Float64bits(p.Value))
		}
	}
	for _, d := range p.Datapoints {
		for _, n := range []number{d.Time, d.Average, d.Sum, d.Minimum, d.Maximum, d.SampleCount} {
			out = append(out, cleaned(n))
		}
	}
	return out
}

// cleaned is a number by its bits, of which an unknown one has none.
func cleaned(n number) string {
	if !n.Known {
		return "unknown"
	}
	return strconv.FormatUint(math.Float64bits(n.Value), 16)
}

// compare holds our reading of an answer against the SDK's.
func compare(t *testing.T, body []byte) {
	t.Helper()
	got, err := rpcCBOR{}.page(body)
	want, theirErr := theirs(body)
	switch {
	case err != nil && theirErr == nil && hugeLength(body):
		return // theirs takes a list of 2^63 items and more for an empty one
	case (err == nil) != (theirErr == nil):
		t.Fatalf("%x: got %v, the SDK %v", body, err, theirErr)
	case errors.Is(theirErr, errNotMap) != errors.Is(err, errNotMap) && theirErr != nil && errors.Is(theirErr, errNotMap):
		t.Fatalf("%x: got %v, the SDK %v", body, err, theirErr)
	case err == nil && !same(got, want):
		t.Fatalf("%x:\ngot  %+v\nwant %+v", body, got, want)
	}
	out := make([]reading, 2)
	addResults(out, got.Results)
	for _, r := range append(out, statisticsOf([]series{{Stat: statSum}}, got.Datapoints)...) {
		for _, p := range r.Points {
			if p.At < 0 || p.At > math.MaxUint32 || math.IsNaN(p.Value) {
				t.Errorf("%x: %v is no point", body, p)
			}
		}
	}
}

func hugeLength(body []byte) bool {
	for i, b := range body {
		if (b == 0x9b || b == 0xbb) && i+1 < len(body) && body[i+1]>>7 == 1 {
			return true
		}
	}
	return false
}

// FuzzCBOR is the judgement of the SDK's decoder: the same values, or both an error.
func FuzzCBOR(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		f.Add(cbor.Encode(anyAnswer(random)))
	}
	for _, name := range []string{opMetricData, opListMetrics, opMetricStatistics} {
		_, _, body := recordedAnswer(f, name+".response")
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) { compare(t, body) })
}

// TestAnswersAreReadAsTheSDKReadsThem tries what a fuzzer would need long for: answers with
// the right names and wrong kinds, whole and damaged, with lengths and without.
func TestAnswersAreReadAsTheSDKReadsThem(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		body := loosened(random, cbor.Encode(anyAnswer(random)))
		compare(t, body)
		for range random.IntN(3) {
			body[random.IntN(len(body))] = byte(random.Uint32())
		}
		compare(t, body[:len(body)-random.IntN(2)*random.IntN(len(body))])
	}
}

// anyAnswer has all members, most of them of the right kind.
func anyAnswer(r *rand.Rand) cbor.Value {
	list := func(item func() cbor.Value) cbor.Value {
		out := cbor.List{}
		for range r.IntN(4) {
			out = append(out, item())
		}
		return odd(r, out)
	}
	text := func(all ...string) cbor.Value { return odd(r, cbor.String(all[r.IntN(len(all))])) }
	value := func() cbor.Value { return anyNumber(r) }
	at := func() cbor.Value { return odd(r, &cbor.Tag{ID: uint64(1 + r.IntN(8)/7), Value: anyNumber(r)}) }
	return odd(r, cbor.Map{
		"NextToken": text("", "more"), "Messages": list(func() cbor.Value { return odd(r, cbor.Map{"Code": text("a")}) }),
		"MetricDataResults": list(func() cbor.Value {
			return odd(r, cbor.Map{"Id": text("q0", "q1", "x"), "Label": text("CPU"), "StatusCode": text("Complete", "PartialData"), "Timestamps": list(at), "Values": list(value)})
		}),
		"Metrics": list(func() cbor.Value {
			return odd(r, cbor.Map{"Namespace": text("AWS/EC2"), "MetricName": text("CPU"), "Dimensions": list(func() cbor.Value {
				return odd(r, cbor.Map{"Name": text("InstanceId"), "Value": text("i-1", "i-2")})
			})})
		}),
		"Datapoints": list(func() cbor.Value {
			return odd(r, cbor.Map{"Timestamp": at(), "Sum": value(), "Average": value(), "Minimum": value(), "Unit": text("Bytes"), "SampleCount": value(), "Maximum": value()})
		}),
	})
}

// odd is now and then of another kind.
func odd(r *rand.Rand, v cbor.Value) cbor.Value {
	if r.IntN(40) > 0 {
		return v
	}
	all := []cbor.Value{&cbor.Nil{}, &cbor.Undefined{}, cbor.Bool(true), cbor.String("text"), cbor.Slice("bytes"), cbor.List{v}, cbor.Map{"of": v}, &cbor.Tag{ID: 1, Value: v}, anyNumber(r)}
	return all[r.IntN(len(all))]
}

func anyNumber(r *rand.Rand) cbor.Value {
	all := []cbor.Value{
		cbor.Float64(r.NormFloat64() * 1e9), cbor.Float64(math.Float64frombits(r.Uint64())), cbor.Float32(math.Float32frombits(r.Uint32())), cbor.Float64(math.NaN()),
		cbor.Uint(r.Uint64() >> r.IntN(64)), cbor.NegInt(1 + r.Uint64()>>(1+r.IntN(63))), cbor.Float64(1.7e9 + float64(r.IntN(1e6))), cbor.Float64(math.Copysign(0, -1)), cbor.Float64(5e-324),
	}
	return odd(r, all[r.IntN(len(all))])
}

// loosened gives some lists, maps and texts no length but an end. Where the guess of what is
// a head is wrong, the answer is damaged, which is as good.
func loosened(r *rand.Rand, body []byte) []byte {
	if r.IntN(2) == 0 {
		return body
	}
	for i, b := range body {
		if b == 0x80 || b == 0xa0 || b == 0x60 { // empty ones
			return append(append(append([]byte{}, body[:i]...), b|31, 0xff), body[i+1:]...)
		}
	}
	return append(append([]byte{body[0] | 31}, body[1:]...), 0xff)
}

func TestFloatsOfTwoBytesAreThoseOfTheSDK(t *testing.T) {
	for bits := range 1 << 16 {
		body := []byte{0xf9, byte(bits >> 8), byte(bits)}
		value, err := cbor.Decode(body)
		must(t, err)
		r := &cborReader{rest: body}
		if got, want := cleaned(r.number()), cleaned(numberOf(value)); got != want || r.err != nil {
			t.Fatalf("%x: got %v, want %v, %v", body, got, want, r.err)
		}
	}
}

func TestWhatHasNoLengthIsReadToItsEnd(t *testing.T) {
	text := func(s string) string { return string(cbor.Encode(cbor.String(s))) }
	body := "\xbf" + text("MetricDataResults") + "\x9f\xbf" + text("Id") + "\x7f" + text("q") + text("1") + "\xff" + text("Timestamps") + "\x9f\xc1\x19\x01\x2c\xc1\x19\x02\x58\xff" +
		text("Values") + "\x9f\x01\x20\xff" + text("Label") + "\x5f\x41a\x41b\xff\xff\xff\xff"
	compare(t, []byte(body))
	p, err := rpcCBOR{}.page([]byte(body))
	must(t, err)
	want := result{ID: "q1", Points: []point{{300, 1}, {600, -1}}}
	if len(p.Results) != 1 || !reflect.DeepEqual(p.Results[0], want) {
		t.Errorf("got %+v, want %+v", p.Results, want)
	}
}

func TestAnAnswerThatIsNestedTooDeepIsRefused(t *testing.T) {
	for _, kind := range []byte{0x81, 0xc2} {
		for n := deepest - 3; n <= deepest; n++ {
			compare(t, append(append([]byte("\xa1\x61x"), bytes.Repeat([]byte{kind}, n)...), 1))
		}
	}
	for _, kind := range []byte{0x81, 0x9f, 0xc2} {
		body := append([]byte("\xa1\x61x"), bytes.Repeat([]byte{kind}, 200_000)...)
		if _, err := (rpcCBOR{}).page(append(body, 1)); !errors.Is(err, errNested) {
			t.Errorf("%x: %v", kind, err)
		}
	}
}

// TestBothProtocolsSayTheSame: what is written in both is read as the same.
func TestBothProtocolsSayTheSame(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		in := cbor.Map{"NextToken": cbor.String("more"), "Metrics": cbor.List{cbor.Map{"MetricName": cbor.String("CPU"), "Dimensions": cbor.List{cbor.Map{"Name": cbor.String("a"), "Value": cbor.String("é\"")}}}}}
		times, values := cbor.List{}, cbor.List{}
		for i := range random.IntN(20) {
			times = append(times, &cbor.Tag{ID: 1, Value: cbor.Float64(300 * i)})
			values = append(values, cbor.Float64(finite(random)))
		}
		in["MetricDataResults"] = cbor.List{cbor.Map{"Id": cbor.String("q0"), "StatusCode": cbor.String("Complete"), "Timestamps": times, "Values": values}}
		in["Datapoints"] = cbor.List{cbor.Map{"Timestamp": &cbor.Tag{ID: 1, Value: cbor.Uint(300)}, "Sum": cbor.Float64(finite(random)), "Unit": cbor.String("Bytes")}}
		text, err := json.Marshal(plain(in))
		must(t, err)
		a, err := rpcCBOR{}.page(cbor.Encode(in))
		must(t, err)
		b, err := awsJSON{}.page(text)
		must(t, err)
		if !same(a, b) {
			t.Fatalf("%s:\n%+v\n%+v", text, a, b)
		}
	}
}

// plain is CBOR as encoding/json wants it.
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

// TestRequestsAreTheSameInBothProtocols: what the SDK's decoder makes of one is the other.
func TestRequestsAreTheSameInBothProtocols(t *testing.T) {
	long := strings.Repeat("é", 40_000)
	e := &entity{Namespace: "AWS/EC2", Dimensions: []dimension{{"InstanceId", "i-1"}, {"B", long[:200]}}}
	var b batch
	for i := range 300 {
		b.Series = append(b.Series, e.series("CPU"+strconv.Itoa(i), statAverage, time.Minute))
	}
	b.Start, b.End = time.Unix(1_700_000_000, 0), time.Unix(1_700_003_600, 0)
	data := &dataRequest{MetricDataQueries: queriesOf(b, time.Minute), StartTime: epochOf(b.Start), EndTime: epochOf(b.End), ScanBy: "x", MaxDatapoints: maxPoints}
	list := &listRequest{metricRequest: metricRequest{Namespace: "N"}}
	for name, of := range map[string]request{
		"data": data, "list": list, "more of a list": &listRequest{metricRequest{"N", long, []dimension{{Name: "any"}}}, "PT3H", "more"},
		"statistics": &statisticsRequest{metricRequest{"N", "M", e.Dimensions}, 1, 2, 60, []string{statSum, statMax}},
	} {
		for _, token := range []string{"", "next"} {
			of.turn(token)
			binary, err := rpcCBOR{}.message("Op", of)
			must(t, err)
			tree, err := cbor.Decode(binary.Body)
			must(t, err)
			want, err := json.Marshal(plain(tree)) // sorts names
			must(t, err)
			text, err := awsJSON{}.message("Op", of)
			must(t, err)
			var fields map[string]any
			must(t, json.Unmarshal(text.Body, &fields))
			got, err := json.Marshal(fields)
			must(t, err)
			if !bytes.Equal(got, want) {
				t.Errorf("%s:\n%.300s\n%.300s", name, got, want)
			}
		}
	}
}

func finite(r *rand.Rand) float64 {
	for {
		if v := math.Float64frombits(r.Uint64()); !math.IsNaN(v) && !math.IsInf(v, 0) {
			return v
		}
	}
}

func TestNumbersOfJSONThatJSONDoesNotHave(t *testing.T) {
	p, err := awsJSON{}.page([]byte(`{"Datapoints":[{"Timestamp":300,"Sum":"NaN","Average":null,"Minimum":"-Infinity","Maximum":"Infinity","SampleCount":"5"}]}`))
	must(t, err)
	want := datapoint{Time: number{300, true}, Minimum: number{math.Inf(-1), true}, Maximum: number{math.Inf(1), true}}
	if len(p.Datapoints) != 1 || p.Datapoints[0] != want {
		t.Errorf("got %+v, want %+v", p.Datapoints, want)
	}
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"MetricDataResults":[{"Id":"q0","Timestamps":[300,6e2],"Values":[1,-2.5e-3],"StatusCode":"Complete"}],"NextToken":null}`))
	f.Add([]byte(`{"Datapoints":[{"Timestamp":1795290900,"Sum":15.0,"Average":"NaN"}]}`))
	f.Add([]byte(`{"Metrics":[{"MetricName":"a","Dimensions":[{"Name":"b","Value":"c"}]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := awsJSON{}.page(body)
		if err != nil && !reflect.DeepEqual(p, page{}) {
			t.Errorf("%v with %+v", err, p)
		}
		out := make([]reading, 2)
		addResults(out, p.Results)
		for _, r := range append(out, statisticsOf([]series{{Stat: statSum}}, p.Datapoints)...) {
			for _, p := range r.Points {
				if p.At < 0 || p.At > math.MaxUint32 || math.IsNaN(p.Value) {
					t.Errorf("%v is no point", p)
				}
			}
		}
	})
}
