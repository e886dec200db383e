package trust

import (
	"fmt"
	"strings"
)

// FirstFailure returns one sentence on why the request was refused, from the
// Allow statement that came nearest to matching, such as
//
//	condition StringEquals sts.windows.net/…/:sub: want "a", got "b"
//
// and nothing when the request was allowed.
func (d Decision) FirstFailure() string {
	if d.Allowed {
		return ""
	}
	if _, denied := d.Denying(); denied {
		return d.Reason
	}
	nearest, found := d.Nearest()
	if !found {
		return d.Reason
	}
	return nearest.firstFailure()
}

// Denying returns the statement that denies the request; false: none does.
func (d Decision) Denying() (StatementResult, bool) {
	for _, s := range d.Statements {
		if s.Matched && s.Effect != Allow {
			return s, true
		}
	}
	return StatementResult{}, false
}

// Nearest returns the Allow statement that came nearest to matching; false: there is none.
func (d Decision) Nearest() (StatementResult, bool) {
	nearest, best := -1, -1
	for i, s := range d.Statements {
		if score := s.score(); s.Effect == Allow && score > best {
			nearest, best = i, score
		}
	}
	if nearest < 0 {
		return StatementResult{}, false
	}
	return d.Statements[nearest], true
}

// score ranks statements by how much of them matched; the principal and the
// action count more than any number of conditions.
func (s StatementResult) score() int {
	const heavy = 1 << 20
	score := 0
	if s.PrincipalMatched {
		score += 2 * heavy
	}
	if s.ActionMatched {
		score += heavy
	}
	for _, c := range s.Conditions {
		if !c.OK {
			score--
		}
	}
	return score + heavy/2
}

func (s StatementResult) firstFailure() string {
	switch {
	case !s.PrincipalMatched:
		return s.place + " is not for this principal"
	case !s.ActionMatched:
		return s.place + " is not for this action"
	}
	for _, c := range s.Conditions {
		if !c.OK {
			return c.String()
		}
	}
	return s.place + " matched"
}

// String returns "condition StringEquals key: want "a" or "b", got "c"", with
// "got nothing" for an absent key.
func (c ConditionResult) String() string {
	got := "nothing"
	if c.Present {
		got = quoteAll(c.Got, " and ")
	}
	want := quoteAll(c.Want, " or ")
	if want == "" {
		want = "no value at all"
	}
	text := fmt.Sprintf("condition %s %s: want %s, got %s", quoteOdd(c.Operator), quoteOdd(c.Key), want, got)
	if strings.HasPrefix(c.Reason, "variable ") || c.Reason == "unknown operator" {
		text += " (" + c.Reason + ")"
	}
	return text
}

func quoteAll(values []string, separator string) string {
	quoted := make([]string, len(values))
	for i, value := range values {
		quoted[i] = fmt.Sprintf("%q", value)
	}
	return strings.Join(quoted, separator)
}
