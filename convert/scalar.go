package convert

import (
	"strconv"
	"strings"

	"github.com/keyless-id/keyless/internal/pattern"
)

// plain matches texts that YAML reads as they stand, null apart.
var plain = pattern.Lazy(`^[A-Za-z0-9/](?:[A-Za-z0-9_./:@?=&%+~-]*[A-Za-z0-9_./@?=&%+~-])?$`)

// scalar spells a text in YAML. What needs quotes gets those of Go, whose escapes YAML
// has too (YAML 1.2.2, 5.7).
func scalar(text string) string {
	if plain().MatchString(text) && !strings.EqualFold(text, "null") {
		return text
	}
	return strconv.Quote(text)
}

// reference matches ${NAME} wherever profile would put the environment's value.
var reference = pattern.Lazy(`\$\{[A-Za-z_][A-Za-z0-9_]*\}`)

// literal keeps profile from looking into the environment for what a text says.
func literal(text string) string {
	return reference().ReplaceAllStringFunc(text, func(found string) string { return "$" + found })
}
