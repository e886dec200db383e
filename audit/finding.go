// Package audit judges who IAM roles let in, for people who own AWS accounts: it reads
// trust policies, the listings of an account, and Terraform plans, and says which ones
// trust more than they seem to, or can never work, why, and what to write instead.
//
//	policy, err := trust.Parse(document)
//	for _, finding := range audit.Policy(policy) {
//		fmt.Println(finding.Severity, finding.Why)
//		fmt.Print(finding.Fix())
//	}
//
// What a role may do, once somebody is in, is not looked at.
package audit

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/keyless-id/keyless/internal/textdiff"
	"github.com/keyless-id/keyless/trust"
)

// Severity says how bad a finding is.
type Severity int

// Anybody at all gets in; somebody gets in who was not meant; it does not do what it
// says; it is not needed.
const (
	Low Severity = iota + 1
	Medium
	High
	Critical
)

// String returns low, medium, high or critical.
func (s Severity) String() string {
	switch s {
	case Low:
		return "low"
	case Medium:
		return "medium"
	case High:
		return "high"
	case Critical:
		return "critical"
	}
	return fmt.Sprintf("severity %d", int(s))
}

// MarshalText writes the word.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the word, in lower case.
func (s *Severity) UnmarshalText(text []byte) error {
	for known := Low; known <= Critical; known++ {
		if known.String() == string(text) {
			*s = known
			return nil
		}
	}
	return fmt.Errorf("%q is no severity: want low, medium, high or critical", text)
}

// Finding is one thing that is wrong with one role or provider.
type Finding struct {
	Rule     string // its ID, see [Rules]
	Severity Severity
	Title    string

	File      string // empty: the policy came from no file
	Line      int    // of the role or provider in its file, counted from one
	Role      string // ARN, name or Terraform address; empty for a bare policy
	Provider  string // for findings that are about a provider and no role
	Statement int    // counted from one; zero: the finding is about no statement
	Sid       string

	Why    string // what the policy says, and who gets in or does not
	Advice string // what to write instead

	policy *trust.Policy
	change func(*edited) // to a copy of the policy; nil: there is no fix
}

// fixed returns the policy with the change; nil: nothing changes.
func (f Finding) fixed() *trust.Policy {
	if f.change == nil {
		return nil
	}
	after := f.policy.Clone()
	f.change(&edited{&after.Statements[f.Statement-1], after})
	if reflect.DeepEqual(f.policy, after) {
		return nil
	}
	return after
}

// Fix returns the change to the policy as a unified diff, both sides laid out in the
// same way; words in capitals are for people to fill in. It is empty where the change is
// none of a policy's, or depends on what only people know.
func (f Finding) Fix() string {
	after := f.fixed()
	if after == nil {
		return ""
	}
	name := f.Role
	if name == "" {
		name = f.File
	}
	if name == "" {
		name = "policy"
	}
	return textdiff.Unified(name, f.policy.Lines(), after.Lines())
}

// MarshalJSON writes the finding with its fix, leaving out what is empty.
func (f Finding) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Rule      string   `json:"rule"`
		Severity  Severity `json:"severity"`
		Title     string   `json:"title"`
		File      string   `json:"file,omitempty"`
		Line      int      `json:"line,omitempty"`
		Role      string   `json:"role,omitempty"`
		Provider  string   `json:"provider,omitempty"`
		Statement int      `json:"statement,omitempty"`
		Sid       string   `json:"sid,omitempty"`
		Why       string   `json:"why"`
		Advice    string   `json:"advice"`
		Fix       string   `json:"fix,omitempty"`
	}{f.Rule, f.Severity, f.Title, f.File, f.Line, f.Role, f.Provider, f.Statement, f.Sid, f.Why, f.Advice, f.Fix()})
}

// Place returns where the finding is, for people: "role, statement 2 (Sid)".
func (f Finding) Place() string {
	var parts []string
	for _, part := range []string{f.Role, f.Provider} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if f.Statement > 0 {
		part := fmt.Sprintf("statement %d", f.Statement)
		if f.Sid != "" {
			part += fmt.Sprintf(" (%s)", f.Sid)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}
