package lumberjackreceiver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zlib"
)

func windowFrame(events uint32) string { return "2W" + number(events) }

func eventFrame(seq uint32, event string) string {
	return "2J" + number(seq) + number(uint32(len(event))) + event
}

func compressedFrame(frames ...string) string {
	var packed bytes.Buffer
	w := zlib.NewWriter(&packed)
	_, _ = io.WriteString(w, strings.Join(frames, ""))
	_ = w.Close()
	return "2C" + number(uint32(packed.Len())) + packed.String()
}

func number(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }

// readAll is what a stream holds, up to the error that ends it.
func readAll(stream string, maxEvent, maxWindow int64) (events []string, err error) {
	f := newFrames(strings.NewReader(stream), maxEvent, maxWindow)
	for {
		head, err := f.next()
		if err != nil {
			return events, err
		}
		if head.code != codeEvent {
			continue
		}
		event, err := f.payload(nil, head.size)
		if err != nil {
			return events, err
		}
		events = append(events, string(event))
	}
}

func TestEventsAreReadInAndOutsideOfCompressedFrames(t *testing.T) {
	stream := windowFrame(4) + eventFrame(1, "a") + compressedFrame(eventFrame(2, "b"), eventFrame(3, "")) +
		compressedFrame() + eventFrame(4, "d") + windowFrame(0) + windowFrame(1) + compressedFrame(eventFrame(1, "e"))
	got, err := readAll(stream, 10, 1000)
	if want := "a|b||d|e"; strings.Join(got, "|") != want || !errors.Is(err, io.EOF) {
		t.Errorf("got %q, %v, want %s and EOF", got, err, want)
	}
}

func TestABombIsNotRead(t *testing.T) {
	// A megabyte of zeros is a kilobyte of zlib.
	zeros := strings.Repeat("\x00", 1<<20)
	for name, c := range map[string]struct {
		stream string
		events int
	}{
		"one event beyond its bound":               {windowFrame(1) + eventFrame(1, zeros+"0"), 0},
		"one event, compressed":                    {windowFrame(1) + compressedFrame(eventFrame(1, zeros+"0")), 0},
		"many events in one compressed frame":      {windowFrame(5) + compressedFrame(strings.Repeat(eventFrame(1, zeros), 5)), 3},
		"many compressed frames in one window":     {windowFrame(5) + strings.Repeat(compressedFrame(eventFrame(1, zeros)), 5), 3},
		"a length that nobody will send":           {windowFrame(1) + "2J" + number(1) + number(1<<32-1), 0},
		"a compressed length that nobody can send": {windowFrame(1) + "2C" + number(1<<32-1), 0},
	} {
		events, err := readAll(c.stream, 1<<20, 4<<20)
		if !errors.Is(err, errSize) || len(events) != c.events {
			t.Errorf("%s: got %d events and %v, want %d and %v", name, len(events), err, c.events, errSize)
		}
	}
	// Its twin: as much as is allowed.
	events, err := readAll(windowFrame(3)+compressedFrame(strings.Repeat(eventFrame(1, zeros), 3)), 1<<20, 4<<20)
	if len(events) != 3 || !errors.Is(err, io.EOF) {
		t.Errorf("got %d events, %v", len(events), err)
	}
}

func TestWhatIsNotLumberjackIsSaidToBeSo(t *testing.T) {
	garbled := []byte(compressedFrame(eventFrame(1, strings.Repeat("abc", 100))))
	garbled[len(garbled)-1] ^= 1
	for name, c := range map[string]struct{ stream, want string }{
		"HTTP":                        {"GET / HTTP/1.1", "version 0x47"},
		"TLS":                         {"\x16\x03\x01", "speaks TLS"},
		"version 3":                   {"3W" + number(1), "version 0x33"},
		"a frame of no kind":          {"2X" + number(1), "frame 'X'"},
		"an acknowledgement":          {"2A" + number(1), "frame 'A'"},
		"fields in version 2":         {"2D" + number(1), "frame 'D'"},
		"compressed twice":            {compressedFrame(compressedFrame(eventFrame(1, "a"))), "frame 'C'"},
		"a window, compressed":        {compressedFrame(windowFrame(1)), "frame 'W'"},
		"the number 0":                {windowFrame(1) + eventFrame(0, "a"), "number 0"},
		"no zlib":                     {"2C" + number(4) + "abcd", "zlib"},
		"a wrong checksum":            {string(garbled), "zlib"},
		"zlib cut off":                {"2C" + number(20) + compressedFrame(eventFrame(1, strings.Repeat("abc", 100)))[6:26], "ends within"},
		"an event cut off, in a zlib": {compressedFrame(eventFrame(1, "abc")[:12]), "ends within"},
	} {
		_, err := readAll(c.stream, 1000, 1000)
		if !errors.Is(err, errProtocol) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

func TestAnEndWithinAFrameIsNoCleanEnd(t *testing.T) {
	whole := windowFrame(2) + eventFrame(1, "abc") + compressedFrame(eventFrame(2, "def"))
	boundaries := map[int]bool{0: true, 6: true, 19: true, len(whole): true}
	for end := range len(whole) + 1 {
		_, err := readAll(whole[:end], 1000, 1000)
		want := io.ErrUnexpectedEOF
		if boundaries[end] {
			want = io.EOF
		}
		if !errors.Is(err, want) {
			t.Errorf("cut after %d bytes: got %v, want %v", end, err, want)
		}
	}
}

// FuzzFrames holds that nothing a peer can send makes the reader hand out more than it may,
// panic, or call an end clean that is none.
func FuzzFrames(f *testing.F) {
	for _, seed := range []string{
		"", "2", windowFrame(1) + eventFrame(1, `{"a":1}`), windowFrame(2) + compressedFrame(eventFrame(1, "a"), eventFrame(2, "b")),
		"2C" + number(4) + "abcd", "2J" + number(1) + number(1<<31), compressedFrame(compressedFrame()), "1W", "\x16\x03",
	} {
		f.Add([]byte(seed))
	}
	const maxEvent, maxWindow = 1 << 10, 1 << 14
	f.Fuzz(func(t *testing.T, stream []byte) {
		frames := newFrames(bytes.NewReader(stream), maxEvent, maxWindow)
		var buffer []byte
		for spent := 0; ; {
			head, err := frames.next()
			if err != nil {
				return
			}
			if head.code == codeWindow {
				spent = 0
				continue
			}
			if buffer, err = frames.payload(buffer, head.size); err != nil {
				return
			}
			if spent += len(buffer); len(buffer) > maxEvent || spent > maxWindow {
				t.Fatalf("an event of %d bytes, %d in the window", len(buffer), spent)
			}
		}
	})
}
