// Package pattern recognises the forms that names have, at little cost: the program
// starts for every command of the AWS CLI, and one regular expression with a bounded
// repetition takes longer to compile than a request on loopback.
package pattern

import (
	"regexp"
	"sync"
)

// GUID reports whether text is a GUID in its usual form, of either case.
func GUID(text string) bool {
	if len(text) != 36 {
		return false
	}
	for i := range len(text) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (text[i] == '-') || !dash && !isHex(text[i]) {
			return false
		}
	}
	return true
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// Lazy returns a function that returns the compiled expression. A wrong expression
// panics at the first call.
func Lazy(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}
