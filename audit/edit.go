package audit

import (
	"strings"

	"github.com/keyless-id/keyless/trust"
)

// require adds a condition; values for a key that the statement asks for in the same way
// take the place of the old ones.
func require(s *trust.Statement, operator, key string, values ...string) {
	for i, c := range s.Conditions {
		if c.Operator == operator && c.Key == key {
			s.Conditions[i].Values = values
			return
		}
	}
	s.Conditions = append(s.Conditions, trust.Condition{Operator: operator, Key: key, Values: values})
}

// move makes a condition one of another operator or key. A statement has each operator
// once for a key, and both conditions have to hold: where there is one already the moved
// one gets the set operator that means the same for a single value. Without room for it,
// nothing changes.
func move(s *trust.Statement, index int, operator, key string) {
	taken := func(operator string) bool {
		for i, c := range s.Conditions {
			if i != index && c.Operator == operator && c.Key == key {
				return true
			}
		}
		return false
	}
	for _, name := range []string{operator, "ForAnyValue:" + strings.TrimPrefix(operator, "ForAnyValue:")} {
		if !taken(name) {
			s.Conditions[index].Operator, s.Conditions[index].Key = name, key
			return
		}
	}
}
