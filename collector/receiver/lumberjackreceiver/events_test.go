package lumberjackreceiver

import (
	"encoding/json"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/keyless-id/keyless/collector/internal/jsonvalue"
)

const beatsEvent = `{"@timestamp":"2026-11-21T17:00:00.123Z","@metadata":{"beat":"filebeat","type":"_doc","version":"9.2.0"},` +
	`"message":"ä","n":9007199254740993,"x":1.5,"ok":true,"none":null,"tags":["a",2],"host":{"name":"web1"}}`

var observed = time.Date(2026, 11, 21, 18, 0, 0, 0, time.UTC)

func recordOf(mode Body, event string) (plog.LogRecord, bool) {
	record := plog.NewLogRecord()
	ok := mode.record(record, []byte(event), observed)
	return record, ok
}

func TestAnEventBecomesARecord(t *testing.T) {
	const beat = `"beat.name":"filebeat","beat.version":"9.2.0"`
	const fields = `"n":9007199254740993,"x":1.5,"ok":true,"none":null,"tags":["a",2],"host":{"name":"web1"}`
	for mode, want := range map[Body]struct{ body, attributes string }{
		BodyRaw:     {beatsEvent, `{` + beat + `}`},
		BodyMap:     {beatsEvent, `{` + beat + `}`},
		BodyMessage: {"ä", `{` + beat + `,` + fields + `}`},
	} {
		record, ok := recordOf(mode, beatsEvent)
		if !ok || record.Timestamp().AsTime() != time.Date(2026, 11, 21, 17, 0, 0, 123e6, time.UTC) || record.ObservedTimestamp().AsTime() != observed {
			t.Errorf("%s: %v, at %v, observed %v", mode, ok, record.Timestamp().AsTime(), record.ObservedTimestamp().AsTime())
		}
		sameJSON(t, string(mode)+" body", record.Body().AsString(), want.body)
		attributes, err := json.Marshal(record.Attributes().AsRaw())
		if err != nil {
			t.Fatal(err)
		}
		sameJSON(t, string(mode)+" attributes", string(attributes), want.attributes)
	}
}

// sameJSON compares texts, and what is JSON without the order of its fields.
func sameJSON(t *testing.T, what, got, want string) {
	t.Helper()
	normal := func(text string) string {
		fields, err := jsonvalue.Object([]byte(text))
		if err != nil {
			return text
		}
		ordered, _ := json.Marshal(fields)
		return string(ordered)
	}
	if normal(got) != normal(want) {
		t.Errorf("%s: got %s, want %s", what, got, want)
	}
}

func TestATimestampThatIsNotFirstIsFoundWhereEventsAreDecoded(t *testing.T) {
	const event = `{"message":"m","@timestamp":"2026-11-21T17:00:00Z"}`
	for mode, want := range map[Body]bool{BodyRaw: false, BodyMap: true, BodyMessage: true} {
		record, _ := recordOf(mode, event)
		if got := record.Timestamp() != 0; got != want {
			t.Errorf("%s: got %v, want %v", mode, got, want)
		}
	}
}

func TestWhatIsNoObjectIsKeptAsText(t *testing.T) {
	for _, event := range []string{"", "text", `{"a":`, `[1]`, "null", `"a"`, `{"@timestamp":7,`} {
		for _, mode := range []Body{BodyMap, BodyMessage} {
			record, ok := recordOf(mode, event)
			if ok || record.Body().Str() != event {
				t.Errorf("%s of %q: got %v, %q", mode, event, ok, record.Body().AsString())
			}
		}
	}
}

func TestABodyIsAlwaysUTF8(t *testing.T) {
	for event, want := range map[string]string{"a\xffb": "a\ufffdb", "ä": "ä"} {
		if record, _ := recordOf(BodyRaw, event); record.Body().Str() != want {
			t.Errorf("got %q, want %q", record.Body().Str(), want)
		}
	}
}

// FuzzRecord holds that every event becomes a record that OTLP can carry.
func FuzzRecord(f *testing.F) {
	for _, seed := range []string{beatsEvent, "", "null", `{"@timestamp":"x"}`, `{"a":[[[{}]]]}`, "\xff", `{"message":7}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, event []byte) {
		for _, mode := range []Body{BodyRaw, BodyMap, BodyMessage} {
			logs := plog.NewLogs()
			mode.record(logs.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty(), event, observed)
			wire, err := (&plog.ProtoMarshaler{}).MarshalLogs(logs)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(wire); err != nil {
				t.Fatal(err)
			}
		}
	})
}
