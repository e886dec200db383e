package azurelogsingestionexporter

import (
	"math"
	"strings"
)

// member is one of a JSON object, as positions in its text.
type member struct {
	key, keyEnd     int32 // without the quotation marks
	value, valueEnd int32
	escaped         bool // the key has backslashes
}

// maxNesting is how deep a text may be nested that is passed through.
const maxNesting = 256

// scanObject reports whether text is one JSON object (RFC 8259), white space around it
// allowed, and appends its members. UTF-8 is the caller's affair.
func scanObject(text string, members []member) ([]member, bool) {
	i := skipSpace(text, 0)
	if i == len(text) || text[i] != '{' || len(text) > math.MaxInt32 {
		return members, false
	}
	s := scanner{text: text}
	i, members = s.object(i+1, 1, members)
	return members, !s.bad && skipSpace(text, i) == len(text)
}

// scanner walks through JSON. Its methods take the position behind what they begin with,
// and return that behind what they have read.
type scanner struct {
	text string
	bad  bool
}

func (s *scanner) fail() int {
	s.bad = true
	return len(s.text)
}

func skipSpace(text string, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\n' || text[i] == '\t' || text[i] == '\r') {
		i++
	}
	return i
}

// next is the character after white space, and 0 at the end.
func (s *scanner) next(i int) (byte, int) {
	if i < len(s.text) && s.text[i] > ' ' { // mostly there is none
		return s.text[i], i + 1
	}
	i = skipSpace(s.text, i)
	if i == len(s.text) {
		return 0, i
	}
	return s.text[i], i + 1
}

// object reads the members and the closing brace. With members nil they are not kept.
func (s *scanner) object(i, depth int, members []member) (int, []member) {
	c, at := s.next(i)
	if c == '}' {
		return at, members
	}
	for !s.bad {
		var m member
		m, at = s.member(c, at, depth)
		if depth == 1 {
			members = append(members, m)
		}
		c, at = s.next(at)
		if c == '}' {
			return at, members
		}
		if c != ',' {
			break
		}
		c, at = s.next(at)
	}
	return s.fail(), members
}

func (s *scanner) member(c byte, i, depth int) (member, int) {
	if c != '"' {
		return member{}, s.fail()
	}
	keyEnd, escaped := s.string(i)
	c, value := s.next(keyEnd)
	if c != ':' {
		return member{}, s.fail()
	}
	value = skipSpace(s.text, value)
	end := s.value(value, depth)
	return member{int32(i), int32(keyEnd - 1), int32(value), int32(end), escaped}, end //nolint:gosec // scanObject takes no longer text
}

func (s *scanner) array(i, depth int) int {
	if c, at := s.next(i); c == ']' {
		return at
	}
	for !s.bad {
		var c byte
		c, i = s.next(s.value(i, depth))
		if c == ']' {
			return i
		}
		if c != ',' {
			break
		}
	}
	return s.fail()
}

func (s *scanner) value(i, depth int) int {
	c, at := s.next(i)
	switch {
	case s.bad || depth > maxNesting:
		return s.fail()
	case c == '"':
		end, _ := s.string(at)
		return end
	case c == '{':
		end, _ := s.object(at, depth+1, nil)
		return end
	case c == '[':
		return s.array(at, depth+1)
	case c == '-' || '0' <= c && c <= '9':
		return s.number(at - 1)
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if at > 0 && strings.HasPrefix(s.text[at-1:], word) {
			return at - 1 + len(word)
		}
	}
	return s.fail()
}

// string reads up to and including the closing quotation mark.
func (s *scanner) string(i int) (end int, escaped bool) {
	for {
		i = stringRun(s.text, i)
		switch {
		case i == len(s.text) || s.text[i] < ' ':
			return s.fail(), escaped
		case s.text[i] == '"':
			return i + 1, escaped
		}
		escaped = true
		if i = s.escape(i + 1); s.bad {
			return i, escaped
		}
	}
}

// stringRun is plainRun for which every byte beyond ASCII is plain.
func stringRun(text string, i int) int {
	const high = 0x8080808080808080
	for ; i+8 <= len(text); i += 8 {
		if special(load(text, i)&^high) != 0 {
			break
		}
	}
	for i < len(text) && text[i] >= ' ' && text[i] != '"' && text[i] != '\\' {
		i++
	}
	return i
}

func (s *scanner) escape(i int) int {
	if i == len(s.text) {
		return s.fail()
	}
	switch s.text[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		if i+5 <= len(s.text) && consistsOf(s.text[i+1:i+5], isHex) {
			return i + 5
		}
	}
	return s.fail()
}

func isHex(c byte) bool { return isDigit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func (s *scanner) number(i int) int {
	if s.text[i] == '-' {
		i++
	}
	switch {
	case i < len(s.text) && s.text[i] == '0':
		i++
	default:
		i = s.digits(i)
	}
	if i < len(s.text) && s.text[i] == '.' {
		i = s.digits(i + 1)
	}
	if i < len(s.text) && s.text[i]|0x20 == 'e' {
		i++
		if i < len(s.text) && (s.text[i] == '+' || s.text[i] == '-') {
			i++
		}
		i = s.digits(i)
	}
	return i
}

// digits reads at least one.
func (s *scanner) digits(i int) int {
	start := i
	for i < len(s.text) && isDigit(s.text[i]) {
		i++
	}
	if i == start {
		return s.fail()
	}
	return i
}
