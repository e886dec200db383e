package trust

import (
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// Validate checks what [Parse] checks, for a policy that was built by hand.
func (p *Policy) Validate() error {
	if err := p.validate(); err != nil {
		return fmt.Errorf("trust policy: %w", err)
	}
	return nil
}

func (p *Policy) validate() error {
	if p.Version != "" && p.Version != Version2012 && p.Version != Version2008 {
		return fmt.Errorf("Version: %q is neither %s nor %s", p.Version, Version2012, Version2008)
	}
	if len(p.Statements) == 0 {
		return errors.New("has no Statement")
	}
	sids := map[string]bool{}
	for i, s := range p.Statements {
		if err := s.validate(p.variables()); err != nil {
			return fmt.Errorf("%s: %w", s.place(i), err)
		}
		if s.Sid != "" && sids[s.Sid] {
			return fmt.Errorf("%s: another statement has the same Sid", s.place(i))
		}
		sids[s.Sid] = true
	}
	return nil
}

func (s Statement) validate(variables bool) error {
	switch {
	case s.Effect == "":
		return errors.New("has no Effect")
	case s.Effect != Allow && s.Effect != Deny:
		return fmt.Errorf("Effect: must be Allow or Deny, not %q", string(s.Effect))
	}
	for _, action := range s.Actions {
		if err := validateAction(action); err != nil {
			return err
		}
	}
	for _, c := range s.Conditions {
		if err := c.validate(variables); err != nil {
			return err
		}
	}
	return nil
}

func validateAction(action string) error {
	service, name, found := strings.Cut(action, ":")
	if action == "*" || found && service != "" && name != "" {
		return nil
	}
	return fmt.Errorf("Action: %q has no service prefix such as sts:", action)
}

func (c Condition) validate(variables bool) error {
	op, known := lookupOperator(c.Operator)
	if !known {
		return fmt.Errorf("condition %s: unknown operator%s", quoteOdd(c.Operator), didYouMean(c.Operator, operatorNames()))
	}
	if c.Key == "" {
		return fmt.Errorf("condition %s: the key is empty", c.Operator)
	}
	for _, value := range c.Values {
		if variables && op.variables && strings.Contains(value, "${") {
			continue // known only when a request comes
		}
		if err := op.check(value); err != nil {
			return fmt.Errorf("condition %s %s: %w", c.Operator, quoteOdd(c.Key), err)
		}
	}
	return nil
}

// place returns how messages call the statement: its number, counted from one
// as people do, and its Sid if it has one.
func (s Statement) place(index int) string {
	if s.Sid == "" {
		return fmt.Sprintf("statement %d", index+1)
	}
	return fmt.Sprintf("statement %d (%s)", index+1, quoteOdd(s.Sid))
}

// quoteOdd quotes foreign text unless it is a plain name: a message stays one
// line whatever the document holds.
func quoteOdd(text string) string {
	for _, r := range text {
		if r <= ' ' || r > '~' || r == '"' {
			return strconv.Quote(text)
		}
	}
	if text == "" {
		return `""`
	}
	return text
}

// didYouMean returns a clause with the known name nearest to name, or nothing
// when none is near.
func didYouMean(name string, known []string) string {
	sort.Strings(known)
	best, bestDistance := "", len(name)/2+1
	if len(name) > 64 {
		return ""
	}
	for _, candidate := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(candidate)); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return ", nearest known: " + best
}

// distance is Levenshtein's, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
