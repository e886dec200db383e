package azurelogsingestionexporter

import (
	"bytes"
	"compress/gzip"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// unpack reads a body with the gzip of the standard library, not with that which wrote it.
func unpack(t *testing.T, b *body) []byte {
	t.Helper()
	reader, err := gzip.NewReader(bytes.NewReader(b.wire))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	if len(raw) != b.raw {
		t.Fatalf("%d bytes, said to be %d", len(raw), b.raw)
	}
	return raw
}

// kind makes rows of one kind, without end.
type kind struct {
	name string
	fill float64 // of the bodies that are full, at least
	next func(r *rand.Rand) []byte
}

func quoted(text []byte) []byte { return append(append([]byte(`{"x":"`), text...), '"', '}') }

func newRandom() *rand.Rand { return rand.New(rand.NewPCG(42, 42)) }

func printableBytes(r *rand.Rand, n int) []byte {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	b := make([]byte, n)
	for i := 0; i < n; {
		for bits, k := r.Uint64(), 0; k < 10 && i < n; k, i = k+1, i+1 {
			b[i], bits = digits[bits&63], bits>>6
		}
	}
	return b
}

func kinds() []kind {
	words := strings.Fields("the quick brown fox jumps over a lazy dog while GET POST 200 404 error user=root path=/var/log/syslog")
	sentence := func(r *rand.Rand, n int) []byte {
		var b []byte
		for len(b) < n {
			b = append(append(b, words[r.IntN(len(words))]...), ' ')
		}
		return b
	}
	return []kind{
		{"words", 0.97, func(r *rand.Rand) []byte { return quoted(sentence(r, 100+r.IntN(600))) }},
		{"the same again and again", 0.97, func(*rand.Rand) []byte { return quoted(bytes.Repeat([]byte("0"), 4000)) }},
		{"random text", 0.97, func(r *rand.Rand) []byte { return quoted(printableBytes(r, 200+r.IntN(800))) }},
		{"unicode", 0.97, func(r *rand.Rand) []byte {
			return quoted([]byte(strings.Repeat(string([]rune{rune(0x4e00 + r.IntN(5000)), 'ä', rune(0x1f600 + r.IntN(60))}), 30)))
		}},
		{"64 KB rows", 0.93, func(r *rand.Rand) []byte { return quoted(sentence(r, 60_000)) }},
		{"900 KB rows of words", 0.85, func(r *rand.Rand) []byte { return quoted(sentence(r, 900_000)) }},
		{"900 KB rows of random text", 0.6, func(r *rand.Rand) []byte { return quoted(printableBytes(r, 900_000)) }},
		{"large and small", 0.9, func(r *rand.Rand) []byte {
			if r.IntN(200) == 0 {
				return quoted(printableBytes(r, 100_000))
			}
			return quoted(sentence(r, 300))
		}},
	}
}

// TestNoBodyIsLongerThanItMayBe fills bodies with rows of all kinds. With KEYLESS_SLOW=1
// it fills 100,000, most of which have a limit that is lower: a proof for the limit of
// 1 MiB alone would take hours.
func TestNoBodyIsLongerThanItMayBe(t *testing.T) {
	slow := os.Getenv("KEYLESS_SLOW") == "1"
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			full, small := 3, 50
			if slow {
				full, small = 100, 12_350
			}
			f := filling{t: t, kind: k, random: rand.New(rand.NewPCG(7, 7)), packers: &packers{level: 2}}
			f.run(full, serviceRequestBytes)
			f.run(small, 16<<10)
			f.run(50, leastRequestBytes)
			t.Logf("%d bodies, mean fill of those with 1 MiB %.2f %%", f.bodies, 100*f.mean)
			if f.mean < k.fill {
				t.Errorf("mean fill %.2f %%, want %.0f %%", 100*f.mean, 100*k.fill)
			}
		})
	}
}

type filling struct {
	t       *testing.T
	kind    kind
	random  *rand.Rand
	packers *packers
	bodies  int
	mean    float64
}

// run fills n bodies. A row that fits into no body is passed over.
func (f *filling) run(n, limit int) {
	sum := 0.0
	row := f.kind.next(f.random)
	for i := range n {
		p := f.packers.get(limit, serviceRawBytes)
		var rows [][]byte
		for p.add("", row, 1) {
			rows = append(rows, row)
			row = f.kind.next(f.random)
		}
		if len(rows) == 0 {
			row = f.kind.next(f.random)
		}
		raw := p.raw
		b := f.packers.seal(p, whenFull)
		if len(b.wire) > limit || b.raw > serviceRawBytes {
			f.t.Fatalf("body %d has %d bytes of %d", i, len(b.wire), limit)
		}
		if i%50 == 0 && len(rows) > 0 {
			if got, want := unpack(f.t, b), "["+string(bytes.Join(rows, []byte(",\n")))+"]"; string(got) != want || raw+1 != len(want) {
				f.t.Fatalf("body %d has not the rows that went in", i)
			}
		}
		f.bodies++
		sum += max(float64(len(b.wire))/float64(limit), float64(b.raw)/serviceRawBytes)
	}
	if limit == serviceRequestBytes {
		f.mean = sum / float64(n)
	}
}

func TestNoLevelMakesABodyTooLong(t *testing.T) {
	for level := 1; level <= 9; level++ {
		for _, k := range kinds()[:4] {
			f := filling{t: t, kind: k, random: rand.New(rand.NewPCG(3, 3)), packers: &packers{level: level}}
			f.run(20, 16<<10)
		}
	}
}

func TestABodyEndsWithItsRawSizeToo(t *testing.T) {
	p := (&packers{level: 2}).get(serviceRequestBytes, 10_000)
	row := quoted(bytes.Repeat([]byte("x"), 990))
	n := 0
	for p.add("", row, 1) {
		n++
	}
	if n != 10 || p.raw+1 > 10_000 {
		t.Errorf("%d rows, %d bytes", n, p.raw)
	}
}

func TestARowThatFitsNowhereIsRefusedAndLeavesNoTrace(t *testing.T) {
	made := &packers{level: 2}
	p := made.get(100_000, serviceRawBytes)
	random := rand.New(rand.NewPCG(1, 1))
	if p.add("", quoted(printableBytes(random, 200_000)), 1) {
		t.Fatal("it was taken")
	}
	if !p.add("", []byte(`{"a":1}`), 1) {
		t.Fatal("a short one was not")
	}
	if got := string(unpack(t, made.seal(p, whenFull))); got != `[{"a":1}]` {
		t.Errorf("%.100s", got)
	}
}
