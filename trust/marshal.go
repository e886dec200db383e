package trust

import (
	"bytes"
	"encoding/json"
	"strings"
)

// MarshalJSON writes the policy as IAM reads it, members in the usual order and
// lists of one as a plain value. [Parse] reads the same policy back.
func (p Policy) MarshalJSON() ([]byte, error) {
	var w writer
	w.object(func() {
		w.optional("Version", p.Version)
		w.optional("Id", p.ID)
		w.member("Statement")
		w.array(len(p.Statements), func(i int) { p.Statements[i].write(&w) })
	})
	return w.Bytes(), w.err
}

// Lines returns the policy laid out over lines, for people who compare two of them.
func (p *Policy) Lines() []string {
	var laidOut bytes.Buffer
	text, err := p.MarshalJSON()
	if err == nil {
		err = json.Indent(&laidOut, text, "", "  ")
	}
	if err != nil { // there is nothing in a policy that JSON cannot say
		return []string{err.Error()}
	}
	return strings.Split(laidOut.String(), "\n")
}

// UnmarshalJSON is [Parse], so that a policy can be part of other documents.
func (p *Policy) UnmarshalJSON(document []byte) error {
	parsed, err := Parse(document)
	if err != nil {
		return err
	}
	*p = *parsed
	return nil
}

func (s Statement) write(w *writer) {
	w.object(func() {
		w.optional("Sid", s.Sid)
		w.optional("Effect", string(s.Effect))
		w.member(negate(s.NotPrincipal, "Principal"))
		writePrincipals(w, s.Principals)
		w.member(negate(s.NotAction, "Action"))
		w.values(s.Actions)
		if len(s.Conditions) > 0 {
			w.member("Condition")
			writeConditions(w, s.Conditions)
		}
	})
}

func negate(not bool, name string) string {
	if not {
		return "Not" + name
	}
	return name
}

func writePrincipals(w *writer, principals []Principal) {
	if len(principals) == 1 && principals[0].Type == Anyone {
		w.text(Anyone)
		return
	}
	types, ids := []string{}, map[string][]string{}
	for _, p := range principals {
		if ids[p.Type] == nil {
			types = append(types, p.Type)
		}
		ids[p.Type] = append(ids[p.Type], p.ID)
	}
	w.object(func() {
		for _, kind := range types {
			w.member(kind)
			w.values(ids[kind])
		}
	})
}

// writeConditions groups by operator: JSON has room for each name once.
func writeConditions(w *writer, conditions []Condition) {
	operators, of := []string{}, map[string][]Condition{}
	for _, c := range conditions {
		if of[c.Operator] == nil {
			operators = append(operators, c.Operator)
		}
		of[c.Operator] = append(of[c.Operator], c)
	}
	w.object(func() {
		for _, operator := range operators {
			w.member(operator)
			w.object(func() {
				for _, c := range of[operator] {
					w.member(c.Key)
					w.values(c.Values)
				}
			})
		}
	})
}

// writer writes JSON in the order in which it is told to.
type writer struct {
	bytes.Buffer
	err error
}

func (w *writer) object(members func()) {
	w.WriteByte('{')
	members()
	w.WriteByte('}')
}

func (w *writer) array(n int, item func(i int)) {
	w.WriteByte('[')
	for i := range n {
		w.comma()
		item(i)
	}
	w.WriteByte(']')
}

// comma separates from what stands before, if anything does.
func (w *writer) comma() {
	if !strings.HasSuffix(w.tail(), "{") && !strings.HasSuffix(w.tail(), "[") {
		w.WriteByte(',')
	}
}

func (w *writer) tail() string { return string(w.Bytes()[max(0, w.Len()-1):]) }

func (w *writer) member(name string) {
	w.comma()
	w.text(name)
	w.WriteByte(':')
}

func (w *writer) optional(name, value string) {
	if value != "" {
		w.member(name)
		w.text(value)
	}
}

func (w *writer) values(values []string) {
	if len(values) == 1 {
		w.text(values[0])
		return
	}
	w.array(len(values), func(i int) { w.text(values[i]) })
}

// text writes a string and leaves <, > and & readable.
func (w *writer) text(value string) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		w.err = err
	}
	w.Write(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
}
