package trust

import (
	"errors"
	"fmt"
	"strings"
)

// MaxDocument is the longest document that [Parse] reads. IAM itself stops far
// below it, at 8,192 characters without white space.
const MaxDocument = 64 << 10

// Parse reads a trust policy. It knows the whole grammar and refuses what IAM
// would refuse; the error is one line that says where and what.
func Parse(document []byte) (*Policy, error) {
	if len(document) > MaxDocument {
		return nil, fmt.Errorf("trust policy: longer than %d bytes", MaxDocument)
	}
	root, err := parseJSON(document)
	if err != nil {
		return nil, fmt.Errorf("trust policy: %w", err)
	}
	policy, err := parsePolicy(root)
	if err != nil {
		return nil, fmt.Errorf("trust policy: %w", err)
	}
	if err := policy.Validate(); err != nil {
		return nil, err
	}
	return policy, nil
}

func parsePolicy(root node) (*Policy, error) {
	policy := &Policy{}
	elements := map[string]func(node) error{
		"Version":   func(n node) (err error) { policy.Version, err = n.str(); return },
		"Id":        func(n node) (err error) { policy.ID, err = n.str(); return },
		"Statement": func(n node) (err error) { policy.Statements, err = parseStatements(n); return },
	}
	if err := parseElements(root, elements); err != nil {
		return nil, err
	}
	return policy, nil
}

// parseElements hands each member of an object to the function of its name.
func parseElements(object node, elements map[string]func(node) error) error {
	if object.kind != kindObject {
		return fmt.Errorf("must be an object, not %s %s", article(object.kind), object.kind)
	}
	for _, m := range object.members {
		parse := elements[m.name]
		if parse == nil {
			return unknownElement(m.name, elements)
		}
		if err := parse(m.value); err != nil {
			if m.name == "Statement" {
				return err // it names its place itself
			}
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}

func unknownElement(name string, elements map[string]func(node) error) error {
	if name == "Resource" || name == "NotResource" {
		return fmt.Errorf("%s does not belong in a trust policy: the role is the resource", name)
	}
	known := make([]string, 0, len(elements))
	for element := range elements {
		known = append(known, element)
	}
	return fmt.Errorf("unknown element %q%s", name, didYouMean(name, known))
}

func parseStatements(n node) ([]Statement, error) {
	items := n.items
	if n.kind != kindArray {
		items = []node{n}
	}
	statements := make([]Statement, 0, len(items))
	for i, item := range items {
		statement, err := parseStatement(item)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", statement.place(i), err)
		}
		statements = append(statements, statement)
	}
	return statements, nil
}

func parseStatement(object node) (Statement, error) {
	var s Statement
	var seen []string
	principals := func(negated bool) func(node) error {
		return func(n node) (err error) {
			seen = append(seen, "principal")
			s.NotPrincipal = negated
			s.Principals, err = parsePrincipals(n)
			return err
		}
	}
	actions := func(negated bool) func(node) error {
		return func(n node) (err error) {
			seen = append(seen, "action")
			s.NotAction = negated
			s.Actions, err = n.strs()
			return err
		}
	}
	err := parseElements(object, map[string]func(node) error{
		"Sid":          func(n node) (err error) { s.Sid, err = n.str(); return },
		"Effect":       func(n node) error { text, err := n.str(); s.Effect = Effect(text); return err },
		"Principal":    principals(false),
		"NotPrincipal": principals(true),
		"Action":       actions(false),
		"NotAction":    actions(true),
		"Condition":    func(n node) (err error) { s.Conditions, err = parseConditions(n); return },
	})
	if err != nil {
		return s, err
	}
	return s, checkSeen(seen)
}

// checkSeen wants exactly one element of each pair.
func checkSeen(seen []string) error {
	all := strings.Join(seen, " ")
	switch {
	case strings.Count(all, "principal") > 1:
		return errors.New("has both Principal and NotPrincipal")
	case strings.Count(all, "action") > 1:
		return errors.New("has both Action and NotAction")
	case !strings.Contains(all, "principal"):
		return errors.New("has no Principal")
	case !strings.Contains(all, "action"):
		return errors.New("has no Action")
	}
	return nil
}

func parsePrincipals(n node) ([]Principal, error) {
	if n.kind == kindString {
		if n.text != Anyone {
			return nil, fmt.Errorf(`must be "*" or an object, not %q`, n.text)
		}
		return []Principal{{Anyone, Anyone}}, nil
	}
	principals := []Principal{}
	of := func(kind string) func(node) error {
		return func(n node) error {
			ids, err := n.strs()
			for _, id := range ids {
				principals = append(principals, Principal{kind, id})
			}
			return err
		}
	}
	err := parseElements(n, map[string]func(node) error{
		Federated: of(Federated), AWS: of(AWS), Service: of(Service), CanonicalUser: of(CanonicalUser),
	})
	return principals, err
}

func parseConditions(n node) ([]Condition, error) {
	if n.kind != kindObject {
		return nil, fmt.Errorf("must be an object, not %s %s", article(n.kind), n.kind)
	}
	var conditions []Condition
	for _, operator := range n.members {
		if operator.value.kind != kindObject {
			return nil, fmt.Errorf("%s: must be an object of keys and values", quoteOdd(operator.name))
		}
		for _, key := range operator.value.members {
			values, err := key.value.scalars()
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", quoteOdd(operator.name), quoteOdd(key.name), err)
			}
			conditions = append(conditions, Condition{operator.name, key.name, values})
		}
	}
	return conditions, nil
}
