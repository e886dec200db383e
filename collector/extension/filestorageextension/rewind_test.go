package filestorageextension

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// state is what a queue of exporterhelper writes down.
func state(items, read, write uint64, dispatched ...uint64) []byte {
	var packed []byte
	for _, index := range dispatched {
		packed = protowire.AppendFixed64(packed, index)
	}
	message := appendNumber(nil, 1, items)
	message = appendNumber(message, 3, read)
	message = appendNumber(message, 4, write)
	if len(packed) > 0 {
		message = protowire.AppendBytes(protowire.AppendTag(message, 5, protowire.BytesType), packed)
	}
	return message
}

func appendNumber(message []byte, number protowire.Number, value uint64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(message, number, protowire.Fixed64Type), value)
}

func numbers(t *testing.T, message []byte) map[protowire.Number][]uint64 {
	t.Helper()
	all, ok := fields(message)
	if !ok {
		t.Fatalf("%x is no message", message)
	}
	got := map[protowire.Number][]uint64{}
	for _, f := range all {
		got[f.number] = append(got[f.number], f.fixed64s()...)
	}
	return got
}

func TestAQueueReadsOnAtTheFirstRequestThatWasOnItsWay(t *testing.T) {
	got := numbers(t, rewound(state(70, 9, 12, 7, 3, 5)))
	if got[1][0] != 70 || got[4][0] != 12 || len(got[3]) != 1 || got[3][0] != 3 || len(got[5]) != 0 {
		t.Errorf("%v", got)
	}
}

func TestAnUnpackedListIsReadAsWell(t *testing.T) {
	message := appendNumber(appendNumber(state(1, 9, 12), 5, 8), 5, 4)
	if got := numbers(t, rewound(message)); len(got[3]) != 1 || got[3][0] != 4 {
		t.Errorf("%v", got)
	}
}

func TestWhatIsNoStateOfAQueueIsLeftAlone(t *testing.T) {
	for name, message := range map[string][]byte{
		"empty": nil, "nothing on its way": state(70, 9, 12), "no message": []byte("\xff\xff\xff"), "a list of other numbers": {5<<3 | 2, 3, 1, 2, 3},
	} {
		if got := rewound(message); !bytes.Equal(got, message) {
			t.Errorf("%s: %x became %x", name, message, got)
		}
	}
}

func FuzzRewound(f *testing.F) {
	f.Add(state(70, 9, 12, 7, 3, 5))
	f.Fuzz(func(t *testing.T, message []byte) {
		again := rewound(rewound(message))
		if once := rewound(message); !bytes.Equal(once, again) {
			t.Errorf("%x: %x, and then %x", message, once, again)
		}
	})
}
