package trust

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"testing"
)

// plain is the node as encoding/json would have it.
func (n node) plain() any {
	switch n.kind {
	case kindString:
		return n.text
	case kindNumber:
		return json.Number(n.text)
	case kindBool:
		return n.text == "true"
	case kindArray:
		items := []any{}
		for _, item := range n.items {
			items = append(items, item.plain())
		}
		return items
	case kindObject:
		members := map[string]any{}
		for _, m := range n.members {
			members[m.name] = m.value.plain()
		}
		return members
	default:
		return nil
	}
}

// FuzzJSON compares the reader with encoding/json: what it reads is the same, and what it
// refuses as no JSON is none.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{
		`{"a":["b",1,-2.5e+3,true,false,null,{}],"c":""}`, `"\u00e9\ud800\n"`, "\"\xff\"", "\"\x01\"", `[1,]`, `{"a":1,}`, `[,1]`, `{,}`, `01`, `-`, `1.`,
		`tru`, `nullx`, ` [ ] `, `[]]`, "\x00", `{"a" 1}`, `{"a":}`, `{1:2}`, `"`, `"\`, `[[[[[[[[[[1]]]]]]]]]]`, `{"a":1,"a":2}`, `1e999`, `"a"b`,
		`{"1":1,"2":1,"3":1,"4":1,"5":1,"6":1,"7":1,"8":1,"9":1,"10":1,"9":2}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parseJSON(text)
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		var want any
		wantErr := decoder.Decode(&want)
		_, more := decoder.Token()
		switch {
		case err == nil && (wantErr != nil || !errors.Is(more, io.EOF)):
			t.Fatalf("%q is read, encoding/json says %v %v", text, wantErr, more)
		case err == nil && !reflect.DeepEqual(got.plain(), want):
			t.Fatalf("%q: got %v, want %v", text, got.plain(), want)
		case errors.Is(err, errSyntax):
			t.Fatalf("%q: encoding/json has no words for %v", text, err)
		}
	})
}
