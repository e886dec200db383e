package audit

import (
	"slices"

	"github.com/keyless-id/keyless/trust"
)

// clone returns a copy that shares nothing with policy but the texts.
func clone(policy *trust.Policy) *trust.Policy {
	c := *policy
	c.Statements = slices.Clone(policy.Statements)
	for i := range c.Statements {
		s := &c.Statements[i]
		s.Principals = slices.Clone(s.Principals)
		s.Actions = slices.Clone(s.Actions)
		s.Conditions = slices.Clone(s.Conditions)
		for k := range s.Conditions {
			s.Conditions[k].Values = slices.Clone(s.Conditions[k].Values)
		}
	}
	return &c
}

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

// move makes a condition one of another operator or key. Where there is one already,
// that one stays and the moved one goes: both would have to hold.
func move(s *trust.Statement, index int, operator, key string) {
	for i, c := range s.Conditions {
		if i != index && c.Operator == operator && c.Key == key {
			s.Conditions = slices.Delete(s.Conditions, index, index+1)
			return
		}
	}
	s.Conditions[index].Operator, s.Conditions[index].Key = operator, key
}
