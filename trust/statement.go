package trust

import "strings"

// Operator is a condition operator taken apart, for whoever asks what a condition
// admits rather than whether one request passes.
type Operator struct {
	Base     string // such as StringLike: without set operator and …IfExists
	IfExists bool
	Negated  bool // it asks for a value that is not there: StringNotLike
	Wild     bool // * and ? in its values are wildcards

	AllValues, AnyValue bool // the set operators ForAllValues and ForAnyValue
}

// ReadOperator takes the name of an operator apart; false for one that IAM does not
// know.
func ReadOperator(name string) (Operator, bool) {
	op, known := lookupOperator(name)
	base := strings.TrimPrefix(name, string(op.set))
	return Operator{
		Base: strings.TrimSuffix(base, "IfExists"), IfExists: op.ifExists,
		Negated: op.negated, Wild: op.wild,
		AllValues: op.set == forAllValues, AnyValue: op.set == forAnyValue,
	}, known
}

// PassesAbsent reports whether a condition with this operator holds for a request
// that does not have its key. It is not for Null, which depends on its value.
func (o Operator) PassesAbsent() bool {
	return o.IfExists || o.AllValues || o.Negated && !o.AnyValue
}

// ForAction reports whether the statement is about an action such as
// sts:AssumeRole, by name, wildcard or NotAction.
func (s Statement) ForAction(action string) bool { return s.matchesAction(action) }

// ForPrincipal reports whether the statement is about a caller.
func (s Statement) ForPrincipal(caller Principal) bool {
	return s.matchesPrincipal(Request{Principal: caller})
}

// VariablesAllowed reports whether ${…} means something in the values of the policy.
func (p *Policy) VariablesAllowed() bool { return p.variables() }

// ProviderName returns the prefix that the condition keys of a federated principal
// have, for the ARN, the URL, or the name of a provider.
func ProviderName(provider string) string { return providerKeyOf(provider) }
