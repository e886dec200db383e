package sandbox

import (
	"errors"
	"fmt"
	"strings"
)

// graphSegment is a part of a path: a collection, and which of it is meant, by its id or
// by another property.
type graphSegment struct {
	name     string
	property string // lower case; empty: the id
	key      string
	keyed    bool
}

// parseGraphPath takes paths such as /v1.0/applications/ID/federatedIdentityCredentials
// and /v1.0/servicePrincipals(appId='ID')/appRoleAssignedTo apart.
func parseGraphPath(path string) ([]graphSegment, bool) {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	if parts[0] != "v1.0" && parts[0] != "beta" {
		return nil, false
	}
	var segments []graphSegment
	for rest := parts[1:]; len(rest) > 0; {
		s, ok := parseSegment(rest[0])
		if !ok {
			return nil, false
		}
		rest = rest[1:]
		if !s.keyed && len(rest) > 0 {
			s.key, s.keyed, rest = rest[0], true, rest[1:]
			if s.key == "" {
				return nil, false
			}
		}
		segments = append(segments, s)
	}
	return segments, len(segments) > 0
}

// parseSegment reads name, or name(property='value').
func parseSegment(text string) (graphSegment, bool) {
	name, inside, keyed := strings.Cut(text, "(")
	s := graphSegment{name: name, keyed: keyed}
	if !keyed {
		return s, name != ""
	}
	inside, closed := strings.CutSuffix(inside, ")")
	property, value, _ := strings.Cut(inside, "=")
	key, rest, err := readLiteral(value)
	s.property, s.key = strings.ToLower(property), key
	return s, closed && err == nil && rest == "" && name != "" && property != "" && key != ""
}

// shape is a path without its keys, in lower case.
func shape(path []graphSegment) string {
	var parts []string
	for _, s := range path {
		parts = append(parts, strings.ToLower(s.name))
		if s.keyed {
			parts = append(parts, "*")
		}
	}
	return strings.Join(parts, "/")
}

// graphFilter is a $filter: clauses that must all hold ("Use the $filter query
// parameter"). What the directory offers beyond eq, startswith and any is not played.
type graphFilter []graphClause

type graphClause struct {
	property string
	prefix   bool // startswith
	any      bool // one of a list
	value    string
}

var errFilter = errors.New("the sandbox knows eq, startswith, any with eq, and and")

// parseFilter reads a filter; an empty one lets everything through.
func parseFilter(text string) (graphFilter, error) {
	var filter graphFilter
	rest := strings.TrimSpace(text)
	for rest != "" {
		var clause graphClause
		var err error
		if clause, rest, err = readClause(rest); err != nil {
			return nil, err
		}
		filter = append(filter, clause)
		if rest = strings.TrimSpace(rest); rest == "" {
			break
		}
		next, found := strings.CutPrefix(rest, "and ")
		if rest = strings.TrimSpace(next); !found || rest == "" {
			return nil, errFilter
		}
	}
	return filter, nil
}

// readClause reads one of: name eq 'value', startswith(name,'value'),
// name/any(x:x eq 'value').
func readClause(text string) (graphClause, string, error) {
	if inside, found := strings.CutPrefix(text, "startswith("); found {
		name, value, found := strings.Cut(inside, ",")
		literal, rest, err := readLiteral(strings.TrimSpace(value))
		rest, closed := strings.CutPrefix(strings.TrimSpace(rest), ")")
		if !found || err != nil || !closed || !isProperty(strings.TrimSpace(name)) {
			return graphClause{}, "", errFilter
		}
		return graphClause{property: strings.TrimSpace(name), prefix: true, value: literal}, rest, nil
	}
	if name, inside, found := strings.Cut(text, "/any("); found && isProperty(name) {
		variable, comparison, found := strings.Cut(inside, ":")
		comparison, named := strings.CutPrefix(strings.TrimSpace(comparison), strings.TrimSpace(variable)+" eq ")
		literal, rest, err := readLiteral(strings.TrimSpace(comparison))
		rest, closed := strings.CutPrefix(strings.TrimSpace(rest), ")")
		if !found || !named || err != nil || !closed || !isProperty(strings.TrimSpace(variable)) {
			return graphClause{}, "", errFilter
		}
		return graphClause{property: name, any: true, value: literal}, rest, nil
	}
	name, value, found := strings.Cut(text, " eq ")
	literal, rest, err := readLiteral(strings.TrimSpace(value))
	if !found || err != nil || !isProperty(strings.TrimSpace(name)) {
		return graphClause{}, "", errFilter
	}
	return graphClause{property: strings.TrimSpace(name), value: literal}, rest, nil
}

// readLiteral reads 'text', in which two quotes stand for one, or a word such as true
// or a GUID.
func readLiteral(text string) (value, rest string, err error) {
	quoted, found := strings.CutPrefix(text, "'")
	if !found {
		end := strings.IndexAny(text, " )")
		if end < 0 {
			end = len(text)
		}
		if end == 0 || strings.ContainsAny(text[:end], "'(") {
			return "", "", errFilter
		}
		return text[:end], text[end:], nil
	}
	var b strings.Builder
	for {
		part, after, closed := strings.Cut(quoted, "'")
		if b.WriteString(part); !closed {
			return "", "", errFilter
		}
		if quoted, found = strings.CutPrefix(after, "'"); !found {
			return b.String(), after, nil
		}
		b.WriteByte('\'')
	}
}

func isProperty(name string) bool {
	return name != "" && consistsOf(name, func(r rune) bool { return isLower(r) || r >= 'A' && r <= 'Z' || isDigit(r) })
}

func (f graphFilter) matches(entity object) (bool, error) {
	for _, clause := range f {
		if fits, err := clause.matches(entity); err != nil || !fits {
			return false, err
		}
	}
	return true, nil
}

// matches compares without regard to case, as the directory does with names and ids
// (unverified for identifierUris).
func (c graphClause) matches(entity object) (bool, error) {
	switch value := entity[c.property].(type) {
	case string:
		if c.prefix {
			return len(value) >= len(c.value) && strings.EqualFold(value[:len(c.value)], c.value), nil
		}
		if !c.any {
			return strings.EqualFold(value, c.value), nil
		}
	case bool:
		if !c.any && !c.prefix {
			return fmt.Sprint(value) == c.value, nil
		}
	case []string:
		if c.any {
			for _, item := range value {
				if strings.EqualFold(item, c.value) {
					return true, nil
				}
			}
			return false, nil
		}
	}
	return false, fmt.Errorf("unsupported or invalid query filter clause specified for property '%s'", printable(c.property))
}
