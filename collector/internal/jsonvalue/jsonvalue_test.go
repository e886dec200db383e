package jsonvalue

import (
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

func TestValuesAreWhatIsWritten(t *testing.T) {
	fields, err := Object([]byte(`{"s":"ä","n":9007199254740993,"x":1.5,"big":1e999,"ok":true,"none":null,"list":["a",{"b":2}]}`))
	if err != nil {
		t.Fatal(err)
	}
	got := pcommon.NewMap()
	SetMap(got, fields)
	for name, want := range map[string]pcommon.ValueType{
		"s": pcommon.ValueTypeStr, "n": pcommon.ValueTypeInt, "x": pcommon.ValueTypeDouble, "big": pcommon.ValueTypeStr,
		"ok": pcommon.ValueTypeBool, "none": pcommon.ValueTypeEmpty, "list": pcommon.ValueTypeSlice,
	} {
		if value, ok := got.Get(name); !ok || value.Type() != want {
			t.Errorf("%s: got %s, want %s", name, value.Type(), want)
		}
	}
	n, _ := got.Get("n")
	list, _ := got.Get("list")
	if n.Int() != 9007199254740993 || list.AsString() != `["a",{"b":2}]` {
		t.Errorf("got %d, %s", n.Int(), list.AsString())
	}
}

func TestWhatIsNoObjectIsRefusedWithoutBeingQuoted(t *testing.T) {
	for _, text := range []string{"", "secret", `{"secret":`, `["secret"]`, "null", `"secret"`, `{} secret`, `{}{}`} {
		if _, err := Object([]byte(text)); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v", text, err)
		}
	}
}
