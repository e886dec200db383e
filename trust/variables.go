package trust

import (
	"fmt"
	"strings"
)

// expand turns a policy value into a pattern. Characters of the policy are
// wildcards if wild says so; what a variable stands for never is.
// See "IAM policy elements: Variables and tags".
func expand(value string, wild bool, context keys) (glob, error) {
	read := literal
	if wild {
		read = newGlob
	}
	var pattern glob
	for {
		before, rest, found := strings.Cut(value, "${")
		name, after, closed := strings.Cut(rest, "}")
		if !found || !closed {
			return append(pattern, read(value)...), nil
		}
		text, err := variable(name, context)
		if err != nil {
			return nil, err
		}
		pattern = append(pattern, read(before)...)
		pattern = append(pattern, literal(text)...)
		value = after
	}
}

// variable returns what ${name} stands for.
func variable(name string, context keys) (string, error) {
	switch name {
	case "*", "?", "$":
		return name, nil
	}
	key, fallback, hasDefault := strings.Cut(name, ",")
	values, present := context.get(strings.TrimSpace(key))
	switch {
	case present && len(values) == 1:
		return values[0], nil
	case present && len(values) > 1:
		return "", fmt.Errorf("variable %s has several values", quoteOdd("${"+name+"}"))
	case hasDefault:
		return strings.Trim(strings.TrimSpace(fallback), "'"), nil
	}
	return "", fmt.Errorf("variable %s is not in the request", quoteOdd("${"+name+"}"))
}

// keys is a request context whose names are compared without regard to case.
type keys map[string][]string

func newKeys(context map[string][]string) keys {
	k := make(keys, len(context))
	for name, values := range context {
		lower := strings.ToLower(name)
		k[lower] = append(k[lower], values...)
	}
	return k
}

// get returns the values of a key; a key without values counts as absent, as in
// "the key resolves to a null data set".
func (k keys) get(name string) ([]string, bool) {
	values := k[strings.ToLower(name)]
	return values, len(values) > 0
}
