package lumberjackreceiver

import (
	"bytes"
	"compress/zlib"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// legacyWindow is a window as Logstash's output lumberjack writes it (github.com/elastic/ruby-lumberjack):
// version 1, all events in one compressed frame, of each the fields.
func legacyWindow(events ...map[string]string) string {
	var packed bytes.Buffer
	w := zlib.NewWriter(&packed)
	for i, event := range events {
		_, _ = io.WriteString(w, "1D"+number(uint32(i)+1)+number(uint32(len(event))))
		for key, value := range event {
			_, _ = io.WriteString(w, number(uint32(len(key)))+key+number(uint32(len(value)))+value)
		}
	}
	_ = w.Close()
	return "1W" + number(uint32(len(events))) + "1C" + number(uint32(packed.Len())) + packed.String()
}

func line(text string) map[string]string { return map[string]string{"line": text} }

// reply is what Logstash reads: one frame, which it takes for the acknowledgement of all.
func reply(t *testing.T, from io.Reader) string {
	t.Helper()
	var frame [6]byte
	if _, err := io.ReadFull(from, frame[:]); err != nil {
		return err.Error()
	}
	return string(frame[:])
}

func TestLogstashSendsItsEvents(t *testing.T) {
	p := &pipeline{}
	s := start(t, p, nil)
	sender, err := net.Dial("tcp", s.address())
	must(t, err)
	defer sender.Close()
	for range 2 {
		_, err = io.WriteString(sender, legacyWindow(line(`{"message":"a","@timestamp":"2026-01-01T00:00:00Z"}`), line("plain text"), map[string]string{"line": "b", "host": "h"}))
		must(t, err)
		if got := reply(t, sender); got != "1A"+number(3) {
			t.Fatalf("got %q", got)
		}
	}
	seen := p.seen()
	for _, want := range []string{`{"message":"a","@timestamp":"2026-01-01T00:00:00Z"}`, `{"line":"plain text"}`, `{"host":"h","line":"b"}`} {
		if seen[want] != 2 {
			t.Errorf("%s came %d times: %v", want, seen[want], seen)
		}
	}
}

// Whatever is answered before the window is passed on would be taken for its acknowledgement.
func TestLogstashHearsNothingBeforeItsWindowIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		sender, ended := serve(t, &pipeline{answer: func(int) error {
			time.Sleep(10 * time.Second)
			return nil
		}}, func(c *Config) { c.MaxBatchBytes = 3 * eventOverhead }) // two events a part
		_, err := io.WriteString(sender, legacyWindow(line("a"), line("b"), line("c"), line("d")))
		must(t, err)
		if got, took := reply(t, sender), time.Since(begin); got != "1A"+number(4) || took < 20*time.Second {
			t.Errorf("got %q after %s", got, took)
		}
		must(t, sender.Close())
		<-ended
	})
}

func TestLogstashSendsAgainWhatThePipelineDidNotTake(t *testing.T) {
	p := &pipeline{answer: func(n int) error {
		if n == 0 {
			return errors.New("the queue is full")
		}
		return nil
	}}
	s := start(t, p, nil)
	for _, want := range []string{"EOF", "1A" + number(1)} {
		sender, err := net.Dial("tcp", s.address())
		must(t, err)
		_, err = io.WriteString(sender, legacyWindow(line("a")))
		must(t, err)
		if got := reply(t, sender); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		must(t, sender.Close())
	}
	exactlyOnce(t, map[string]int{`{"n":0}`: p.seen()[`{"line":"a"}`]}, 1)
}

func TestFieldsAreBounded(t *testing.T) {
	long := strings.Repeat("x", 600)
	for name, c := range map[string]struct {
		stream string
		want   error
	}{
		"a long value":        {legacyWindow(line(long + long)), errSize},
		"many fields":         {"1W" + number(1) + "1D" + number(1) + number(maxFields+1), errSize},
		"a length nobody has": {"1W" + number(1) + "1D" + number(1) + number(1) + number(1<<31), errSize},
		"the number 0":        {"1W" + number(1) + "1D" + number(0) + number(1), errProtocol},
		"a window of fields":  {"2W" + number(1) + "2D" + number(1) + number(1), errProtocol},
		"an end in a field":   {"1W" + number(1) + "1D" + number(1) + number(1) + number(9) + "line", io.ErrUnexpectedEOF},
	} {
		if err := readFields(c.stream); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	if err := readFields(legacyWindow(line(long))); !errors.Is(err, io.EOF) {
		t.Errorf("as much as is allowed: %v", err)
	}
}

// readFields reads a stream of version 1 up to the error that ends it.
func readFields(stream string) error {
	f := newFrames(strings.NewReader(stream), 1000, 10_000)
	for {
		head, err := f.next()
		if err == nil && head.code == codeFields {
			_, err = f.fields(nil, head.count)
		}
		if err != nil {
			return err
		}
	}
}

func FuzzFields(f *testing.F) {
	f.Add(legacyWindow(line("{}"), map[string]string{"a": "\xff", "b": ""}))
	f.Fuzz(func(t *testing.T, stream string) {
		if err := readFields(stream); err == nil {
			t.Error("a stream without an end")
		}
	})
}
