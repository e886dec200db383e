package audit

import (
	"bytes"
	"encoding/json"
)

// lineOf counts the lines of a policy before one of its statements, which are counted from
// one; zero when that cannot be said.
func lineOf(document []byte, statement int) int {
	if statement == 0 {
		return 0
	}
	decoder := json.NewDecoder(bytes.NewReader(document))
	if !enter(decoder, "Statement") {
		return 0
	}
	begin := int(decoder.InputOffset())
	skipped := bytes.TrimLeft(document[begin:], " \t\r\n:")
	if bytes.HasPrefix(skipped, []byte("[")) {
		_, _ = decoder.Token()
		for i := 1; i < statement; i++ {
			var s json.RawMessage
			if decoder.Decode(&s) != nil {
				return 0
			}
		}
		begin = int(decoder.InputOffset())
		skipped = bytes.TrimLeft(document[begin:], " \t\r\n,")
	}
	return bytes.Count(document[:len(document)-len(skipped)], []byte("\n"))
}

// enter reads up to the value of a member of the outermost object.
func enter(decoder *json.Decoder, member string) bool {
	if _, err := decoder.Token(); err != nil {
		return false
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil || name == member {
			return err == nil
		}
		var value json.RawMessage
		if decoder.Decode(&value) != nil {
			return false
		}
	}
	return false
}
