package audit

import "strings"

// scope is how many can have a token that fits.
type scope int

const (
	oneProject scope = iota // a repository, a namespace, or less
	oneTenant               // anything of one customer
	everyone                // anybody who has an account at the issuer
)

// form is how a claim names tenant and project. The names in its template end at the
// character behind them, or at the end of the text.
type form struct {
	claim    string
	template string // with <tenant> and <project>
	anywhere bool   // it may begin behind any colon: subjects are lists of claims
	later    bool   // it counts behind a wildcard, once the tenant is settled
}

// wildcards stand for other characters in a pattern; those that are characters themselves
// are other runes there, see admitted.
const wildcards = "*?"

// scope of a pattern: what stands before its first wildcard is certain, and what stands
// behind could be part of what the wildcard swallows.
func (i *issuer) scope(claim, pattern string) scope {
	cut := strings.IndexAny(pattern, wildcards)
	certain, rest := pattern, ""
	if cut >= 0 {
		certain, rest = pattern[:cut], pattern[max(0, cut-1):]
	}
	reach := i.widest()
	for _, f := range i.forms {
		if f.claim == claim && !f.later {
			reach = min(reach, f.scope(certain, cut < 0))
		}
	}
	if reach == oneTenant {
		for _, f := range i.forms {
			if f.claim == claim && f.later && f.behind(rest) {
				return oneProject
			}
		}
	}
	if reach == i.widest() && i.opaque(claim, pattern) {
		return oneProject
	}
	return reach
}

// widest is who has tokens of the issuer at all.
func (i *issuer) widest() scope {
	if i.shared {
		return everyone
	}
	return oneTenant
}

// opaque reports whether a text without a known form settles who it is: a whole one does,
// where subjects have no fixed form, and any that is not empty, where no form is known.
func (i *issuer) opaque(claim, pattern string) bool {
	if i.formOf(claim, pattern) {
		return false
	}
	whole := !strings.ContainsAny(pattern, wildcards)
	if claim != "sub" {
		return whole && i.hasForm(claim)
	}
	known := i.strict || i.shared && i.hasForm("sub")
	return whole && !i.strict || !known && strings.Trim(pattern, wildcards) != ""
}

func (i *issuer) hasForm(claim string) bool {
	for _, f := range i.forms {
		if f.claim == claim {
			return true
		}
	}
	return false
}

// formOf reports whether the text begins as one of the forms of the claim.
func (i *issuer) formOf(claim, pattern string) bool {
	for _, f := range i.forms {
		lead, _, _ := strings.Cut(f.template, "<")
		if f.claim == claim && !f.later && lead != "" && (strings.HasPrefix(pattern, lead) || f.anywhere && strings.Contains(pattern, ":"+lead)) {
			return true
		}
	}
	return false
}

// scope of the certain part of a text; whole: there is no more.
func (f form) scope(certain string, whole bool) scope {
	reach := f.walk(certain, whole)
	for at := 0; f.anywhere; {
		next := strings.IndexByte(certain[at:], ':')
		if next < 0 {
			break
		}
		at += next + 1
		reach = min(reach, f.walk(certain[at:], whole))
	}
	return reach
}

// walk follows the template for as long as the text does.
func (f form) walk(text string, whole bool) scope {
	reach := everyone
	template := f.template
	for {
		literal, rest, found := strings.Cut(template, "<")
		if !found {
			return reach
		}
		name, tail, _ := strings.Cut(rest, ">")
		if !strings.HasPrefix(text, literal) {
			return reach
		}
		text = text[len(literal):]
		value, complete := cutName(text, tail, whole)
		if !complete {
			return reach
		}
		text, template = text[len(value):], tail
		reach = min(reach, named(name))
	}
}

func named(name string) scope {
	if name == "project" {
		return oneProject
	}
	return oneTenant
}

// cutName returns the name at the beginning of text, and whether it is certain: it ends at
// what follows it in the template, at the @ before its id (see gitHub), or with a whole
// text.
func cutName(text, tail string, whole bool) (string, bool) {
	end := -1
	if tail != "" && tail[0] != '<' {
		end = strings.IndexByte(text, tail[0])
	}
	if end < 0 && !whole {
		end = strings.IndexByte(text, '@')
	}
	if end < 0 {
		return text, whole && text != ""
	}
	return text[:end], end > 0
}

// behind reports whether the rest of a pattern, from the last certain character, has the
// form with a name that is certain.
func (f form) behind(rest string) bool {
	literal, after, _ := strings.Cut(f.template, "<project>")
	for {
		_, tail, found := strings.Cut(rest, literal)
		if !found {
			return false
		}
		end := strings.IndexAny(tail, wildcards+after)
		if end > 0 && strings.HasPrefix(tail[end:], after[:1]) && strings.Contains(tail[end:], after[1:]) || end < 0 && tail != "" && after == ":" {
			return true
		}
		rest = tail
	}
}

// plausible reports whether the issuer could make such a subject, as far as the text is
// certain.
func (i *issuer) plausible(pattern string) bool {
	if i.never != "" && strings.Contains(pattern, i.never) {
		return false
	}
	if !i.strict {
		return true
	}
	certain := pattern
	cut := strings.IndexAny(pattern, wildcards)
	if cut >= 0 {
		certain = pattern[:cut]
	}
	for _, lead := range i.leads() {
		if strings.HasPrefix(certain, lead) || cut >= 0 && strings.HasPrefix(lead, certain) {
			return true
		}
	}
	return false
}

// leads are the beginnings that subjects have.
func (i *issuer) leads() []string {
	leads := i.begins
	for _, f := range i.forms {
		if f.claim == "sub" && !f.later {
			lead, _, _ := strings.Cut(f.template, "<")
			leads = append(leads, lead)
		}
	}
	return leads
}

// narrow returns the pattern as it could have been meant: what is certain of it, and words
// in capitals for what is to be filled in.
func (i *issuer) narrow(claim, pattern string) string {
	certain, _, _ := strings.Cut(strings.ReplaceAll(pattern, "?", "*"), "*")
	for _, f := range i.forms {
		if f.claim != claim || f.later {
			continue
		}
		if filled, ok := f.fill(certain, i); ok {
			return filled
		}
	}
	return i.sample
}

// fill completes the certain part of a pattern after the template, if it begins like it.
func (f form) fill(certain string, i *issuer) (string, bool) {
	literal, rest, found := strings.Cut(f.template, "<")
	if literal == "" || !strings.HasPrefix(certain, literal) {
		return "", false
	}
	var b strings.Builder
	text := certain
	for found {
		if strings.HasPrefix(text, literal) {
			text = text[len(literal):]
		} else {
			text = ""
		}
		name, tail, _ := strings.Cut(rest, ">")
		value, complete := cutName(text, tail, false)
		if complete {
			text = text[len(value):]
		} else {
			value, text = i.word(name), ""
		}
		b.WriteString(literal + value)
		literal, rest, found = strings.Cut(tail, "<")
	}
	b.WriteString(literal)
	if literal != "" {
		b.WriteString("*")
	}
	return b.String(), true
}

// word is what a person is to fill in.
func (i *issuer) word(name string) string {
	if name == "project" {
		name = i.project
	} else {
		name = i.tenant
	}
	return strings.ToUpper(strings.ReplaceAll(name, " ", "_"))
}

// stranger returns a value that fits the pattern and belongs to somebody else.
func stranger(pattern string) string {
	var b strings.Builder
	for i, r := range pattern {
		switch {
		case r == '?':
			b.WriteByte('x')
		case r == '*' && i > 0 && isName(pattern[i-1]):
			b.WriteString("-somebody-else")
		case r == '*':
			b.WriteString("somebody-else")
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func isName(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
