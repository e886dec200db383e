package azurelogsingestionexporter

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

const (
	// maxField is the limit on a value; Azure cuts off longer ones without a word ("Azure
	// Monitor service limits": 64 KB, unverified whether of bytes).
	maxField = 64 << 10

	// cutMarker ends what was cut off here.
	cutMarker = "...[truncated]"

	// maxDepth keeps rows readable for parsers that stop at some depth.
	maxDepth = 64
)

// values appends JSON, and counts what it had to cut off.
type values struct {
	truncated int
	scratch   []byte
}

// appendColumn writes the value of a column, which has a limit.
func (v *values) appendColumn(out []byte, value pcommon.Value) []byte {
	switch value.Type() {
	case pcommon.ValueTypeStr:
		return v.appendField(out, value.Str())
	case pcommon.ValueTypeBytes, pcommon.ValueTypeMap, pcommon.ValueTypeSlice:
		start := len(out)
		return v.limit(v.appendValue(out, value, 0), start)
	default:
		return v.appendValue(out, value, 0)
	}
}

// appendField writes a text of at most maxField bytes.
func (v *values) appendField(out []byte, text string) []byte {
	if len(text) > maxField/utf8.UTFMax && !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD") // which may be longer
	}
	if len(text) <= maxField {
		return appendText(out, text)
	}
	v.truncated++
	end := maxField - len(cutMarker)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	out = appendText(out, text[:end])
	return append(append(out[:len(out)-1], cutMarker...), '"')
}

// limit makes a text of JSON from start on that is too long: cut off it would be none.
func (v *values) limit(out []byte, start int) []byte {
	if len(out)-start <= maxField {
		return out
	}
	v.scratch = append(v.scratch[:0], out[start:]...)
	return v.appendField(out[:start], string(v.scratch))
}

func (v *values) appendValue(out []byte, value pcommon.Value, depth int) []byte {
	switch value.Type() {
	case pcommon.ValueTypeStr:
		return appendText(out, value.Str())
	case pcommon.ValueTypeBool:
		return strconv.AppendBool(out, value.Bool())
	case pcommon.ValueTypeInt:
		return strconv.AppendInt(out, value.Int(), 10)
	case pcommon.ValueTypeDouble:
		return appendDouble(out, value.Double())
	case pcommon.ValueTypeBytes:
		return appendBytes(out, value.Bytes())
	case pcommon.ValueTypeMap:
		return v.appendMap(out, value.Map(), depth+1)
	case pcommon.ValueTypeSlice:
		return v.appendSlice(out, value.Slice(), depth+1)
	}
	return append(out, "null"...)
}

func (v *values) appendMap(out []byte, m pcommon.Map, depth int) []byte {
	if depth > maxDepth {
		v.truncated++
		return append(out, "null"...)
	}
	out = append(out, '{')
	first := true
	for key, value := range m.All() {
		if !first {
			out = append(out, ',')
		}
		first = false
		out = append(appendText(out, key), ':')
		out = v.appendValue(out, value, depth)
	}
	return append(out, '}')
}

func (v *values) appendSlice(out []byte, s pcommon.Slice, depth int) []byte {
	if depth > maxDepth {
		v.truncated++
		return append(out, "null"...)
	}
	out = append(out, '[')
	for i := range s.Len() {
		if i > 0 {
			out = append(out, ',')
		}
		out = v.appendValue(out, s.At(i), depth)
	}
	return append(out, ']')
}

func appendBytes(out []byte, raw pcommon.ByteSlice) []byte {
	out = append(out, '"')
	out = base64.StdEncoding.AppendEncode(out, raw.AsRaw())
	return append(out, '"')
}

// appendDouble writes what JSON has no number for as null.
func appendDouble(out []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(out, "null"...)
	}
	form := byte('f')
	if size := math.Abs(f); size != 0 && (size < 1e-6 || size >= 1e21) {
		form = 'e'
	}
	return strconv.AppendFloat(out, f, form, -1, 64)
}

// appendText writes a text in quotation marks. What is no UTF-8 becomes U+FFFD.
func appendText(out []byte, text string) []byte {
	out = append(out, '"')
	for start := 0; start < len(text); {
		end := plainRun(text, start)
		out = append(out, text[start:end]...)
		if end == len(text) {
			break
		}
		out, start = appendSpecial(out, text, end)
	}
	return append(out, '"')
}

// appendSpecial writes the character at i, and returns where the next one is.
func appendSpecial(out []byte, text string, i int) ([]byte, int) {
	c := text[i]
	switch {
	case c >= utf8.RuneSelf:
		r, size := utf8.DecodeRuneInString(text[i:])
		return utf8.AppendRune(out, r), i + size
	case c == '"' || c == '\\':
		return append(out, '\\', c), i + 1
	case c == '\n':
		return append(out, '\\', 'n'), i + 1
	case c == '\t':
		return append(out, '\\', 't'), i + 1
	case c == '\r':
		return append(out, '\\', 'r'), i + 1
	}
	const digits = "0123456789abcdef"
	return append(out, '\\', 'u', '0', '0', digits[c>>4], digits[c&15]), i + 1
}

// plainRun returns where the first byte from i on is that cannot be copied as it is.
func plainRun(text string, i int) int {
	for ; i+8 <= len(text); i += 8 {
		if special(load(text, i)) != 0 {
			break
		}
	}
	for i < len(text) && isPlain(text[i]) {
		i++
	}
	return i
}

func isPlain(c byte) bool { return c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' }

// load reads eight bytes at once.
func load(text string, i int) uint64 {
	b := text[i : i+8]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

// special is not zero if any of eight bytes is not plain. The subtractions may borrow from
// a byte above, so it says that too often, and never too rarely.
func special(eight uint64) uint64 {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	control := eight - ' '*ones
	quote := (eight ^ '"'*ones) - ones
	slash := (eight ^ '\\'*ones) - ones
	return (eight | control | quote | slash) & high
}
