package doctor

import (
	"errors"
	"slices"
	"strings"

	keyless "github.com/keyless-id/keyless"
	"github.com/keyless-id/keyless/profile"
)

// HopConfiguration is where nobody has been asked yet. The other hops are those of
// [keyless.Hop].
const HopConfiguration keyless.Hop = "configuration"

// Verdict is what a check has come to.
type Verdict string

// The verdicts.
const (
	OK      Verdict = "ok"
	Warning Verdict = "warning" // it works, and may not for long or for everybody
	Failed  Verdict = "failed"
	Skipped Verdict = "skipped" // it could not be looked at; it may be right or wrong
)

// Finding is what one check says. Nothing of it is a secret.
type Finding struct {
	Check   string      `json:"check"`
	Hop     keyless.Hop `json:"hop"`
	Code    string      `json:"code,omitempty"` // see [Codes]; stable, for programs
	Verdict Verdict     `json:"verdict"`
	Summary string      `json:"summary"`
	// Evidence is what was seen, a line each.
	Evidence []string `json:"evidence,omitempty"`
	// Fix is what to do, and below it commands, settings or a diff of a policy.
	Fix       string `json:"fix,omitempty"`
	Temporary bool   `json:"temporary,omitempty"` // trying again later can help
}

// Report is what an examination has come to, hop by hop.
type Report struct {
	Profile string `json:"profile,omitempty"`
	// Complete says that nothing was skipped.
	Complete bool      `json:"complete"`
	Findings []Finding `json:"findings"`
}

// add appends findings, and leaves out those of checks that do not apply.
func (r *Report) add(findings ...Finding) {
	for _, f := range findings {
		if f.Check != "" {
			r.Findings = append(r.Findings, f)
		}
	}
	r.Complete = !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Verdict == Skipped })
}

// FirstFailure returns the finding of the first hop that failed.
func (r Report) FirstFailure() (Finding, bool) {
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Verdict == Failed })
	if i < 0 {
		return Finding{}, false
	}
	return r.Findings[i], true
}

// Misconfigured is the report on a profile that cannot even be read.
func Misconfigured(err error) Report {
	var r Report
	r.add(configurationWrong(err))
	return r
}

func configurationWrong(err error) Finding {
	f := Finding{Check: "configuration", Hop: HopConfiguration, Code: "configuration", Verdict: Failed, Summary: clean(err.Error())}
	var wrong *profile.Error
	if errors.As(err, &wrong) {
		f.Summary, f.Fix = clean(wrong.Message), clean(wrong.Hint)
		bare := *wrong
		bare.Message = ""
		f.Evidence = texts(strings.TrimSuffix(clean(bare.Error()), ":"))
		if f.Fix == "" {
			f.Fix = "correct it; keyless prints its settings with keyless token --help"
		}
	}
	return f
}

// texts drops what is empty.
func texts(lines ...string) []string {
	return slices.DeleteFunc(lines, func(line string) bool { return line == "" })
}
