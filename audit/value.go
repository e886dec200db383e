package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keyless-id/keyless/trust"
)

// literalWildcards: * under StringEquals is a character that no value has.
func (e *entry) literalWildcards() {
	for _, l := range e.limits {
		if l.condition < 0 || isGlobal(l.claim) {
			continue
		}
		literal := 0
		for _, v := range l.values {
			if strings.ContainsRune(v, literalStar) {
				literal++
			}
		}
		if literal == 0 {
			continue
		}
		c := e.statement.Conditions[l.condition]
		why := fmt.Sprintf("%s compares %s with the character * itself", c.Operator, quoted(c.Values))
		if literal == len(l.values) && !l.absent {
			why += "; no token passes"
			e.dead = true
		}
		e.report(wildcardInEquals, e.at(l), why, "write whole values, or StringLike with a wildcard that stays in one "+e.issuer.project, func(s *edited) {
			like := strings.Replace(strings.TrimSuffix(c.Operator, "IgnoreCase"), "StringEquals", "StringLike", 1)
			move(s.Statement, l.condition, like, c.Key)
			e.narrowIn(s.Statement, like, l)
		})
	}
}

// narrowIn replaces the values of a condition that reach too far.
func (e *entry) narrowIn(s *trust.Statement, operator string, l limit) {
	op, _ := trust.ReadOperator(operator)
	for i, c := range s.Conditions {
		if claim, ours := claimOf(c.Key, e.issuer); c.Operator != operator || !ours || claim != l.claim {
			continue
		}
		for k, pattern := range e.admitted(op, c) {
			if e.issuer.scope(l.claim, pattern) > oneProject {
				s.Conditions[i].Values[k] = e.issuer.narrow(l.claim, pattern)
			}
		}
	}
}

// subjects: values that the issuer never writes.
func (e *entry) subjects() {
	for _, l := range e.limits {
		if l.claim != "sub" || l.condition < 0 || e.issuer.pin != "sub" {
			continue
		}
		var odd []string
		for _, v := range l.values {
			if !strings.ContainsRune(v, literalStar) && !e.couldBe(v) {
				odd = append(odd, v)
			}
		}
		if len(odd) == 0 {
			continue
		}
		e.dead = e.dead || len(odd) == len(l.values) && !l.absent
		e.report(subjectForm, e.at(l), fmt.Sprintf("%s makes no subject like %s", e.issuer.name, quoted(odd)),
			"compare with the sub of a token: keyless token --claims shows one", func(s *edited) {
				for k, v := range s.Conditions[l.condition].Values {
					if slices.Contains(odd, v) {
						s.Conditions[l.condition].Values[k] = e.mended(v)
					}
				}
			})
	}
}

func (e *entry) couldBe(subject string) bool {
	if e.issuer.entraVersion() > 0 {
		return unfilled(subject) || entraSubject(subject) && !e.isClient(subject)
	}
	return e.issuer.plausible(subject)
}

// unfilled reports whether a value is a place in a template: <object id>.
func unfilled(value string) bool { return strings.ContainsAny(value, "<>{}") }

// mended is the subject that could have been meant.
func (e *entry) mended(subject string) string {
	if lower := strings.ToLower(subject); e.issuer.entraVersion() > 0 && entraSubject(lower) {
		return lower
	}
	return e.issuer.sample
}
