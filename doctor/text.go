package doctor

import (
	"errors"
	"fmt"
	"strings"
	"time"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/internal/wire"
)

// clean makes what may come from a far side fit to print.
func clean(text string) string { return wire.Quote(text) }

// asError is the project's own error in err; nil if there is none.
func asError(err error) *keyless.Error {
	var e *keyless.Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// said is what a far side said, as evidence.
func said(err error) string { return "the answer: " + clean(err.Error()) }

// hinted is the error's own hint.
func hinted(err error) string {
	if e := asError(err); e != nil {
		return clean(e.Hint)
	}
	return ""
}

// lines joins the parts of a fix, and leaves out those that are empty.
func lines(parts ...string) string { return strings.Join(texts(parts...), "\n") }

// quoted spells a word for a shell.
func quoted(word string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-"
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// named is a claim, or something like it, as evidence.
func named(name, value string) string { return fmt.Sprintf("%s: %s", name, clean(value)) }

func span(d time.Duration) string { return d.Round(time.Second).String() }
