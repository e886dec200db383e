package trust

import (
	"fmt"
	"strings"
)

// Request is one attempt to assume a role.
type Request struct {
	Action    string
	Principal Principal

	// Aliases are further names by which a policy may call the same principal:
	// the role ARN of a session, for example.
	Aliases []Principal

	// Context holds the condition keys by name, for example
	// "sts.windows.net/<tenant>/:aud". Names are compared without regard to
	// case, values exactly.
	Context map[string][]string
}

// Decision is the verdict on a request, with all that led to it.
type Decision struct {
	Allowed    bool
	Reason     string // one sentence
	Statements []StatementResult
}

// StatementResult says how far one statement of the policy applied.
type StatementResult struct {
	Index  int // counted from zero
	Sid    string
	Effect Effect

	PrincipalMatched bool
	ActionMatched    bool
	Conditions       []ConditionResult
	Matched          bool // principal, action and all conditions

	place string
}

// ConditionResult is the verdict on one condition.
type ConditionResult struct {
	Operator string
	Key      string
	Want     []string // the values in the policy
	Got      []string // the values in the request
	Present  bool     // the key is in the request
	OK       bool
	Reason   string // why, in a few words
}

// Evaluate decides on a request: an explicit Deny wins, then an Allow, and
// without either the answer is no.
func (p *Policy) Evaluate(r Request) Decision {
	context := newKeys(r.Context)
	var d Decision
	var allowedBy, deniedBy string
	for i, s := range p.Statements {
		result := s.evaluate(r, context, p.variables())
		result.Index, result.place = i, s.place(i)
		d.Statements = append(d.Statements, result)
		switch {
		case !result.Matched:
		case s.Effect == Allow:
			allowedBy = first(allowedBy, result.place)
		default: // an effect that nobody knows must not let anyone in
			deniedBy = first(deniedBy, result.place)
		}
	}
	d.Allowed = allowedBy != "" && deniedBy == ""
	switch {
	case deniedBy != "":
		d.Reason = deniedBy + " denies " + r.Action
	case d.Allowed:
		d.Reason = allowedBy + " allows " + r.Action
	default:
		d.Reason = "no statement allows " + r.Action
	}
	return d
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (s Statement) evaluate(r Request, context keys, variables bool) StatementResult {
	result := StatementResult{
		Sid: s.Sid, Effect: s.Effect,
		PrincipalMatched: s.matchesPrincipal(r),
		ActionMatched:    s.matchesAction(r.Action),
	}
	result.Matched = result.PrincipalMatched && result.ActionMatched
	for _, c := range s.Conditions {
		verdict := c.evaluate(context, variables)
		result.Conditions = append(result.Conditions, verdict)
		result.Matched = result.Matched && verdict.OK
	}
	return result
}

func (s Statement) matchesAction(action string) bool {
	for _, pattern := range s.Actions {
		if newGlob(strings.ToLower(pattern)).match([]rune(strings.ToLower(action))) {
			return !s.NotAction
		}
	}
	return s.NotAction
}

func (s Statement) matchesPrincipal(r Request) bool {
	for _, named := range s.Principals {
		if named.covers(r.Principal) {
			return !s.NotPrincipal
		}
		for _, alias := range r.Aliases {
			if named.covers(alias) {
				return !s.NotPrincipal
			}
		}
	}
	return s.NotPrincipal
}

// covers reports whether the name in a policy means caller. "*" and {"AWS":
// "*"} are the same by the guide; that they also cover federated callers, and
// that the other kinds may be "*", is unverified and the careful reading.
func (p Principal) covers(caller Principal) bool {
	if p.Type == Anyone || p.Type == AWS && p.ID == "*" {
		return true
	}
	if p.Type != caller.Type {
		return false
	}
	return p.ID == "*" || p.ID == caller.ID || p.Type == AWS && coversAccount(p.ID, caller.ID)
}

// coversAccount reports whether named is an account, as number or root ARN, and
// caller an ARN in it.
func coversAccount(named, caller string) bool {
	of := strings.SplitN(caller, ":", 6)
	if len(of) != 6 || of[4] == "" {
		return false
	}
	return named == of[4] || named == "arn:"+of[1]+":iam::"+of[4]+":root"
}

func (c Condition) evaluate(context keys, variables bool) ConditionResult {
	got, present := context.get(c.Key)
	result := ConditionResult{Operator: c.Operator, Key: c.Key, Want: c.Values, Got: got, Present: present}
	op, known := lookupOperator(c.Operator)
	if !known {
		result.Reason = "unknown operator"
		return result
	}
	wants, err := op.wants(c.Values, context, variables)
	switch {
	case op.null:
		result.OK, result.Reason = op.testNull(wants, present)
	case !present:
		result.OK, result.Reason = op.testAbsent()
	case err != nil && (op.negated || len(wants) == 0):
		result.Reason = err.Error()
	default:
		result.OK, result.Reason = op.test(wants, got)
	}
	return result
}

// wants expands the values of the policy. A value whose variable has no value
// is left out and reported: what it would be equal to is not known.
func (op operator) wants(values []string, context keys, variables bool) ([]glob, error) {
	var unknown error
	wants := make([]glob, 0, len(values))
	for _, value := range values {
		want := literal(value)
		var err error
		switch {
		case op.variables && variables:
			want, err = expand(value, op.wild, context)
		case op.wild:
			want = newGlob(value)
		}
		if err != nil {
			unknown = err
			continue
		}
		wants = append(wants, want)
	}
	return wants, unknown
}

// testNull: "true" wants the key absent.
func (op operator) testNull(wants []glob, present bool) (bool, string) {
	state := "the key is absent"
	if present {
		state = "the key is present"
	}
	for _, want := range wants {
		if op.match(want, fmt.Sprint(!present)) {
			return true, state
		}
	}
	return false, state
}

// testAbsent decides without the key: see "IfExists condition operators" and
// "Set operators for multivalued context keys".
func (op operator) testAbsent() (bool, string) {
	switch {
	case op.ifExists:
		return true, "the key is absent, which …IfExists admits"
	case op.set == forAllValues:
		return true, "the key is absent, which ForAllValues admits"
	case op.set == forAnyValue:
		return false, "the key is absent"
	case op.negated:
		return true, "the key is absent, which the negated operator admits"
	}
	return false, "the key is absent"
}

// test compares. Without a set operator a key of several values behaves as with
// ForAnyValue, and negated as with ForAllValues (unverified: the guide calls it
// a mistake).
func (op operator) test(wants []glob, got []string) (bool, string) {
	all := op.set == forAllValues || op.set == oneValue && op.negated
	for _, value := range got {
		hit := false
		for _, want := range wants {
			hit = hit || op.match(want, value)
		}
		satisfied := hit != op.negated
		switch {
		case all && !satisfied:
			return false, op.reason(value, hit)
		case !all && satisfied:
			return true, op.reason(value, hit)
		}
	}
	if all {
		return true, "every value passes"
	}
	return false, "no value matches"
}

func (op operator) reason(value string, hit bool) string {
	if hit {
		return fmt.Sprintf("%q matches", value)
	}
	return fmt.Sprintf("%q does not match", value)
}
