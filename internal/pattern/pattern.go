// Package pattern holds regular expressions that are compiled when they are first
// needed: the program starts for every command of the AWS CLI, and most starts need
// none of them.
package pattern

import (
	"regexp"
	"sync"
)

// Lazy returns a function that returns the compiled expression. A wrong expression
// panics at the first call.
func Lazy(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}
